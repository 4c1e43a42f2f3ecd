"""How much a video shakes: energy of its image path above 1 Hz, independent of the frame rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .tracking import (
    LONG_SIDE,
    Array,
    VideoSource,
    detect_corners,
    fit_similarity,
    follow,
    read_luma,
    to_tracking_size,
)

__all__ = [
    "CUTOFF_HZ", "Shake", "even_grid", "highpass", "is_known", "measure_shake",
    "shake_of_transitions",
]  # fmt: skip

CUTOFF_HZ = 1.0
_NOISE_SPEED = 3.0  # px/s at 640: what the tracker sees on a still video, and a viewer does not


@dataclass(frozen=True)
class Shake:
    """Shake of a video; lengths in pixels of a frame whose long side is 640 (of the source's frame
    when a result was compared with its source).

    Attributes:
        times: `(N,)` seconds from the first frame.
        transitions: `(N-1, 4)` rows (a, b, tx, ty): similarity about the frame's centre, frame t to
            t+1; nan where it could not be measured.
        path: `(N, 5, 2)` summed displacement at the frame's centre and four corners.
        shake_path: `(N, 5, 2)` its part above 1 Hz.
        energy: mean over frames and points of `|shake_path|^2`, in px^2; nan where less than half
            of the transitions could be measured, or there are fewer than four frames.
        steady_share: part of the image's speed that is below 1 Hz, in [0, 1]; 1 for a still video,
            nan as the energy is. This is not the "stability" of the published scripts.
        failed: transitions that could not be measured (their motion is interpolated).
    """

    times: Array
    transitions: Array
    path: Array
    shake_path: Array
    energy: float
    steady_share: float
    failed: int

    @property
    def rms(self) -> float:
        """Root mean square of the shake in pixels at a long side of 640."""
        return float(np.sqrt(self.energy))


def measure_shake(video: VideoSource) -> Shake:
    """Measures the shake of one video.

    Corners are followed from frame to frame (`tracking`), a similarity is fitted to their tracks,
    and the displacement it gives at the frame's centre and four corners is summed over time. The
    part of this path above 1 Hz (`highpass`) is the shake, its mean square the energy.

    Args:
        video: file, or frames from memory.

    Returns:
        The shake, in pixels at a long side of 640.

    Raises:
        InputError: the file is missing or holds no video.
    """
    times: list[float] = []
    rows: list[Array] = []
    half_size = (0.0, 0.0)
    previous: Array | None = None
    for frame in read_luma(video):
        gray, _ = to_tracking_size(frame.luma)
        times.append(frame.time)
        height, width = gray.shape
        unit = LONG_SIDE / max(width, height)
        half_size = (width * unit / 2, height * unit / 2)
        if previous is not None:
            points = detect_corners(previous)
            found, ok = follow(previous, gray, points)
            centre = np.array([(width - 1) / 2, (height - 1) / 2])
            row = fit_similarity((points[ok] - centre) * unit, (found[ok] - centre) * unit)
            rows.append(np.full(4, np.nan) if row is None else row)
        previous = gray
    return shake_of_transitions(np.array(times), np.array(rows).reshape(-1, 4), half_size)


def shake_of_transitions(
    times: Array, transitions: Array, half_size: tuple[float, float], cutoff: float = CUTOFF_HZ
) -> Shake:
    """Shake of a video whose frame-to-frame similarities are known.

    Args:
        times: `(N,)` seconds.
        transitions: `(N-1, 4)` rows (a, b, tx, ty) about the centre; nan rows are interpolated.
        half_size: half the frame's width and height, in the unit of tx, ty.
        cutoff: Hz.
    """
    count = len(times)
    missing = np.asarray(np.isnan(transitions).any(1))
    signs = np.array([[0, 0], [-1, -1], [1, -1], [-1, 1], [1, 1]], float)
    points = signs * np.asarray(half_size)
    path = np.zeros((count, 5, 2))
    shake_path = np.zeros_like(path)
    if not is_known(missing):
        unknown = float("nan")
        return Shake(times, transitions, path, shake_path, unknown, unknown, int(missing.sum()))
    steps = np.diff(times)
    # Speeds, not displacements, are interpolated over gaps: frame times need not be even.
    speed = transitions - (1, 0, 0, 0)
    speed = speed / steps[:, None]
    middle = (times[1:] + times[:-1]) / 2
    for column in speed.T:
        column[missing] = np.interp(middle[missing], middle[~missing], column[~missing])
    a, b, tx, ty = (speed * steps[:, None]).T[..., None]
    x, y = points.T
    moved = np.stack([a * x - b * y + tx, b * x + a * y + ty], axis=-1)
    path[1:] = np.cumsum(moved, axis=0)
    even_times, even_path = even_grid(times, path.reshape(count, -1))
    rate = (len(even_times) - 1) / even_times[-1] if even_times[-1] > 0 else 1.0
    high = highpass(even_path, rate, cutoff)
    fast = np.diff(high, axis=0) * rate
    slow = np.diff(even_path - high, axis=0) * rate
    fast_energy, slow_energy = (float((part**2).sum(1).mean() / 5) for part in (fast, slow))
    calm = slow_energy + _NOISE_SPEED**2
    shake_path = np.stack([np.interp(times, even_times, column) for column in high.T], axis=1)
    return Shake(
        times=times,
        transitions=transitions,
        path=path,
        shake_path=shake_path.reshape(count, 5, 2),
        energy=float((high**2).sum(1).mean() / 5),
        steady_share=calm / (calm + fast_energy),
        failed=int(missing.sum()),
    )


def is_known(missing: Array) -> bool:
    """Whether so many transitions were measured, `(N-1,)`, that a video's motion is known by them.

    Four frames are the least that `highpass` says anything about.
    """
    return len(missing) >= 3 and 2 * int(missing.sum()) <= len(missing)


def even_grid(times: Array, path: Array) -> tuple[Array, Array]:
    """The path on an even time grid; as it is when its times are even to a tenth of a frame."""
    times = times - times[0]
    grid = np.linspace(0, times[-1], len(times))
    step = np.median(np.diff(times))
    if np.abs(grid - times).max() <= 0.1 * step:
        return grid, path
    grid = np.linspace(0, times[-1], max(round(times[-1] / step), 1) + 1)
    return grid, np.stack([np.interp(grid, times, column) for column in path.T], axis=1)


def highpass(path: Array, rate: float, cutoff: float = CUTOFF_HZ) -> Array:
    """What a smoothing spline leaves of a path: its part above the cutoff.

    The result is `x - s`, where s minimises `|s - x|^2 + l |D3 s|^2` with third differences D3 and
    `l = (2 sin(pi cutoff / rate))^-6`. Its gain at frequency f is `r / (1 + r)` with
    `r = (sin(pi f / rate) / sin(pi cutoff / rate))^6`: one half at the cutoff, 1.5 % at half of it,
    98.5 % at twice. Unlike a windowed spectrum it does not leak (a parabola in time, such as an
    evenly accelerated pan, is removed exactly) and uses short clips whole; at the two ends the
    spline follows the path more closely, which takes 4 % off the energy of a two-second clip.

    Args:
        path: `(N, k)` signals at even times.
        rate: samples a second.
        cutoff: Hz, below half the rate.

    Returns:
        `(N, k)` float64.
    """
    count = len(path)
    if count < 4:
        return np.zeros_like(path, dtype=np.float64)
    weight = (2 * np.sin(np.pi * min(cutoff / rate, 0.5))) ** -6.0
    # Bands of I + l D3'D3, row by row: band[k][i] couples i and i + k.
    stencil = np.array([-1.0, 3.0, -3.0, 1.0])
    band = np.zeros((4, count))
    for first in range(4):
        for second in range(first, 4):
            shift = second - first
            band[shift, first : first + count - 3] += stencil[first] * stencil[second]
    # The residual h = x - s solves (I + l D3'D3) h = l D3'D3 x: no cancellation where h is small.
    third = np.diff(path, 3, axis=0)
    right = np.zeros((count, path.shape[1]))
    for tap in range(4):
        right[tap : tap + count - 3] += weight * stencil[tap] * third
    band *= weight
    band[0] += 1
    return _solve_banded(band.T.tolist(), right)


def _solve_banded(rows: list[list[float]], right: Array) -> Array:
    """Solves a symmetric positive definite system of half-bandwidth 3 by LDL'."""
    count = len(rows)
    lower = [[0.0, 0.0, 0.0] for _ in range(count)]  # lower[i][k - 1] = L[i + k, i]
    x = right.copy()
    for i, (pivot, *couplings) in enumerate(rows):
        reach = min(3, count - 1 - i)
        for k in range(reach):
            lower[i][k] = couplings[k] / pivot
        for k in range(reach):
            for j in range(k, reach):
                rows[i + 1 + k][j - k] -= lower[i][k] * couplings[j]
            x[i + 1 + k] -= lower[i][k] * x[i]
    for i in range(count - 1, -1, -1):
        x[i] /= rows[i][0]
        for k in range(min(3, count - 1 - i)):
            x[i] -= lower[i][k] * x[i + 1 + k]
    return x
