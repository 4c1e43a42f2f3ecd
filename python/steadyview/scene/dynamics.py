"""What moves by itself: camera-induced flow, occlusion, residual motion; and the area all see."""

import torch
from torch import Tensor
from torch.nn import functional

from steadyview.ops._arguments import check_tensors
from steadyview.ops._cameras import check_cameras

__all__ = ["flow_occlusion", "largest_valid_rectangle", "residual_motion", "rigid_flow"]


def rigid_flow(
    depth: Tensor, viewmats: Tensor, Ks: Tensor, target_viewmats: Tensor, target_Ks: Tensor
) -> Tensor:
    """Flow that the cameras alone cause: where a still scene's pixels go in the target view.

    Convention: OpenCV cameras, pixel centres at +0.5, depth along z. Differentiable.

    Args:
        depth: `(N, H, W)` of the source views.
        viewmats, target_viewmats: `(N, 4, 4)` world to camera, with last row 0 0 0 1.
        Ks, target_Ks: `(N, 3, 3)` in pixels.

    Returns:
        `(N, 2, H, W)` in pixels, of depth's dtype; nan where the depth is not positive and finite
        or the point is behind the target camera.

    Raises:
        TypeError: what must be a tensor is something else.
        ValueError: an argument has the wrong shape; a camera is singular, transposed or not finite.

    Source: VS3R's geometric mask and GaVS' camera flow; VS3R's code puts centres at whole numbers
    and takes the source's K for the target.
    """
    check_tensors(
        depth=depth, viewmats=viewmats, Ks=Ks, target_viewmats=target_viewmats,
        target_Ks=target_Ks,
    )  # fmt: skip
    if depth.dim() != 3 or not depth.is_floating_point():
        got = f"{depth.dtype}, shape {tuple(depth.shape)}"
        raise ValueError(f"depth must be (N, H, W) and floating point, got {got}")
    count, height, width = depth.shape
    cameras = {"viewmats": viewmats, "Ks": Ks, "target_viewmats": target_viewmats,
               "target_Ks": target_Ks}  # fmt: skip
    double = {name: _camera(name, value, count, depth) for name, value in cameras.items()}
    # Target pixel ~ projection @ (x, y, 1) + offset / depth.
    relative = double["target_viewmats"] @ torch.linalg.inv(double["viewmats"])
    projection = double["target_Ks"] @ relative[:, :3, :3] @ torch.linalg.inv(double["Ks"])
    offset = double["target_Ks"] @ relative[:, :3, 3:]
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64, device=depth.device) + 0.5,
        torch.arange(width, dtype=torch.float64, device=depth.device) + 0.5,
        indexing="ij",
    )  # fmt: skip
    known = depth.isfinite() & (depth > 0)
    safe = torch.where(known, depth, 1).double().flatten(1)[:, None]
    pixels = torch.stack((x, y, torch.ones_like(x))).flatten(1)
    point = projection @ pixels * safe + offset  # (N, 3, H W), z in scene units
    front = point[:, 2:] > 0
    flow = point[:, :2] / torch.where(front, point[:, 2:], 1) - pixels[:2]
    flow = torch.where(front & known.flatten(1)[:, None], flow, torch.nan)
    return flow.reshape(count, 2, height, width).to(depth.dtype)


def _camera(name: str, value: Tensor, count: int, depth: Tensor) -> Tensor:
    side = 3 if name.endswith("Ks") else 4
    if tuple(value.shape) != (count, side, side):
        got = tuple(value.shape)
        raise ValueError(f"{name} must be ({count}, {side}, {side}), got shape {got}")
    value = value.to(depth.device, torch.float64)
    check_cameras(**{name: value})
    return value


