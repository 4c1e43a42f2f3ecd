"""Views from an image with depth, plane by plane, and images of planes (C++ room `multiplane`)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from steadyview.ops._arguments import check_tensors, check_whole, size_or
from steadyview.ops._cameras import (
    cameras,
    depth_maps,
    inverse_view,
    target_from_source,
)
from steadyview.ops._library import extension, register

__all__ = [
    "SPLITS",
    "MultiplaneViews",
    "multiplane_project",
    "multiplane_render",
    "plane_homographies",
]

SPLITS = ("median", "disparity", "quantiles")
_NO_PLANE = 255


class MultiplaneViews(NamedTuple):
    """What `multiplane_project` returns; N images, V views, pixels `(height, width)`."""

    image: Tensor
    """`(N, V, C, height, width)`; 0 where the mask is False."""
    mask: Tensor
    """`(N, V, height, width)` bool: known after isolated pixels were removed and cracks filled."""
    mask_before: Tensor
    """Likewise: where a source pixel landed, before anything is removed or filled."""
    depth: Tensor
    """`(N, V, height, width)` float32 in the view's camera; 0 where the mask is False."""
    source_index: Tensor
    """`(N, V, height, width)` int32: row * W + column of the source pixel, -1 where none is shown
    as it is (empty or filled)."""
    plane: Tensor
    """`(N, V, height, width)` uint8: the plane that is shown, 0 the nearest; 255 where empty."""
    edges: Tensor
    """`(N, V, planes - 1)` float32: depths between the planes."""
    invalid: Tensor
    """`(N,)` int64: source pixels without a depth (not finite, 0 or negative)."""


