"""Holes in pictures: small gaps across edges, the rest from a pyramid. Tensor operations only."""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["fill_holes"]

_SAME_DEPTH = 0.9  # nearer than this share of the farthest is foreground
_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows, columns; each with its opposite


def fill_holes(
    image: Tensor, holes: Tensor, *, depth: Tensor | None = None, gap: int = 0
) -> Tensor:
    """Fills holes from what surrounds them; known pixels stay bit for bit.

    First, gaps of up to `gap` pixels: of the four lines through a hole pixel, the one whose known
    ends differ least is interpolated, so a thin gap across an edge keeps the edge. Then pull-push:
    known pixels are averaged down a pyramid, and holes take what the coarser level has.

    With `depth`, holes are filled from the background: of pixels that are averaged, only those
    within 10 % of the farthest count, and a gap between foreground and background takes the
    background's end. Use it for what a moved camera uncovers.

    Differentiable by the image; on any device.

    Args:
        image: `(N, C, H, W)` floating point. Pixels with a channel that is not finite are holes.
        holes: `(N, H, W)` bool.
        depth: `(N, H, W)` along z, larger is farther; where it is not positive and finite, a pixel
            counts as nearest.
        gap: pixels; 0 leaves all to the pyramid.

    Returns:
        `(N, C, H, W)`; 0 in pictures without a known pixel.

    Raises:
        ValueError: an argument has the wrong shape, dtype, device or value.

    Source: Grossman and Dally, "Point Sample Rendering", 1998 (pull-push).

    Example:
        >>> image = torch.tensor([[[[1.0, 2, 0, 4]]]])
        >>> fill_holes(image, image[:, 0] == 0, gap=1)
        tensor([[[[1., 2., 3., 4.]]]])
    """
    _check(image, holes, depth, gap)
    known = ~holes & image.isfinite().all(1)
    if image.numel() == 0:
        return image.clone()
    values, weight = torch.where(known[:, None], image, 0), known.to(image.dtype)[:, None]
    if depth is not None:
        usable = known & depth.isfinite() & (depth > 0)
        values = torch.cat((values, torch.where(usable, depth, 0).to(image.dtype)[:, None]), 1)
    by_depth = depth is not None
    if gap:
        values, weight = _fill_gaps(values, weight, by_depth, gap)
    return _pull_push(values, weight, by_depth)[:, : image.shape[1]]


def _check(image: Tensor, holes: Tensor, depth: Tensor | None, gap: int) -> None:
    if image.dim() != 4 or not image.is_floating_point():
        got = f"{image.dtype}, shape {tuple(image.shape)}"
        raise ValueError(f"image must be (N, C, H, W) and floating point, got {got}")
    size = (image.shape[0], image.shape[2], image.shape[3])
    if tuple(holes.shape) != size or holes.dtype != torch.bool or holes.device != image.device:
        got = f"{holes.dtype} on {holes.device}, shape {tuple(holes.shape)}"
        raise ValueError(f"holes must be bool on {image.device}, shape {size}, got {got}")
    if depth is not None and (tuple(depth.shape) != size or depth.device != image.device):
        got = f"on {depth.device}, shape {tuple(depth.shape)}"
        raise ValueError(f"depth must be on {image.device}, shape {size}, got {got}")
    if gap < 0:
        raise ValueError(f"gap must be at least 0, got {gap}")


def _shifted(values: Tensor, rows: int, columns: int) -> Tensor:
    """Each pixel gets the value `rows` below and `columns` to the right; 0 beyond the edge."""
    height, width = values.shape[-2:]
    out = torch.zeros_like(values)
    if abs(rows) >= height or abs(columns) >= width:
        return out
    to = [slice(max(-step, 0), size - max(step, 0)) for step, size in _axes(rows, columns, values)]
    of = [slice(max(step, 0), size + min(step, 0)) for step, size in _axes(rows, columns, values)]
    out[..., to[0], to[1]] = values[..., of[0], of[1]]
    return out


