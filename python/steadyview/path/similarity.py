"""Smooth camera paths: similarity corrections under a crop limit."""

from dataclasses import dataclass

import numpy as np

__all__ = ["CameraPath"]


@dataclass(frozen=True)
class CameraPath:
    """Where each output frame looks into its source frame.

    Attributes:
        frame_size: (width, height) in pixels.
        source_from_output: `(N, 4)` rows (a, b, tx, ty): the centred output point p shows the
            centred source point `[[a, -b], [b, a]] p + (tx, ty)`. a < 1 zooms in. All four corners
            of the output frame map inside the source frame.
        kept: `(N,)` part of the source's width and height that is seen: sqrt(a^2 + b^2).
        displacement: `(N, 2, K, K)` or None: DCT coefficients in pixels (basis of
            `GlobalMotion.coefficients`, over the output frame) of what is added to the source
            point.
        status: "solved", or why the solver stopped early.
        iterations: interior-point iterations over all shots.
        violation: largest violation of a corner constraint, in pixels (<= 1e-9).
    """

    frame_size: tuple[int, int]
    source_from_output: np.ndarray
    kept: np.ndarray
    displacement: np.ndarray | None = None
    status: str = "solved"
    iterations: int = 0
    violation: float = 0.0