def multiplane_project(
    image: Tensor,
    depth: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    target_viewmats: Tensor,
    target_Ks: Tensor | None = None,
    *,
    planes: int = 4,
    split: str = "median",
    edges: Tensor | None = None,
    keep_above: float = 0.5,
    fill_above: float = 0.2,
    output_size: tuple[int, int] | None = None,
) -> MultiplaneViews:
    """Shows an image with depth from other cameras, a whole row of views at once.

    Every pixel lands in the target pixel that its point falls into; the nearest wins, of equal ones
    the first in the image. The depths of a view are cut into planes, plane i holding
    (edges[i - 1], edges[i]]. In each plane by itself, a pixel is removed unless more than
    `keep_above` of its 3x3 pixels are in the plane (isolated pixels), and a pixel takes the
    Gaussian-weighted mean of the plane's 3x3 pixels where those weigh more than `fill_above`
    (cracks). Nearer planes then cover farther ones. Colours of different planes are never mixed.
    At the border the 3x3 pixels are mirrored.

    Differentiable (once) by the image. Results do not depend on the number of threads. A view with
    the source's own camera (equal numbers) and size is the image itself, bit for bit, also where
    the depth is missing.

    Convention: cameras are OpenCV's (x right, y down, z forward), pixel centres lie at +0.5, depth
    is along z. The geometry is computed in float32.

    Args:
        image: `(N, C, H, W)`, float32 or float64, on the CPU or a CUDA device.
        depth: `(N, H, W)` or `(N, 1, H, W)`; where not finite, 0 or negative, it is a hole.
        viewmats: `(N, 4, 4)` source camera from world.
        Ks: `(N, 3, 3)` in pixels.
        target_viewmats: `(V, 4, 4)` or `(N, V, 4, 4)` target camera from world.
        target_Ks: `(V, 3, 3)` or `(N, V, 3, 3)`; the source's by default.
        planes: number of planes, 1 to 255.
        split: where a view's depths are cut: "median" (two halves at the lower median, each into
            equal slabs; with an odd number one more in the far half), "disparity" (equal steps of
            1/depth) or "quantiles" (equally many pixels).
        edges: depths to cut at instead, ascending, `(planes - 1,)` or `(N, V, planes - 1)`; then
            `planes` and `split` do not matter.
        keep_above: share of the 3x3 pixels, 0 to 1; below 0.11 nothing is removed.
        fill_above: weight, of 0.78 when all 3x3 pixels are there; an edge neighbour weighs 0.097, a
            corner 0.059 and the pixel itself 0.159. From 0.78 on nothing is shown.
        output_size: (width, height) of the views; the image's by default.

    Returns:
        `MultiplaneViews`.

    Raises:
        ValueError: an argument has the wrong shape, dtype, device or value; a camera is not finite
            or cannot be inverted.

    Source: S2VG, "multi-plane projection"; dossier section 8.

    Example:
        >>> image = torch.arange(12.0).reshape(1, 1, 3, 4)
        >>> K = torch.tensor([[[4.0, 0, 2], [0, 4, 1.5], [0, 0, 1]]])
        >>> right = torch.eye(4)
        >>> right[0, 3] = -0.5  # half a unit to the right: 1 px at depth 2
        >>> views = multiplane_project(
        ...     image, torch.full((1, 3, 4), 2.0), torch.eye(4)[None], K, right[None])
        >>> views.source_index[0, 0]
        tensor([[ 1,  2,  3, -1],
                [ 5,  6,  7, -1],
                [ 9, 10, 11, -1]], dtype=torch.int32)
    """
    check_tensors(
        image=image, depth=depth, viewmats=viewmats, Ks=Ks, target_viewmats=target_viewmats,
        target_Ks=target_Ks, edges=edges,
    )  # fmt: skip
    if image.dim() != 4:
        raise ValueError(f"image must be (N, C, H, W), got shape {tuple(image.shape)}")
    N, _, H, W = image.shape
    depth = depth_maps(depth, image).to(torch.float32)
    width, height = size_or("output_size", output_size, (W, H))
    check_whole(planes=planes)
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    _between("keep_above", keep_above, 0, 1)
    _between("fill_above", fill_above, 0, 1)
    transform, same = target_from_source(image, viewmats, Ks, target_viewmats, target_Ks)
    if (width, height) != (W, H):
        same = torch.zeros_like(same)
    V = transform.shape[1]
    if edges is not None:
        planes = edges.shape[-1] + 1 if edges.dim() else 0
        if tuple(edges.shape) not in ((planes - 1,), (N, V, planes - 1)):
            got = tuple(edges.shape)
            raise ValueError(f"edges must be (planes - 1,) or ({N}, {V}, planes - 1), got {got}")
        edges = edges.to(torch.float32)
        if not torch.compiler.is_compiling():
            ascending = bool((edges.diff(dim=-1) >= 0).all())
            if not (ascending and bool(edges.isfinite().all())):
                raise ValueError(f"edges must be finite and ascending, got {edges.tolist()}")
        edges = edges.expand(N, V, planes - 1)
    if not 1 <= planes <= 255:
        raise ValueError(f"planes must be 1 to 255, got {planes}")
    output, depth_out, landed, index, _, owner, cuts, invalid = _multiplane_project(
        image, depth, transform.detach(), same, edges, planes,
        0 if edges is not None else 1 + SPLITS.index(split), keep_above, fill_above, height, width,
    )  # fmt: skip
    return MultiplaneViews(
        image=output,
        mask=owner != _NO_PLANE,
        mask_before=landed >= 0,
        depth=depth_out.detach(),
        source_index=index,
        plane=owner,
        edges=cuts.detach(),
        invalid=invalid,
    )


