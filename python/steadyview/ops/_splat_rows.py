"""Rows of splats `(C, N, ...)`, a splat for each camera and Gaussian; internal."""

from torch import Tensor

__all__ = ["in_view", "rows_to_ids", "take_rows"]


def in_view(radii: Tensor) -> Tensor:
    """Which have two radii, of `(..., 2)`."""
    positive = radii > 0
    return positive[..., 0] & positive[..., 1]  # all(-1) takes ten times as long


def rows_to_ids(rows: Tensor, C: int, N: int) -> tuple[Tensor, Tensor]:
    """Cameras and Gaussians of rows of `(C * N, ...)`."""
    if C == 1:
        return rows.new_zeros(rows.shape), rows
    return rows // max(N, 1), rows % max(N, 1)


def take_rows(splats: Tensor, rows: Tensor) -> Tensor:
    """Of `(C, N, ...)` as `(C * N, ...)`; by [] it takes four times as long, its gradient two."""
    return splats.flatten(0, 1).index_select(0, rows)
