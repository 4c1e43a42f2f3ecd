"""Depth maps of a video made steady in time and smooth in space. Tensor operations only."""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["guided_filter", "smooth_depth"]


def guided_filter(guide: Tensor, source: Tensor, radius: int, epsilon: float) -> Tensor:
    """Smooths `source` where `guide` is smooth, and keeps what follows the guide's edges.

    In every window source is fitted by a line in the guide; a pixel gets the mean of the lines of
    the windows that hold it. Windows are cut at the border. Differentiable; on any device; sums in
    float64.

    Args:
        guide, source: `(..., H, W)` floating point, the same shape.
        radius: of the square windows, in pixels, at least 0.
        epsilon: added to the guide's variance: edges much smaller than its root are smoothed away.

    Returns:
        The source's shape and dtype.

    Raises:
        ValueError: the shapes or dtypes differ, or a number is out of its range.

    Source: He, Sun and Tang, "Guided Image Filtering", 2010.
    """
    if guide.shape != source.shape or guide.dtype != source.dtype or guide.dim() < 2:
        raise ValueError(
            f"guide and source must be (..., H, W) of one dtype, got {guide.dtype} "
            f"{tuple(guide.shape)} and {source.dtype} {tuple(source.shape)}"
        )
    if radius < 0 or not epsilon > 0:
        raise ValueError(f"radius must be >= 0 and epsilon > 0, got {radius} and {epsilon}")
    if source.numel() == 0:
        return source.clone()
    x, y = guide.double(), source.double()
    # About the pictures' means, so that the differences below keep their digits.
    x0, y0 = x.mean((-2, -1), keepdim=True), y.mean((-2, -1), keepdim=True)
    x, y = x - x0, y - y0
    mean_x, mean_y = _box_mean(x, radius), _box_mean(y, radius)
    variance = _box_mean(x * x, radius) - mean_x * mean_x
    covariance = _box_mean(x * y, radius) - mean_x * mean_y
    slope = covariance / (variance.clamp(min=0) + epsilon)
    offset = mean_y - slope * mean_x
    result = _box_mean(slope, radius) * x + _box_mean(offset, radius) + y0
    return result.to(source.dtype)


def _box_mean(values: Tensor, radius: int) -> Tensor:
    for axis in (-1, -2):
        size = values.shape[axis]
        at = torch.arange(size, device=values.device)
        low, high = (at - radius).clamp(min=0), (at + radius + 1).clamp(max=size)
        sums = functional.pad(values.cumsum(axis), (1, 0) if axis == -1 else (0, 0, 1, 0))
        count = (high - low).to(values.dtype)
        total = sums.index_select(axis, high) - sums.index_select(axis, low)
        values = total / (count if axis == -1 else count[:, None])
    return values


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

    Args:
        disparity: `(T, H, W)`, proportional to 1 / depth; where it is not finite or not positive it
            is unknown: it takes the neighbours' where these count, else 0.
        frames: `(T, C, H, W)` uint8, or floating in [0, 1].
        forward_flow, backward_flow: `(T - 1, 2, H, W)` in pixels; item t moves points of frame t to
            t + 1, or of frame t + 1 to t.
        colour_tolerance: of [0, 1].
        disparity_tolerance: share of the frame's range (largest less least disparity).
        radius: of the guided filter, in pixels; 0 leaves it out.
        epsilon: of the guided filter, in squares of the frame's range of disparity.

    Returns:
        `(T, H, W)` of disparity's dtype.

    Raises:
        TypeError: frames are neither uint8 nor floating.
        ValueError: an argument has the wrong shape or value.

    Source: S2VG's depth stabilisation (window 3, radius 30, epsilon 1e-4).
    """
    if disparity.dim() != 3 or not disparity.is_floating_point():
        got = f"{disparity.dtype}, shape {tuple(disparity.shape)}"
        raise ValueError(f"disparity must be (T, H, W) and floating point, got {got}")
    count, height, width = disparity.shape
    if frames.dim() != 4 or (frames.shape[0], *frames.shape[2:]) != (count, height, width):
        shape = tuple(frames.shape)
        raise ValueError(f"frames must be ({count}, C, {height}, {width}), got shape {shape}")
    if frames.dtype != torch.uint8 and not frames.is_floating_point():
        raise TypeError(f"frames must be uint8 or floating point, got {frames.dtype}")
    for name, flow in (("forward_flow", forward_flow), ("backward_flow", backward_flow)):
        if tuple(flow.shape) != (max(count - 1, 0), 2, height, width):
            wanted = (max(count - 1, 0), 2, height, width)
            raise ValueError(f"{name} must be {wanted}, got shape {tuple(flow.shape)}")
    for name, value in (("colour_tolerance", colour_tolerance),
                        ("disparity_tolerance", disparity_tolerance)):  # fmt: skip
        if not value >= 0:
            raise ValueError(f"{name} must be at least 0, got {value}")
    known = disparity.isfinite() & (disparity > 0)
    raw = torch.where(known, disparity, 0)
    result = torch.empty_like(raw)
    for t in range(count):  # a frame at a time: memory stays that of a frame
        result[t] = _stabilised(
            t, raw, known, frames, forward_flow, backward_flow,
            colour_tolerance, disparity_tolerance,
        )  # fmt: skip
        span = _range(raw[t], known[t])
        if radius and span > 0:
            guide = torch.where(known[t], raw[t], result[t])
            result[t] = span * guided_filter(guide / span, result[t] / span, radius, epsilon)
    return result.clamp(min=0)


def _range(disparity: Tensor, known: Tensor) -> float:
    values = disparity[known]
    return float(values.max() - values.min()) if values.numel() else 0.0


def _stabilised(
    t: int, raw: Tensor, known: Tensor, frames: Tensor, forward_flow: Tensor,
    backward_flow: Tensor, colour_tolerance: float, disparity_tolerance: float,
) -> Tensor:  # fmt: skip
    total = torch.where(known[t], 0.5, 0.0).to(raw.dtype)
    weighted = total * raw[t]
    limit = disparity_tolerance * _range(raw[t], known[t])
    neighbours = [(t - 1, backward_flow[t - 1])] if t else []
    if t + 1 < len(raw):
        neighbours.append((t + 1, forward_flow[t]))
    for other, flow in neighbours:
        index, inside = _nearest_pixel(flow)
        value, there = raw[other].flatten()[index], known[other].flatten()[index]
        colour = _unit(frames[other]).flatten(1)[:, index]
        counts = inside & there & ((colour - _unit(frames[t])).abs().amax(0) <= colour_tolerance)
        counts &= ((value - raw[t]).abs() <= limit) | ~known[t]
        weight = torch.where(counts, 0.25, 0.0).to(raw.dtype)
        total, weighted = total + weight, weighted + weight * value
    return weighted / total.clamp(min=0.25)


def _unit(frame: Tensor) -> Tensor:
    return frame.float() / 255 if frame.dtype == torch.uint8 else frame


def _nearest_pixel(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Index into the flattened neighbour, and where it is inside. Rounds half to even."""
    height, width = flow.shape[1:]
    y, x = torch.meshgrid(
        torch.arange(height, device=flow.device), torch.arange(width, device=flow.device),
        indexing="ij",
    )  # fmt: skip
    flow = flow if flow.dtype == torch.float64 else flow.float()  # which hold every index of a row
    tx, ty = x + flow[0].round(), y + flow[1].round()
    inside = (tx >= 0) & (tx < width) & (ty >= 0) & (ty < height)  # false for what is not finite
    tx, ty = torch.where(inside, tx, 0).long(), torch.where(inside, ty, 0).long()
    return ty * width + tx, inside
