"""How much of the motion between frames is not a homography: rolling-shutter and warping wobble."""

from __future__ import annotations

import numpy as np

from .tracking import Array, homography_residuals

__all__ = ["CAP_PX", "paired_wobble"]

CAP_PX = 3.0


def paired_wobble(
    source: tuple[Array, Array], result: tuple[Array, Array], zoom: float
) -> tuple[float, float]:
    """Wobble of one transition, measured on the same scene points in source and result.

    In each video the best homography is fitted to the tracks (RANSAC, 3 px). Over the tracks within
    3 px of it in both videos, `wobble = sqrt(mean(residual^2))`, the result's divided by its zoom.
    Parallax and independent motion count in both alike, so compare the two, not one of them with 0.

    Args:
        source, result: (start, end), each `(n, 2)`, in pixels at a long side of 640.
        zoom: result pixels a source pixel.

    Returns:
        (wobble of the source, of the result) in source pixels; nan when fewer than 12 tracks agree.
    """
    before = homography_residuals(*source)
    after = homography_residuals(*result) / zoom
    both = (before < CAP_PX) & (after < CAP_PX)
    if both.sum() < 12:
        return float("nan"), float("nan")
    return tuple(float(np.sqrt(np.mean(part[both] ** 2))) for part in (before, after))  # type: ignore[return-value]
