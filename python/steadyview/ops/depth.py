"""Depth maps of a video made steady in time and smooth in space (C++ room `depth`)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from steadyview.ops._arguments import check_tensors, check_whole, whole
from steadyview.ops._library import extension, register

__all__ = ["guided_filter", "smooth_depth"]


def guided_filter(guide: Tensor, source: Tensor, radius: int, epsilon: float) -> Tensor:
    """Smooths `source` where `guide` is smooth, and keeps what follows the guide's edges.

    In every window source is fitted by a line in the guide; a pixel gets the mean of the lines of
    the windows that hold it. Windows are cut at the border. Sums are float64; on the CPU, results
    do not depend on the number of threads. Differentiable (once) by both.

    Args:
        guide, source: `(..., H, W)` floating point, the same shape; on the CPU or a CUDA device. A
            value that is not finite spoils others of its picture.
        radius: of the square windows, in pixels, at least 0.
        epsilon: added to the guide's variance: edges much smaller than its root are smoothed away.

    Returns:
        The source's shape and dtype.

    Raises:
        TypeError: an argument is no tensor, or radius no whole number.
        ValueError: the shapes or dtypes differ, or a number is out of its range.

    Source: He, Sun and Tang, "Guided Image Filtering", 2010.
    """
    check_tensors(guide=guide, source=source)
    check_whole(radius=radius)
    if guide.shape != source.shape or guide.dtype != source.dtype or guide.dim() < 2:
        raise ValueError(
            f"guide and source must be (..., H, W) of one dtype, got {guide.dtype} "
            f"{tuple(guide.shape)} and {source.dtype} {tuple(source.shape)}"
        )
    pictures = (-1 if source.numel() else 0, *source.shape[-2:])
    x, y = (whole(values).reshape(pictures) for values in (guide, source))
    return _guided_filter(x, y, radius, epsilon).reshape(source.shape).to(source.dtype)


def smooth_depth(
    disparity: Tensor,
    frames: Tensor,
    forward_flow: Tensor,
    backward_flow: Tensor,
    *,
    colour_tolerance: float = 20 / 255,
    disparity_tolerance: float = 0.5,
    radius: int = 30,
    epsilon: float = 1e-4,
) -> Tensor:
    """Disparity of a video, averaged with the neighbours in time along the flow, then smoothed.

    A neighbour counts where the flow stays in the frame, no channel differs by more than
    `colour_tolerance`, and its disparity by no more than `disparity_tolerance` of its range.
    Weights are 1/4, 1/2, 1/4, made to sum to 1 over what counts. A guided filter follows, the
    frame's own raw disparity its guide; negative results become 0.

    On the CPU, results do not depend on the number of threads. Not differentiable.

    Args:
        disparity: `(T, H, W)`, proportional to 1 / depth; where it is not finite or not positive it
            is unknown: it takes the neighbours' where these count, else 0.
        frames: `(T, C, H, W)` uint8, or floating in [0, 1].
        forward_flow, backward_flow: `(T - 1, 2, H, W)` in pixels; item t moves points of frame t to
            t + 1, or of frame t + 1 to t; to the nearest pixel. One that is not finite leads
            nowhere.
        colour_tolerance: of [0, 1].
        disparity_tolerance: share of the frame's range (largest less least disparity).
        radius: of the guided filter, in pixels; 0 leaves it out.
        epsilon: of the guided filter, in squares of the frame's range of disparity.

    Returns:
        `(T, H, W)` of disparity's dtype. All is computed in float64 if that is it, else in float32
        (the filter's sums in float64).

    Raises:
        TypeError: an argument is no tensor, frames are neither uint8 nor floating, or radius is no
            whole number.
        ValueError: an argument has the wrong shape, dtype, device or value.

    Source: S2VG's depth stabilisation (window 3, radius 30, epsilon 1e-4).
    """
    check_tensors(
        disparity=disparity, frames=frames, forward_flow=forward_flow, backward_flow=backward_flow
    )
    check_whole(radius=radius)
    if frames.dtype != torch.uint8 and not frames.is_floating_point():
        raise TypeError(f"frames must be uint8 or floating point, got {frames.dtype}")
    values = whole(disparity)
    pictures = frames if frames.dtype == torch.uint8 else frames.to(values.dtype)
    result = _smooth_depth(
        values, pictures, forward_flow.to(values.dtype), backward_flow.to(values.dtype),
        colour_tolerance, disparity_tolerance, radius, epsilon,
    )  # fmt: skip
    return result.to(disparity.dtype)


def _fake_guided(guide: Tensor, source: Tensor, radius: int, epsilon: float) -> Tensor:
    return source.new_empty(source.shape)


def _fake_smooth(
    disparity: Tensor, frames: Tensor, forward_flow: Tensor, backward_flow: Tensor,
    colour_tolerance: float, disparity_tolerance: float, radius: int, epsilon: float,
) -> Tensor:  # fmt: skip
    return disparity.new_empty(disparity.shape)


def _guided_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    guide, source, ctx.radius, ctx.epsilon = inputs
    ctx.save_for_backward(guide, source)


def _guided_backward(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:
    """Of mean(slope) x + mean(offset); in tensor operations, as hardly anybody asks for it."""
    guide, source = (values.double() for values in ctx.saved_tensors)
    # About the pictures' means, so that the differences below keep their digits.
    x, y = (values - values.mean((-2, -1), keepdim=True) for values in (guide, source))
    grad = grad_output.double()
    count = _box_sum(torch.ones_like(x), ctx.radius)

    def mean(values: Tensor) -> Tensor:
        return _box_sum(values, ctx.radius) / count

    def spread(values: Tensor) -> Tensor:  # the transpose of mean
        return _box_sum(values / count, ctx.radius)

    mean_x, mean_y = mean(x), mean(y)
    variance = mean(x * x) - mean_x * mean_x
    total = variance.clamp(min=0) + ctx.epsilon
    slope = (mean(x * y) - mean_x * mean_y) / total
    by_offset = spread(grad)
    by_covariance = (spread(grad * x) - by_offset * mean_x) / total
    by_variance = torch.where(variance > 0, -by_covariance * slope, 0.0)
    by_mean_x = -by_offset * slope - by_covariance * mean_y - 2 * by_variance * mean_x
    by_mean_y = by_offset - by_covariance * mean_x
    across = spread(by_covariance)
    by_x = grad * mean(slope) + spread(by_mean_x) + y * across + 2 * x * spread(by_variance)
    by_y = spread(by_mean_y) + x * across
    return by_x.to(grad_output.dtype), by_y.to(grad_output.dtype), None, None


def _box_sum(values: Tensor, radius: int) -> Tensor:
    for axis in (-1, -2):
        size = values.shape[axis]
        at = torch.arange(size, device=values.device)
        low, high = (at - radius).clamp(min=0), (at + radius + 1).clamp(max=size)
        sums = functional.pad(values.cumsum(axis), (1, 0) if axis == -1 else (0, 0, 1, 0))
        values = sums.index_select(axis, high) - sums.index_select(axis, low)
    return values


_guided_filter = register(
    "guided_filter(Tensor guide, Tensor source, int radius, float epsilon) -> Tensor",
    extension.guided_filter,
    _fake_guided,
    _guided_context,
    _guided_backward,
)
_smooth_depth = register(
    "smooth_depth(Tensor disparity, Tensor frames, Tensor forward_flow, Tensor backward_flow,"
    " float colour_tolerance, float disparity_tolerance, int radius, float epsilon) -> Tensor",
    extension.smooth_depth,
    _fake_smooth,
)
