"""Backward warps of tensors (C++ room `warp`)."""

from typing import Any

import torch
from torch import Tensor

from steadyview.ops._library import extension, register

__all__ = ["BORDERS", "INTERPOLATIONS", "backward_warp"]

INTERPOLATIONS = ("bilinear", "bicubic", "catmull-rom")
BORDERS = ("replicate", "zeros")
_SMALLEST_W = 1e-6  # as in csrc/warp/warp.h


def backward_warp(
    image: Tensor,
    source_from_output: Tensor,
    *,
    displacement: Tensor | None = None,
    interpolation: str = "bilinear",
    border: str = "replicate",
    output_size: tuple[int, int] | None = None,
) -> Tensor:
    """Warps images backward: each output pixel shows its source point, resampled once.

    Differentiable by the image, the matrix and the displacement (once).

    Convention: pixel (0, 0) covers [0, 1] x [0, 1], so its centre is (0.5, 0.5); x right, y down.
    The output pixel with centre p shows the image at `source_from_output @ p + displacement(p)`.
    The identity returns the image bit for bit. Points behind the camera (w <= 0 where w is 1 at the
    output's centre) see what lies infinitely far out.

    Args:
        image: `(N, C, H, W)`, float32 or float64, on the CPU or a CUDA device.
        source_from_output: `(N, 3, 3)` similarity, affine map or homography; computed in float64.
        displacement: `(N, 2, K, K)` cosine coefficients in pixels, x then y, added to the source
            point: `sum_uv c[u, v] cos(pi u y / height) cos(pi v x / width)` over the output.
        interpolation: bilinear, bicubic (OpenCV's and PyTorch's, a = -0.75) or catmull-rom
            (a = -0.5).
        border: what lies beyond the image: its edge repeated ("replicate") or "zeros".
        output_size: (width, height) of the output; the image's by default.

    Returns:
        `(N, C, height, width)` of the image's dtype and device.

    Raises:
        ValueError: an argument has the wrong shape, dtype, device or name.

    Example:
        >>> image = torch.arange(6.0).reshape(1, 1, 2, 3)
        >>> shift = torch.tensor([[[1.0, 0, 1], [0, 1, 0], [0, 0, 1]]])
        >>> backward_warp(image, shift)
        tensor([[[[1., 2., 2.],
                  [4., 5., 5.]]]])
    """
    if interpolation not in INTERPOLATIONS:
        allowed = ", ".join(INTERPOLATIONS)
        raise ValueError(f"interpolation must be one of {allowed}, got {interpolation!r}")
    if border not in BORDERS:
        raise ValueError(f"border must be one of {', '.join(BORDERS)}, got {border!r}")
    if image.dim() != 4:
        raise ValueError(f"image must be (N, C, H, W), got shape {tuple(image.shape)}")
    if tuple(source_from_output.shape[1:]) != (3, 3):
        got = tuple(source_from_output.shape)
        raise ValueError(f"source_from_output must be (N, 3, 3), got shape {got}")
    width, height = output_size or (image.shape[3], image.shape[2])
    matrix = source_from_output.to(torch.float64)
    # Only its direction matters: let w be 1 at the centre.
    at_centre = matrix[:, 2, 0] * (width / 2) + matrix[:, 2, 1] * (height / 2) + matrix[:, 2, 2]
    return _backward_warp(
        image,
        matrix / at_centre[:, None, None],
        None if displacement is None else displacement.to(torch.float64),
        height,
        width,
        INTERPOLATIONS.index(interpolation),
        border == "zeros",
    )


def _fake(
    image: Tensor,
    source_from_output: Tensor,
    displacement: Tensor | None,
    height: int,
    width: int,
    filter: int,
    zeros: bool,
) -> Tensor:
    return image.new_empty((image.shape[0], image.shape[1], height, width))


def _fake_backward(
    grad_output: Tensor,
    image: Tensor,
    source_from_output: Tensor,
    displacement: Tensor | None,
    filter: int,
    zeros: bool,
    by_image: bool,
    by_points: bool,
) -> tuple[Tensor, Tensor]:
    pixels = (grad_output.shape[0], grad_output.shape[2], grad_output.shape[3], 2)
    grad_image = image.new_empty(image.shape if by_image else (0,))
    return grad_image, source_from_output.new_empty(pixels if by_points else (0,))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    image, matrix, displacement, height, width, filter, zeros = inputs
    ctx.save_for_backward(image, matrix, displacement)
    ctx.options = (height, width, filter, zeros)


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:
    image, matrix, displacement = ctx.saved_tensors
    height, width, filter, zeros = ctx.options
    by_image, by_matrix, by_displacement = ctx.needs_input_grad[:3]
    grad_image, grad_points = _backward_warp_backward(
        grad_output.to(image.dtype), image, matrix, displacement, filter, zeros,
        by_image, by_matrix or by_displacement,
    )  # fmt: skip
    return (
        grad_image if by_image else None,
        _matrix_gradient(grad_points, matrix, height, width) if by_matrix else None,
        _displacement_gradient(grad_points, displacement) if by_displacement else None,
        None, None, None, None,
    )  # fmt: skip


def _centres(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, dtype=like.dtype, device=like.device) + 0.5


def _matrix_gradient(grad_points: Tensor, matrix: Tensor, height: int, width: int) -> Tensor:
    """Chain rule of `(q0 / q2, q1 / q2)`, q = matrix @ (x, y, 1)."""
    y, x = torch.meshgrid(_centres(height, matrix), _centres(width, matrix), indexing="ij")
    points = torch.stack((x, y, torch.ones_like(x))).flatten(1)  # (3, pixels)
    q = matrix @ points
    w = q[:, 2].clamp(min=_SMALLEST_W)
    by_xy = grad_points.flatten(1, 2).transpose(1, 2) / w[:, None]  # (N, 2, pixels)
    by_w = -(by_xy * q[:, :2]).sum(1, keepdim=True) / w[:, None]
    by_w = by_w * (q[:, 2:] > _SMALLEST_W)
    return torch.cat((by_xy, by_w), 1) @ points.T


def _displacement_gradient(grad_points: Tensor, displacement: Tensor) -> Tensor:
    height, width, terms = grad_points.shape[1], grad_points.shape[2], displacement.shape[-1]
    order = torch.arange(terms, dtype=grad_points.dtype, device=grad_points.device) * torch.pi
    basis_y = torch.cos(order[:, None] * _centres(height, grad_points) / height)
    basis_x = torch.cos(_centres(width, grad_points)[:, None] * order / width)
    return basis_y @ grad_points.permute(0, 3, 1, 2) @ basis_x


_backward_warp_backward = register(
    "backward_warp_backward(Tensor grad_output, Tensor image, Tensor source_from_output,"
    " Tensor? displacement, int filter, bool zeros, bool by_image, bool by_points)"
    " -> (Tensor, Tensor)",
    extension.backward_warp_backward,
    _fake_backward,
)
_backward_warp = register(
    "backward_warp(Tensor image, Tensor source_from_output, Tensor? displacement, SymInt height,"
    " SymInt width, int filter, bool zeros) -> Tensor",
    extension.backward_warp,
    _fake,
    _setup_context,
    _backward,
)
