"""Synthetic camera motion, and whether a path stays inside its source."""

import numpy as np

SIZE = (640, 360)


def shaky_motion(frames: int, seed: int = 0, strength: float = 1.0) -> np.ndarray:
    """Motions of a camera whose pose is a slow drift and a shake of pixels and milliradians."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / 30
    angle = 2e-3 * strength * rng.normal(size=frames)
    scale = 5e-4 * strength * rng.normal(size=frames)
    x = strength * (3 * rng.normal(size=frames) + 8 * np.sin(13 * t)) + 40 * np.sin(1.2 * t)
    y = strength * (3 * rng.normal(size=frames) + 5 * np.sin(19 * t))
    linear = np.exp(np.diff(scale) + 1j * np.diff(angle))
    return np.stack([linear.real, linear.imag, np.diff(x), np.diff(y)], axis=1)


def outside(path: np.ndarray, size: tuple[float, float]) -> float:
    """How far the corners of the output frames leave the source, in pixels (<= 0: not at all)."""
    half = np.array(size) / 2
    worst = -np.inf
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * half[0], sy * half[1]
            a, b, tx, ty = path.T
            worst = max(worst, np.max(np.abs(a * x - b * y + tx) - half[0]))
            worst = max(worst, np.max(np.abs(b * x + a * y + ty) - half[1]))
    return worst