def flow_occlusion(
    forward: Tensor, backward: Tensor, *, share: float = 0.01, least: float = 1.0
) -> Tensor:
    """Pixels that the other frame does not show: the flow there and back does not return.

    A pixel p is occluded where |F(p) + B(p + F(p))| > share * (|F| + |B|) + least, where it leaves
    the frame, and where a flow is not finite.

    Args:
        forward: `(N, 2, H, W)` in pixels, from this frame to the other.
        backward: `(N, 2, H, W)` from the other frame to this one; sampled bilinearly.
        share: of the lengths.
        least: in pixels.

    Returns:
        `(N, H, W)` bool.

    Raises:
        TypeError: what must be a tensor is something else.
        ValueError: an argument has the wrong shape or value.

    Source: GaVS (0.01 and 1 pixel).
    """
    check_tensors(forward=forward, backward=backward)
    if forward.dim() != 4 or forward.shape[1] != 2 or not forward.is_floating_point():
        got = f"{forward.dtype}, shape {tuple(forward.shape)}"
        raise ValueError(f"forward must be (N, 2, H, W) and floating point, got {got}")
    if backward.shape != forward.shape or backward.dtype != forward.dtype:
        got = f"{backward.dtype}, shape {tuple(backward.shape)}"
        raise ValueError(f"backward must be {forward.dtype}, {tuple(forward.shape)}, got {got}")
    for name, value in (("share", share), ("least", least)):
        if not value >= 0:
            raise ValueError(f"{name} must be at least 0, got {value}")
    if forward.numel() == 0:
        return forward.new_zeros((forward.shape[0], *forward.shape[2:]), dtype=torch.bool)
    if forward.dtype != torch.float64:  # float16 does not hold places in a frame
        forward, backward = forward.float(), backward.float()
    height, width = forward.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=forward.device) + 0.5,
        torch.arange(width, device=forward.device) + 0.5, indexing="ij",
    )  # fmt: skip
    tx, ty = x + forward[:, 0], y + forward[:, 1]
    inside = (tx >= 0) & (tx <= width) & (ty >= 0) & (ty <= height)
    grid = torch.stack((2 * tx / width - 1, 2 * ty / height - 1), -1)
    grid = torch.where(inside[..., None], grid, 0).to(forward.dtype)
    back = functional.grid_sample(
        backward, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    gap = (forward + back).norm(dim=1)
    limit = share * (forward.norm(dim=1) + back.norm(dim=1)) + least
    return ~(inside & (gap <= limit))


def residual_motion(
    flow: Tensor, rigid: Tensor, *, threshold: float = 0.5, semantic: Tensor | None = None
) -> Tensor:
    """Pixels that move by themselves: semantic mask or flow unlike the rigid flow.

    Where a flow is not finite nothing is known, and only the semantic mask speaks.

    Args:
        flow, rigid: `(N, 2, H, W)` in pixels.
        threshold: in pixels; more is motion.
        semantic: `(N, H, W)` bool, of things that can move.

    Returns:
        `(N, H, W)` bool. Its mean is a check: most of a frame should be still.

    Raises:
        TypeError: what must be a tensor is something else.
        ValueError: an argument has the wrong shape or value.

    Source: VS3R's combined mask (0.5 pixel).
    """
    check_tensors(flow=flow, rigid=rigid, semantic=semantic)
    if flow.dim() != 4 or flow.shape[1] != 2:
        raise ValueError(f"flow must be (N, 2, H, W), got shape {tuple(flow.shape)}")
    if rigid.shape != flow.shape:
        raise ValueError(f"rigid must be {tuple(flow.shape)}, got shape {tuple(rigid.shape)}")
    if not threshold >= 0:
        raise ValueError(f"threshold must be at least 0, got {threshold}")
    moving = (flow - rigid).norm(dim=1) > threshold  # false for nan
    if semantic is None:
        return moving & flow.isfinite().all(1)
    if semantic.shape != moving.shape or semantic.dtype != torch.bool:
        got = f"{semantic.dtype}, shape {tuple(semantic.shape)}"
        raise ValueError(f"semantic must be bool, {tuple(moving.shape)}, got {got}")
    return semantic | (moving & flow.isfinite().all(1))


def largest_valid_rectangle(
    valid: Tensor, aspect: float | None = None
) -> tuple[int, int, int, int]:
    """Largest rectangle of one aspect that holds valid pixels only, in every frame.

    Args:
        valid: `(H, W)`, or `(N, H, W)` for one rectangle in all frames; bool.
        aspect: width / height, positive; the frame's by default. Heights are rounded to pixels.

    Returns:
        x, y, width, height in pixels; of equally large ones the one nearest to the centre, then the
        uppermost, then the leftmost. (0, 0, 0, 0) without a valid pixel.

    Raises:
        TypeError: what must be a tensor is something else.
        ValueError: valid has the wrong shape or dtype, or the aspect is not positive.
    """
    check_tensors(valid=valid)
    if valid.dim() not in (2, 3) or valid.dtype != torch.bool:
        got = f"{valid.dtype}, shape {tuple(valid.shape)}"
        raise ValueError(f"valid must be bool, (H, W) or (N, H, W), got {got}")
    together = valid if valid.dim() == 2 else valid.all(0)
    height, width = together.shape
    if aspect is None:
        aspect = width / height if height and width else 1.0
    if not 0 < aspect < float("inf"):
        raise ValueError(f"aspect must be positive and finite, got {aspect}")
    sums = functional.pad((~together).long().cumsum(0).cumsum(1), (1, 0, 1, 0))

    def places(w: int) -> Tensor:
        """Upper left corners (y, x) where a rectangle of width w fits."""
        h = max(round(w / aspect), 1)
        if w > width or h > height:
            return sums.new_zeros((0, 2))
        bad = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
        return (bad == 0).nonzero()

    # Where a rectangle fits, the smaller ones inside it do: bisection.
    low, high = 0, width
    while low < high:
        middle = (low + high + 1) // 2
        if len(places(middle)):
            low = middle
        else:
            high = middle - 1
    if low == 0:
        return 0, 0, 0, 0
    h, corners = max(round(low / aspect), 1), places(low)
    centre = corners.new_tensor([height - h, width - low])
    nearest = int((2 * corners - centre).square().sum(1).argmin())
    y, x = corners[nearest].tolist()
    return x, y, low, h
