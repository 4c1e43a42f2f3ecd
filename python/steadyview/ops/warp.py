"""Backward warps of tensors (C++ room `warp`)."""

import math
from typing import Any

import torch
from torch import Tensor

from steadyview.ops._arguments import check_tensors, size_or
from steadyview.ops._library import extension, register

__all__ = ["BORDERS", "INTERPOLATIONS", "backward_warp", "count_invalid"]

INTERPOLATIONS = ("bilinear", "bicubic", "catmull-rom", "lanczos3")
BORDERS = ("replicate", "constant", "reflect", "zeros")


def backward_warp(
    image: Tensor,
    source_from_output: Tensor | None = None,
    *,
    flow: Tensor | None = None,
    grid: Tensor | None = None,
    displacement: Tensor | None = None,
    interpolation: str = "bilinear",
    border: str = "replicate",
    fill: float = 0.0,
    output_size: tuple[int, int] | None = None,
) -> Tensor:
    """Warps images backward: each output pixel shows its source point, resampled once.

    Differentiable (once) by the image and by what gives the source points; on the CPU the
    gradients, as the image, do not depend on the number of threads.

    Convention: pixel (0, 0) covers [0, 1] x [0, 1], so its centre is (0.5, 0.5); x right, y down.
    The output pixel with centre p shows the image at `p + flow(p)`, at `grid(p)`, or at
    `source_from_output @ p + displacement(p)`. The identity returns the image bit for bit. Points
    behind the camera (w <= 0 where w is 1 at the output's centre) see what lies infinitely far out.
    Where a source point is not finite, the output is `fill` and gradients are 0; `count_invalid`
    of the flow or grid counts these pixels.

    Args:
        image: `(N, C, H, W)`, float32, float64 or uint8 (rounded, no gradients); on a CUDA device
            also float16 or bfloat16. Sides up to 2^28.
        source_from_output: `(N, 3, 3)` similarity, affine map or homography; computed in float64.
        flow: `(N, 2, height, width)` in pixels, x then y; float64 where the image is, else float32.
        grid: `(N, 2, height, width)` source points in pixels, x then y; as flow.
        displacement: `(N, 2, K, K)` cosine coefficients in pixels, x then y, K up to 64, added to
            what source_from_output (by default the identity) gives:
            `sum_uv c[u, v] cos(pi u y / height) cos(pi v x / width)` over the output.
        interpolation: bilinear, bicubic (OpenCV's and PyTorch's, a = -0.75), catmull-rom
            (a = -0.5) or lanczos3 (normalised, to 1e-5 of its kernel).
        border: what lies beyond the image: its edge repeated ("replicate"), `fill` ("constant"), 0
            ("zeros") or its mirror image dcba|abcd|dcba ("reflect").
        fill: see above; 0 to 255 for uint8. One that is not finite shows in every pixel that it
            weighs in, and counts as 0 in gradients by source points.
        output_size: (width, height) of the output; the image's by default. Not with flow or grid,
            whose size it has.

    Returns:
        `(N, C, height, width)` of the image's dtype and device.

    Raises:
        TypeError: image or what moves it is not a tensor.
        ValueError: an argument has the wrong shape, dtype, device or name.

    Example:
        >>> image = torch.arange(6.0).reshape(1, 1, 2, 3)
        >>> shift = torch.tensor([[[1.0, 0, 1], [0, 1, 0], [0, 0, 1]]])
        >>> backward_warp(image, shift)
        tensor([[[[1., 2., 2.],
                  [4., 5., 5.]]]])
        >>> torch.equal(backward_warp(image, flow=torch.zeros(1, 2, 2, 3)), image)
        True
    """
    check_tensors(
        image=image, source_from_output=source_from_output, flow=flow, grid=grid,
        displacement=displacement,
    )  # fmt: skip
    if interpolation not in INTERPOLATIONS:
        allowed = ", ".join(INTERPOLATIONS)
        raise ValueError(f"interpolation must be one of {allowed}, got {interpolation!r}")
    if border not in BORDERS:
        raise ValueError(f"border must be one of {', '.join(BORDERS)}, got {border!r}")
    if border == "zeros" and fill != 0:
        raise ValueError(f"fill must be 0 with border 'zeros', got {fill!r}")
    if image.dim() != 4:
        raise ValueError(f"image must be (N, C, H, W), got shape {tuple(image.shape)}")
    if image.dtype == torch.uint8 and not 0 <= fill <= 255:
        raise ValueError(f"fill must be 0 to 255 for uint8, got {fill!r}")
    given = {"source_from_output": source_from_output, "flow": flow, "grid": grid}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1 or (displacement is None and not names):
        raise ValueError(
            "one of source_from_output, flow, grid and displacement must be given, got "
            + (" and ".join(names) or "none")
        )
    field = flow if flow is not None else grid
    matrix = None
    if field is not None:
        if displacement is not None or output_size is not None:
            name = "output_size" if displacement is None else "displacement"
            raise ValueError(f"{name} must not be given with {names[0]}")
        if field.dim() != 4 or field.shape[:2] != (image.shape[0], 2):
            raise ValueError(
                f"{names[0]} must be ({image.shape[0]}, 2, height, width), got shape "
                f"{tuple(field.shape)}"
            )
        _check_device(names[0], field, image)
        field = field.to(torch.float64 if image.dtype == torch.float64 else torch.float32)
        height, width = field.shape[2:]
    else:
        width, height = size_or("output_size", output_size, (image.shape[3], image.shape[2]))
        matrix = _normalised(source_from_output, image, width, height)
        if displacement is not None:
            _check_device("displacement", displacement, image)
            displacement = displacement.to(torch.float64)
    return _backward_warp(
        image,
        field,
        matrix,
        displacement,
        flow is not None,
        height,
        width,
        INTERPOLATIONS.index(interpolation),
        BORDERS.index("constant" if border == "zeros" else border),
        float(fill),
    )