def multiplane_render(
    planes: Tensor, source_from_output: Tensor, *, output_size: tuple[int, int] | None = None
) -> tuple[Tensor, Tensor]:
    """Composites planes with alpha, each seen through a homography, back to front.

    Differentiable (once) by the planes and the homographies. Results do not depend on the number of
    threads on the CPU.

    Convention: pixel centres lie at +0.5. Planes are sampled bilinearly, colour and alpha each by
    itself; beyond its pixels, and where it is seen from behind, a plane is transparent. Identity
    shows a plane bit for bit where alpha is 1.

    Args:
        planes: `(N, D, C + 1, H, W)`, float32 or float64: C colours (not multiplied by alpha) and
            alpha in [0, 1]; `planes[:, 0]` is the farthest.
        source_from_output: `(N, D, 3, 3)`, or `(N, V, D, 3, 3)` for V views; computed in float64.
        output_size: (width, height) of the views; the planes' by default.

    Returns:
        Image `(N, C, height, width)` on black and its alpha `(N, 1, height, width)`; with views
        `(N, V, ...)`.

    Raises:
        ValueError: an argument has the wrong shape, dtype or device.

    Source: the "over" operator, Porter and Duff (1984).

    Example:
        >>> far, near = torch.tensor([0.2, 1.0]), torch.tensor([0.6, 0.5])  # colour, alpha
        >>> planes = torch.stack((far, near)).reshape(1, 2, 2, 1, 1)
        >>> image, alpha = multiplane_render(planes, torch.eye(3).expand(1, 2, 3, 3))
        >>> image.flatten(), alpha.flatten()
        (tensor([0.4000]), tensor([1.]))
    """
    check_tensors(planes=planes, source_from_output=source_from_output)
    if planes.dim() != 5:
        raise ValueError(f"planes must be (N, D, C + 1, H, W), got shape {tuple(planes.shape)}")
    shape, N, D = tuple(source_from_output.shape), planes.shape[0], planes.shape[1]
    if len(shape) not in (4, 5) or shape != (N, *shape[1:-3], D, 3, 3):
        raise ValueError(
            f"source_from_output must be ({N}, {D}, 3, 3) or ({N}, V, {D}, 3, 3), got {shape}"
        )
    width, height = size_or("output_size", output_size, (planes.shape[4], planes.shape[3]))
    matrix = source_from_output.to(torch.float64)
    views = matrix if len(shape) == 5 else matrix[:, None]
    result = _multiplane_render(planes, views, height, width)
    if len(shape) == 4:
        result = result[:, 0]
    return result[..., :-1, :, :], result[..., -1:, :, :]


def plane_homographies(
    depths: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    target_viewmats: Tensor,
    target_Ks: Tensor | None = None,
) -> Tensor:
    """Homographies of the planes at given depths before a camera, seen from other cameras.

    Differentiable. A plane in the target camera's focal plane gives numbers that are not finite.

    Args:
        depths: `(D,)` or `(N, D)` along the source camera's z.
        viewmats: `(N, 4, 4)` source camera from world.
        Ks: `(N, 3, 3)` in pixels.
        target_viewmats: `(V, 4, 4)` or `(N, V, 4, 4)` target camera from world.
        target_Ks: `(V, 3, 3)` or `(N, V, 3, 3)`; the source's by default.

    Returns:
        `source_from_output` `(N, V, D, 3, 3)` float64 for `multiplane_render`, w positive where the
        plane lies before the target camera.

    Raises:
        ValueError: an argument has the wrong shape or device; a camera is not finite or cannot be
            inverted.

    Source: Hartley and Zisserman, Multiple View Geometry, section 13.1.
    """
    check_tensors(
        depths=depths, viewmats=viewmats, Ks=Ks, target_viewmats=target_viewmats,
        target_Ks=target_Ks,
    )  # fmt: skip
    if depths.dim() not in (1, 2):
        raise ValueError(f"depths must be (D,) or (N, D), got shape {tuple(depths.shape)}")
    source, K, target, target_K = cameras(viewmats, Ks, target_viewmats, target_Ks, depths.device)
    if depths.dim() == 2 and depths.shape[0] != K.shape[0]:
        raise ValueError(f"depths must be (D,) or ({K.shape[0]}, D), got {tuple(depths.shape)}")
    d = depths.to(torch.float64).expand(K.shape[0], depths.shape[-1])[:, None, :, None, None]
    relative = target @ inverse_view(source)  # target camera from source camera
    rotation, shift = relative[..., :3, :3], relative[..., :3, 3:]
    normal = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64, device=K.device)
    # A point X of the plane z = d goes to (R + t n / d) X.
    moved = rotation[:, :, None] + shift[:, :, None] @ normal / d
    forward = target_K[:, :, None] @ moved @ torch.linalg.inv(K)[:, None, None]
    # Its inverse takes (q, 1) to d / z' (p, 1): w is positive before the target camera.
    return torch.linalg.inv_ex(forward).inverse


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must be {low} to {high}, got {value}")