def _axes(rows: int, columns: int, values: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
    return (rows, values.shape[-2]), (columns, values.shape[-1])


def _nearest(
    values: Tensor, known: Tensor, rows: int, columns: int, gap: int
) -> tuple[Tensor, Tensor]:
    """The first known value in a direction within `gap` steps, and how many steps; 0 where none."""
    found, steps = torch.zeros_like(values), torch.zeros_like(known)
    for step in range(1, gap + 1):
        there = _shifted(known, step * rows, step * columns)
        new = (steps == 0) & (there > 0)
        found = torch.where(new, _shifted(values, step * rows, step * columns), found)
        steps = torch.where(new, step, steps)
    return found, steps


def _fill_gaps(values: Tensor, weight: Tensor, by_depth: bool, gap: int) -> tuple[Tensor, Tensor]:
    colours = values.shape[1] - by_depth
    best = torch.full_like(weight, torch.inf)
    filled = values
    for rows, columns in _DIRECTIONS:
        a, near = _nearest(values, weight, rows, columns, gap)
        b, away = _nearest(values, weight, -rows, -columns, gap)
        whole = (weight == 0) & (near > 0) & (away > 0) & (near + away <= gap + 1)
        share = near / (near + away).clamp(min=1)
        if by_depth:  # the farther end alone, where the ends are at different depths
            za, zb = a[:, -1:], b[:, -1:]
            share = torch.where(za < _SAME_DEPTH * zb, 1, share)
            share = torch.where(zb < _SAME_DEPTH * za, 0, share)
        difference = (a - b)[:, :colours].abs().sum(1, keepdim=True)
        better = whole & (difference < best)
        best = torch.where(better, difference, best)
        filled = torch.where(better, a + share * (b - a), filled)
    return filled, torch.where(best.isfinite(), 1, weight)


def _pull_push(values: Tensor, weight: Tensor, by_depth: bool) -> Tensor:
    """Fills where the weight is 0. With `by_depth` the last channel is the depth."""
    height, width = values.shape[-2:]
    if height == 1 and width == 1:
        return values
    pad = (0, width % 2, 0, height % 2)
    children, share = (_children(functional.pad(x, pad)) for x in (values, weight))
    if by_depth:
        share = share * _background(children[:, -1:], share)
    coarse = (children * share).sum(2) / share.sum(2).clamp(min=1)
    coarse = _pull_push(coarse, share.amax(2), by_depth)
    parents = _parents(coarse)[..., :height, :width]
    bilinear = values.new_tensor([9, 3, 3, 1])[None, None, :, None, None] / 16
    if by_depth:
        bilinear = bilinear * _background(parents[:, -1:], torch.ones_like(parents[:, -1:]))
    up = (parents * bilinear).sum(2) / bilinear.sum(2)
    return torch.where(weight > 0, values, up)


def _background(depth: Tensor, weight: Tensor) -> Tensor:
    """1 where a depth (N, 1, 4, H, W) is about the farthest of the four with a weight."""
    farthest = torch.where(weight > 0, depth, 0).amax(2, keepdim=True)
    return (depth >= _SAME_DEPTH * farthest).to(depth.dtype)


def _children(values: Tensor) -> Tensor:
    """(N, C, 2 h, 2 w) to (N, C, 4, h, w): the four pixels of each cell."""
    n, c, height, width = values.shape
    cells = values.reshape(n, c, height // 2, 2, width // 2, 2)
    return cells.permute(0, 1, 3, 5, 2, 4).flatten(2, 3)


def _parents(coarse: Tensor) -> Tensor:
    """(N, C, h, w) to (N, C, 4, 2 h, 2 w): the cells around each pixel, the nearest first."""
    rows = _pair(coarse, 2)
    return torch.stack([cells for row in rows for cells in _pair(row, 3)], 2)


def _pair(coarse: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Along an axis, each pixel's own cell and the next nearest; at the edge its own again."""
    size = coarse.shape[axis]
    first, last = coarse.narrow(axis, 0, 1), coarse.narrow(axis, size - 1, 1)
    before = torch.cat((first, coarse.narrow(axis, 0, size - 1)), axis)
    after = torch.cat((coarse.narrow(axis, 1, size - 1), last), axis)
    other = torch.stack((before, after), axis + 1).flatten(axis, axis + 1)
    return coarse.repeat_interleave(2, axis), other
