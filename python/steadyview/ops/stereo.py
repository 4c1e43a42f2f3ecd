"""Depth from pictures with known cameras (C++ room `stereo`)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from steadyview.ops._arguments import check_tensors
from steadyview.ops._library import extension, register

__all__ = ["COSTS", "PlaneSweep", "inverse_depth_planes", "plane_sweep", "sweep_video"]

COSTS = ("census", "zncc")


class PlaneSweep(NamedTuple):
    """Depth of one picture or a batch.

    Attributes:
        depth: `(..., H, W)` float32, along z in scene units; 0 where no source sees the pixel at
            its cheapest plane.
        confidence: `(..., H, W)` float32, 0 to 1: about the chance that the depth is right to 5 %,
            or to a plane where these are farther apart. From how much more the other planes cost;
            0 where all cost the same. It knows nothing of wrong cameras and of what moves.
        valid: `(..., H, W)` bool: confident, and consistent with the sources. Depth elsewhere is a
            guess from the neighbourhood. Where cameras are off by pixels, many valid ones are
            wrong too, in patches that look consistent: refine such cameras first.
    """

    depth: Tensor
    confidence: Tensor
    valid: Tensor


def inverse_depth_planes(near: float, far: float, count: int = 64) -> Tensor:
    """Depths from near to far, evenly spaced in inverse depth: even steps in the pictures.

    Planes best lie half a pixel to one pixel apart in the pictures: points move by about
    focal length x distance of the cameras x (1 / near - 1 / far) pixels from the first to the last.

    Args:
        near, far: in scene units, 0 < near < far: what the scene holds, as the points of the
            reconstruction that the cameras are from. Depths beyond are found nowhere.
        count: how many, at least 2.

    Returns:
        `(count,)` float64.

    Raises:
        ValueError: an argument is out of its range.
    """
    if not 0 < near < far < float("inf"):
        raise ValueError(f"near and far must be 0 < near < far, got {near} and {far}")
    if count < 2:
        raise ValueError(f"count must be at least 2, got {count}")
    return 1 / torch.linspace(1 / near, 1 / far, count, dtype=torch.float64)


def plane_sweep(
    reference: Tensor,
    sources: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    depths: Tensor,
    *,
    cost: str = "census",
    keep: int | None = None,
    paths: int = 8,
    step_penalty: int = 32,
    jump_penalty: int = 160,
    least_confidence: float = 0.4,
    memory_mib: int = 512,
) -> PlaneSweep:
    """Depth of a picture from others of the same scene.

    Each pixel is tried at planes parallel to the reference's image plane. At every plane the 5x5
    windows of the warped sources are compared with the reference's, the mean of the `keep` best
    matches counts (what is hidden in the others does no harm; a plane that no source sees costs the
    mean of the others), costs are made consistent along scan lines, and the cheapest plane is
    refined between its neighbours, in inverse depth. A pixel is valid when it is confident and at
    least `keep` of the sources that see it show it there and nothing cheaper. Surfaces without
    texture have the depth of texture beside them, with the less confidence the farther it is.

    Convention: OpenCV cameras (x right, y down, z forward), pixel centres at +0.5, depth along z.
    Not differentiable. The result does not depend on the number of threads.

    Args:
        reference: `(C, H, W)` or `(N, C, H, W)`, uint8, or floating in [0, 1]; C is 1 or 3.
        sources: `(S, C, H, W)` or `(N, S, C, H, W)`, of the reference's dtype and device. Of
            a video, take neighbours in time on both sides.
        viewmats: `(1 + S, 4, 4)` or `(N, 1 + S, 4, 4)` world to camera, the reference's first.
        Ks: `(1 + S, 3, 3)` or `(N, 1 + S, 3, 3)` in pixels.
        depths: `(D,)` or `(N, D)` in scene units, rising or falling; see `inverse_depth_planes`.
        cost: "census" (bits that differ between the windows; stands changes of exposure, and finds
            more in dark pictures) or "zncc" (zero-mean normalised cross-correlation; a fifth
            slower; calls less valid that is wrong where there is only noise).
        keep: sources whose matches count, 1 to 16; by default half of them, rounded up.
        paths: directions of the scan lines, 8 or 4; 0 takes each pixel's own cheapest plane.
        step_penalty, jump_penalty: of a change between neighbours by one plane and by more, where
            the worst match costs 72; at most 180, and the jump costs at least the step. A jump
            costs less at edges of the picture.
        least_confidence: valid pixels have more. Between 0.3 and 0.5, about half are right.
        memory_mib: the volumes of costs take about this much, but at least what 128 rows need;
            larger pictures go in strips of rows. Scan lines start 32 rows beyond a strip, so that
            results depend on it a little.

    Returns:
        A `PlaneSweep`, with a batch axis where the reference has one.

    Raises:
        TypeError: a picture, camera or depth is not a tensor.
        ValueError: an argument has the wrong shape, dtype, device or value, a camera is not finite
            or singular.

    Source: Collins, "A Space-Sweep Approach to True Multi-Image Matching", 1996; Hirschmueller,
    "Stereo Processing by Semiglobal Matching and Mutual Information", 2008; best half of the
    sources: Kang, Szeliski and Chai, "Handling Occlusions in Dense Multi-view Stereo", 2001.

    Example:
        >>> texture = torch.rand(1, 20, 30, generator=torch.Generator().manual_seed(0))
        >>> viewmats = torch.eye(4).repeat(2, 1, 1)
        >>> viewmats[1, 0, 3] = -1  # the source stands 1 to the right
        >>> Ks = torch.tensor([[20.0, 0, 15], [0, 20, 10], [0, 0, 1]]).repeat(2, 1, 1)
        >>> source = texture.roll(-4, dims=2)  # 20 px of focal length / depth 5
        >>> planes = torch.tensor([2.5, 10 / 3, 4, 5, 20 / 3, 10])
        >>> sweep = plane_sweep(texture, source[None], viewmats, Ks, planes)
        >>> round(sweep.depth[10, 15].item(), 1)
        5.0
    """
    check_tensors(reference=reference, sources=sources, viewmats=viewmats, Ks=Ks, depths=depths)
    if cost not in COSTS:
        raise ValueError(f"cost must be one of {', '.join(COSTS)}, got {cost!r}")
    if reference.dim() not in (3, 4):
        got = tuple(reference.shape)
        raise ValueError(f"reference must be (C, H, W) or (N, C, H, W), got shape {got}")
    if memory_mib < 1:
        raise ValueError(f"memory_mib must be at least 1, got {memory_mib}")
    batched = reference.dim() == 4
    if not batched:
        reference, sources = reference[None], sources[None]
        viewmats, Ks = viewmats[None], Ks[None]
    if depths.dim() == 1:
        depths = depths.expand(reference.shape[0], -1)
    if keep is None:
        keep = min((sources.shape[1] + 1) // 2, 16) if sources.dim() > 1 else 1
    cpu = [x.detach().to("cpu", torch.float64) for x in (viewmats, Ks, depths)]
    outputs = _plane_sweep(
        reference.detach(), sources.detach(), *cpu, COSTS.index(cost),
        max(keep, int(sources.shape[1] == 0)), paths, step_penalty, jump_penalty, least_confidence,
        memory_mib << 20,
    )  # fmt: skip
    return PlaneSweep(*(x if batched else x[0] for x in outputs))


def sweep_video(
    frames: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    depths: Tensor,
    *,
    offsets: Sequence[int] = (-2, -1, 1, 2),
    **options: int | float | str | None,
) -> PlaneSweep:
    """Depth of every frame of a clip from its neighbours in time.

    At the ends of the clip the neighbours beyond are left out. Cameras come from elsewhere: a
    phone's AR session, or COLMAP (undistort its pictures first). The camera has to travel: choose
    offsets over which points move by 10 pixels and more.

    Args:
        frames: `(T, C, H, W)`, uint8, or floating in [0, 1].
        viewmats: `(T, 4, 4)` world to camera.
        Ks: `(T, 3, 3)` in pixels.
        depths: `(D,)` planes in scene units.
        offsets: neighbours, in frames.
        options: of `plane_sweep`.

    Returns:
        A `PlaneSweep` of `(T, H, W)`. Frames without a neighbour have depth 0 and are not valid.

    Raises:
        TypeError, ValueError: as `plane_sweep`; offsets is empty or holds 0.
    """
    check_tensors(frames=frames, viewmats=viewmats, Ks=Ks, depths=depths)
    if not offsets or 0 in offsets or len(set(offsets)) != len(offsets):
        raise ValueError(f"offsets must be different and not 0, got {tuple(offsets)}")
    if frames.dim() != 4:
        raise ValueError(f"frames must be (T, C, H, W), got shape {tuple(frames.shape)}")
    count, _, height, width = frames.shape
    for name, cameras, side in (("viewmats", viewmats, 4), ("Ks", Ks, 3)):
        if tuple(cameras.shape) != (count, side, side):
            got = tuple(cameras.shape)
            raise ValueError(f"{name} must be ({count}, {side}, {side}), got shape {got}")
    depth = torch.zeros((count, height, width), device=frames.device)
    result = PlaneSweep(depth, depth.clone(), depth.bool())
    if count == 0 or all(abs(offset) >= count for offset in offsets):  # only to check arguments
        twice = [x[:1, None].expand(-1, 2, -1, -1) for x in (viewmats, Ks)]
        plane_sweep(
            frames[:1], frames[:1, None], twice[0], twice[1], depths,
            **options,  # type: ignore[arg-type]
        )  # fmt: skip
    for t in range(count):
        views = [t, *(t + offset for offset in offsets if 0 <= t + offset < count)]
        if len(views) == 1:
            continue
        sweep = plane_sweep(
            frames[t], frames[views[1:]], viewmats[views], Ks[views], depths,
            **options,  # type: ignore[arg-type]
        )  # fmt: skip
        for whole, one in zip(result, sweep, strict=True):
            whole[t] = one
    return result


def _fake(
    reference: Tensor, sources: Tensor, viewmats: Tensor, Ks: Tensor, depths: Tensor, cost: int,
    keep: int, paths: int, step_penalty: int, jump_penalty: int, least_confidence: float,
    memory: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    size = (reference.shape[0], reference.shape[2], reference.shape[3])
    depth = reference.new_empty(size, dtype=torch.float32)
    return depth, torch.empty_like(depth), reference.new_empty(size, dtype=torch.bool)


_plane_sweep = register(
    "plane_sweep(Tensor reference, Tensor sources, Tensor viewmats, Tensor Ks, Tensor depths,"
    " int cost, int keep, int paths, int step_penalty, int jump_penalty, float least_confidence,"
    " int memory) -> (Tensor, Tensor, Tensor)",
    extension.plane_sweep,
    _fake,
)
