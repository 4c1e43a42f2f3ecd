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


def composed_differences(b: np.ndarray, motions: np.ndarray, times: np.ndarray, size) -> list:
    """Velocity, acceleration and jerk of the output's four corners, `(rows, 8)`, from the points.

    Row by row: F_t(B_t(p)) - B_{t+1}(p) for every corner p, divided by the real time steps.
    """
    corners = np.array([(sx, sy) for sx in (-1, 1) for sy in (-1, 1)]) * np.array(size) / 2
    steps = np.diff(times)
    velocity = []
    for t in range(len(b) - 1):
        here, there = moved(b[t], corners), moved(b[t + 1], corners)
        velocity.append((moved(motions[t], here) - there).ravel() / steps[t])
    velocity = np.array(velocity).reshape(-1, 8)
    acceleration = np.diff(velocity, axis=0) / (0.5 * (steps[1:] + steps[:-1]))[:, None]
    jerk = np.diff(acceleration, axis=0) / steps[1:-1, None]
    return [velocity, acceleration, jerk]


def moved(similarity: np.ndarray, points: np.ndarray) -> np.ndarray:
    a, b, x, y = similarity
    return points @ np.array([[a, b], [-b, a]]) + (x, y)


def path_cost(b, motions, times, size, hold, zoom, weights) -> float:
    """The cost of csrc/trajectory/camera_path.h (l2), mean over the four corners."""
    radius = np.hypot(*size) / 2
    steps = np.diff(times)
    own = np.concatenate([steps[:1], 0.5 * (steps[1:] + steps[:-1]), steps[-1:]])
    off = hold * (radius**2 * b[:, 1] ** 2 + b[:, 2] ** 2 + b[:, 3] ** 2)
    total = np.sum(own * (off + zoom * radius**2 * (b[:, 0] - 1) ** 2))
    times_of = [steps, 0.5 * (steps[1:] + steps[:-1]), steps[1:-1]]
    differences = composed_differences(b, motions, times, size)
    for weight, share, d in zip(weights, times_of, differences, strict=True):
        total += weight * np.sum(share[:, None] * d**2) / 4
    return float(total)