def count_invalid(*fields: Tensor) -> Tensor:
    """Pixels that `backward_warp` and `forward_splat` take for holes: not finite in some field.

    Args:
        fields: `(N, C, H, W)` of one N, H and W: a flow or grid; of a splat also its metric.

    Returns:
        `(N,)` int64, how many in each image.

    Raises:
        TypeError: a field is not a tensor.
        ValueError: there are none, or their shapes do not fit.

    Example:
        >>> flow = torch.zeros(1, 2, 3, 4)
        >>> flow[0, :, 1, 2] = torch.nan
        >>> count_invalid(flow)
        tensor([1])
    """
    check_tensors(**{f"fields[{i}]": field for i, field in enumerate(fields)})
    shapes = [tuple(field.shape) for field in fields]
    if not shapes or any(len(s) != 4 or (s[0], *s[2:]) != (shapes[0][0], *shapes[0][2:])
                         for s in shapes):  # fmt: skip
        raise ValueError(f"fields must be (N, C, H, W) of one N, H and W, got shapes {shapes}")
    known = torch.stack([field.isfinite().all(1) for field in fields]).all(0)
    return (~known).flatten(1).sum(1)


def _check_device(name: str, tensor: Tensor, image: Tensor) -> None:
    if tensor.device != image.device:
        raise ValueError(f"{name} must be on {image.device} as image is, got {tensor.device}")


def _normalised(matrix: Tensor | None, image: Tensor, width: int, height: int) -> Tensor:
    """Only its direction matters: let w be 1 at the output's centre."""
    if matrix is None:
        one = torch.eye(3, dtype=torch.float64, device=image.device)
        return one.expand(image.shape[0], 3, 3)
    if tuple(matrix.shape) != (image.shape[0], 3, 3):
        raise ValueError(
            f"source_from_output must be ({image.shape[0]}, 3, 3), got shape {tuple(matrix.shape)}"
        )
    _check_device("source_from_output", matrix, image)
    matrix = matrix.to(torch.float64)
    at_centre = matrix[:, 2, 0] * (width / 2) + matrix[:, 2, 1] * (height / 2) + matrix[:, 2, 2]
    return matrix / at_centre[:, None, None]


def _fake(
    image: Tensor, points: Tensor | None, source_from_output: Tensor | None,
    displacement: Tensor | None, is_flow: bool, height: int, width: int, filter: int, border: int,
    fill: float,
) -> Tensor:  # fmt: skip
    return image.new_empty((image.shape[0], image.shape[1], height, width))


def _fake_backward(
    grad_output: Tensor, image: Tensor, points: Tensor | None, source_from_output: Tensor | None,
    displacement: Tensor | None, is_flow: bool, filter: int, border: int, fill: float,
    by_image: bool, by_motion: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    wide = torch.float64 if image.dtype == torch.float64 else torch.float32
    by_terms = by_motion and source_from_output is not None
    terms = 9 + (0 if displacement is None else 2 * displacement.shape[2] * displacement.shape[3])
    pixels = (image.shape[0], 2, grad_output.shape[2], grad_output.shape[3])
    return (
        image.new_empty(image.shape if by_image else (0,), dtype=image.dtype if by_image else wide),
        image.new_empty(pixels if by_motion and not by_terms else (0,), dtype=wide),
        image.new_empty((image.shape[0], terms) if by_terms else (0,), dtype=torch.float64),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    image, points, matrix, displacement, is_flow, _, _, filter, border, fill = inputs
    ctx.save_for_backward(image, points, matrix, displacement)
    ctx.options = (is_flow, filter, border, fill if math.isfinite(fill) else 0.0)


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:
    image, points, matrix, displacement = ctx.saved_tensors
    by_image, by_points, by_matrix, by_displacement = ctx.needs_input_grad[:4]
    grad_image, grad_points, grad_terms = _backward_warp_backward(
        grad_output.to(image.dtype), image, points, matrix, displacement, *ctx.options,
        by_image, by_points or by_matrix or by_displacement,
    )  # fmt: skip
    return (
        grad_image if by_image else None,
        grad_points if by_points else None,
        grad_terms[:, :9].reshape(matrix.shape) if by_matrix else None,
        grad_terms[:, 9:].reshape(displacement.shape) if by_displacement else None,
        *(None,) * 6,
    )


_backward_warp_backward = register(
    "backward_warp_backward(Tensor grad_output, Tensor image, Tensor? points,"
    " Tensor? source_from_output, Tensor? displacement, bool is_flow, int filter, int border,"
    " float fill, bool by_image, bool by_motion) -> (Tensor, Tensor, Tensor)",
    extension.backward_warp_backward,
    _fake_backward,
)
_backward_warp = register(
    "backward_warp(Tensor image, Tensor? points, Tensor? source_from_output,"
    " Tensor? displacement, bool is_flow, SymInt height, SymInt width, int filter, int border,"
    " float fill) -> Tensor",
    extension.backward_warp,
    _fake,
    _setup_context,
    _backward,
)
