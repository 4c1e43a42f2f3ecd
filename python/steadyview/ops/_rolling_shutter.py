"""Cameras whose rows are read one after another: a pose per band of rows."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from steadyview.ops._cameras import is_affine

__all__ = ["Bands", "make_bands"]

SHUTTERS = ("GLOBAL", "ROLLING_TOP_TO_BOTTOM", "ROLLING_BOTTOM_TO_TOP")


@dataclass(frozen=True)
class Bands:
    """`count` bands of `height` rows of every image; the last one may reach beyond the image."""

    count: int
    height: int
    viewmats: Tensor  # (C * count, 4, 4)

    def repeat(self, values: Tensor) -> Tensor:
        """A camera's values for each of its bands."""
        return values if self.count == 1 else values.repeat_interleave(self.count, 0)

    def in_band(self, means2d: Tensor) -> Tensor:
        """`(C * count, N, 2)` from the image's to the bands' pixels."""
        if self.count == 1:
            return means2d
        tops = torch.arange(self.count, device=means2d.device) * self.height
        shift = torch.zeros((self.count, 2), dtype=means2d.dtype, device=means2d.device)
        shift[:, 1] = tops
        return means2d - shift.repeat(len(means2d) // self.count, 1)[:, None]

    def join(self, image: Tensor, height: int) -> Tensor:
        """Bands `(C * count, self.height, width, X)` to images `(C, height, width, X)`."""
        if self.count == 1:
            return image
        return image.unflatten(0, (-1, self.count)).flatten(1, 2)[:, :height]


def make_bands(
    viewmats: Tensor, viewmats_rs: Tensor | None, shutter: Any, row_bands: int, height: int
) -> Bands:
    """The bands' poses between those at the start and at the end of the read-out.

    Args:
        viewmats: `(C, 4, 4)` when the first row is read.
        viewmats_rs: the same when the last row has been read; or None.
        shutter: name or an enum member of that name, of SHUTTERS; None for GLOBAL.
        row_bands: how many, about.
        height: rows of an image.
    """
    name = getattr(shutter, "name", shutter) or "GLOBAL"
    if name not in SHUTTERS:
        raise ValueError(f"rolling_shutter must be one of {', '.join(SHUTTERS)}, got {name!r}")
    if name == "GLOBAL":
        if viewmats_rs is not None:
            raise ValueError("viewmats_rs needs a rolling_shutter other than GLOBAL")
        return Bands(1, height, viewmats)
    if viewmats_rs is None or viewmats_rs.shape != viewmats.shape:
        got = None if viewmats_rs is None else tuple(viewmats_rs.shape)
        raise ValueError(f"viewmats_rs must be {tuple(viewmats.shape)}, got {got}")
    if row_bands < 1:
        raise ValueError(f"row_bands must be at least 1, got {row_bands}")
    if height < 1:
        raise ValueError(f"height must be at least 1, got {height}")
    if not torch.compiler.is_compiling():
        if not viewmats_rs.isfinite().all():
            raise ValueError("viewmats_rs must be finite")
        if not is_affine(viewmats_rs).all():
            raise ValueError("viewmats_rs must have the last row 0 0 0 1 (is it transposed?)")
    rows = math.ceil(height / row_bands)
    count = math.ceil(height / rows)
    first = torch.arange(count, dtype=viewmats.dtype, device=viewmats.device) * rows
    times = (first + (first + rows).clamp(max=height)) / (2 * height)
    if name == "ROLLING_BOTTOM_TO_TOP":
        times = 1 - times
    with torch.autocast(viewmats.device.type, enabled=False):
        return Bands(count, rows, _between(viewmats, viewmats_rs, times).flatten(0, 1))


def _between(start: Tensor, end: Tensor, times: Tensor) -> Tensor:
    """`(C, B, 4, 4)` poses: the rotation about one axis at an even pace, the translation straight.

    Rotations from start to end must be below half a turn.
    """
    turn = end[:, :3, :3] @ start[:, :3, :3].mT
    axis = torch.stack(
        [turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0],
         turn[:, 1, 0] - turn[:, 0, 1]], -1,
    ) / 2  # fmt: skip
    squared = axis.square().sum(-1)
    still = squared < 1e-12  # angle / sine is 1 there
    sine = torch.where(still, 1.0, squared).sqrt()
    cosine = (turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    axis = axis * torch.where(still, 1.0, torch.atan2(sine, cosine) / sine)[:, None]
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    rotation = torch.matrix_exp(times[:, None, None] * skew[:, None]) @ start[:, None, :3, :3]
    shift = start[:, None, :3, 3:] + times[:, None, None] * (end - start)[:, None, :3, 3:]
    last = start[:, None, 3:].expand(-1, len(times), -1, -1)
    return torch.cat([torch.cat([rotation, shift], -1), last], -2)