def _fake_project(
    image: Tensor, depth: Tensor, transform: Tensor, same: Tensor, edges: Tensor | None,
    planes: int, split: int, keep_above: float, fill_above: float, height: int, width: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    N, C = image.shape[:2]
    V = transform.shape[1]

    def maps(dtype: torch.dtype) -> Tensor:
        return image.new_empty((N, V, height, width), dtype=dtype)

    return (
        image.new_empty((N, V, C, height, width)), maps(torch.float32), maps(torch.int32),
        maps(torch.int32), maps(torch.uint8), maps(torch.uint8),
        image.new_empty((N, V, planes - 1), dtype=torch.float32),
        image.new_empty((N,), dtype=torch.int64),
    )  # fmt: skip


def _fake_project_backward(
    grad_output: Tensor, landed: Tensor, index: Tensor, kept: Tensor, owner: Tensor, height: int,
    width: int,
) -> Tensor:  # fmt: skip
    return grad_output.new_empty((grad_output.shape[0], grad_output.shape[2], height, width))


def _project_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*output[2:6])
    ctx.size = inputs[0].shape[2:]


def _project_backward(ctx: Any, grad_output: Tensor, *_: Any) -> tuple[Any, ...]:
    grad = None
    if ctx.needs_input_grad[0]:
        grad = _multiplane_project_backward(grad_output, *ctx.saved_tensors, *ctx.size)
    return (grad, *(None,) * 10)


def _fake_render(planes: Tensor, source_from_output: Tensor, height: int, width: int) -> Tensor:
    N, _, C = planes.shape[:3]
    return planes.new_empty((N, source_from_output.shape[1], C, height, width))


def _fake_render_backward(
    grad_output: Tensor, planes: Tensor, source_from_output: Tensor, by_matrix: bool
) -> tuple[Tensor, Tensor]:
    grad_matrix = source_from_output.new_empty(source_from_output.shape if by_matrix else (0,))
    return planes.new_empty(planes.shape), grad_matrix


def _render_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0], inputs[1])


def _render_backward(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:
    by_planes, by_matrix = ctx.needs_input_grad[:2]
    grad_planes, grad_matrix = _multiplane_render_backward(
        grad_output, *ctx.saved_tensors, by_matrix
    )
    return grad_planes if by_planes else None, grad_matrix if by_matrix else None, None, None


_multiplane_project_backward = register(
    "multiplane_project_backward(Tensor grad_output, Tensor landed, Tensor index, Tensor kept,"
    " Tensor owner, SymInt height, SymInt width) -> Tensor",
    extension.multiplane_project_backward,
    _fake_project_backward,
)
_multiplane_project = register(
    "multiplane_project(Tensor image, Tensor depth, Tensor transform, Tensor same, Tensor? edges,"
    " int planes, int split, float keep_above, float fill_above, SymInt height, SymInt width)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    extension.multiplane_project,
    _fake_project,
    _project_context,
    _project_backward,
)
_multiplane_render_backward = register(
    "multiplane_render_backward(Tensor grad_output, Tensor planes, Tensor source_from_output,"
    " bool by_matrix) -> (Tensor, Tensor)",
    extension.multiplane_render_backward,
    _fake_render_backward,
)
_multiplane_render = register(
    "multiplane_render(Tensor planes, Tensor source_from_output, SymInt height, SymInt width)"
    " -> Tensor",
    extension.multiplane_render,
    _fake_render,
    _render_context,
    _render_backward,
)
