"""Global motion between consecutive frames, and its file."""

from dataclasses import dataclass

import numpy as np

__all__ = ["GlobalMotion"]


@dataclass(frozen=True)
class GlobalMotion:
    """Global motion of a video of N frames: N-1 transitions, frame t to frame t+1.

    Coordinates are pixels of the upright full-size frame; "centred" ones are relative to the
    frame's centre `(width/2, height/2)`, where pixel (0, 0) covers [0, 1] x [0, 1].

    Attributes:
        frame_size: (width, height) in pixels.
        times: presentation times in seconds, `(N,)`, increasing.
        similarity: `(N-1, 4)` rows (a, b, tx, ty): the centred point p of frame t is found at
            `[[a, -b], [b, a]] p + (tx, ty)` in frame t+1. Identity is (1, 0, 0, 0).
        homography: `(N-1, 3, 3)`, the same for centred homogeneous points; element (2, 2) is 1.
        coefficients: `(N-1, 2, K, K)`: the low-pass flow in pixels, x then y component,
            `flow(x, y) = sum_uv c[u, v] cos(pi u y / height) cos(pi v x / width)` at the uncentred
            point (x, y) of frame t; u is the vertical frequency. It holds the whole motion, the
            similarity part included.
        confidence: `(N-1,)` in [0, 1]; 0 where the motion prior was held instead of a measurement.
        residual: `(N-1,)` mean absolute photometric difference after alignment, in [0, 1].
        shots: index of the first frame of every shot; starts with 0. The transition into a shot's
            first frame is the identity with confidence 0.
    """

    frame_size: tuple[int, int]
    times: np.ndarray
    similarity: np.ndarray
    homography: np.ndarray
    coefficients: np.ndarray
    confidence: np.ndarray
    residual: np.ndarray
    shots: tuple[int, ...] = (0,)

    @property
    def frames(self) -> int:
        return len(self.times)
