"""Curves that the report and the plots draw: the camera path before and after, and its spectrum."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..motion.global_motion import GlobalMotion

__all__ = ["PathSeries", "path_series", "shake_spectrum"]


@dataclass(frozen=True)
class PathSeries:
    """One camera path: where the image has moved since the shot's first frame.

    Attributes:
        x, y: `(N,)` pixels of the source frame, right and down.
        rotation: `(N,)` degrees.
        zoom: `(N,)` per cent, without the steady growth or shrinking of a shot (walking ahead
            multiplies the size of what is seen, and would hide everything else).
    """

    x: np.ndarray
    y: np.ndarray
    rotation: np.ndarray
    zoom: np.ndarray


def path_series(
    motion: GlobalMotion, source_from_output: np.ndarray, displacement: np.ndarray | None = None
) -> tuple[PathSeries, PathSeries]:
    """The image path of the source, and of the result: the source's without its correction.

    The constant part of the result's zoom (the crop) is left out, so that both curves meet.

    Args:
        motion: motion of the source between its frames.
        source_from_output: `(N, 4)` rows (a, b, tx, ty) of the correction.
        displacement: `(N, 2, K, K)` DCT coefficients of the residual correction, in pixels.
    """
    linear = motion.similarity[:, 0] + 1j * motion.similarity[:, 1]
    steps = np.stack(
        [
            motion.similarity[:, 2],
            motion.similarity[:, 3],
            np.angle(linear),
            np.log(np.maximum(np.abs(linear), 1e-9)),
        ],
        axis=1,
    )
    source = np.concatenate([np.zeros((1, 4)), np.cumsum(steps, axis=0)])[: motion.frames]
    for first in motion.shots:
        source[first:] -= source[first]
    turn = source_from_output[:, 0] + 1j * source_from_output[:, 1]
    crop = np.log(np.maximum(np.abs(turn), 1e-9))
    correction = np.stack(
        [source_from_output[:, 2], source_from_output[:, 3], np.angle(turn), crop - crop.mean()],
        axis=1,
    )
    if displacement is not None:
        correction[:, :2] += displacement[:, :, 0, 0]
    growth = np.zeros(motion.frames)
    for first, last in zip(motion.shots, [*motion.shots[1:], motion.frames], strict=True):
        if last - first > 2:
            ramp = np.stack([np.ones(last - first), motion.times[first:last]], axis=1)
            growth[first:last] = ramp @ np.linalg.lstsq(ramp, source[first:last, 3], rcond=None)[0]
    source[:, 3] -= growth
    return _series(source), _series(source - correction)


def _series(path: np.ndarray) -> PathSeries:
    return PathSeries(path[:, 0], path[:, 1], np.degrees(path[:, 2]), 100 * np.exp(path[:, 3]))


def shake_spectrum(
    x: np.ndarray, y: np.ndarray, times: np.ndarray, shots: Sequence[int] = (0,)
) -> tuple[np.ndarray, np.ndarray]:
    """Amplitude of a path by frequency: Hann-windowed, detrended, averaged over the shots.

    Args:
        x, y: `(N,)` pixels.
        times: `(N,)` seconds.
        shots: first frame of every shot.

    Returns:
        Frequencies in Hz above 0, and root mean square amplitude in pixels within a third of an
        octave about each; empty for videos of under 8 frames.
    """
    powers: list[tuple[np.ndarray, np.ndarray, int]] = []
    for first, last in zip(shots, [*shots[1:], len(times)], strict=True):
        count = last - first
        if count < 8:
            continue
        even = np.linspace(times[first], times[last - 1], count)
        step = (even[-1] - even[0]) / (count - 1)
        ramp = np.stack([np.ones(count), np.linspace(-1, 1, count)], axis=1)
        window = np.hanning(count)
        power = np.zeros(count // 2 + 1)
        for values in (x, y):
            values = np.interp(even, times[first:last], values[first:last])
            values = values - ramp @ np.linalg.lstsq(ramp, values, rcond=None)[0]
            power += np.abs(np.fft.rfft(values * window)) ** 2 * 2 / (count * (window**2).sum())
        powers.append((np.fft.rfftfreq(count, step), power, count))
    if not powers:
        return np.zeros(0), np.zeros(0)
    lowest = max(frequency[1] for frequency, _, _ in powers)
    highest = min(frequency[-1] for frequency, _, _ in powers)
    centres = np.geomspace(2 * lowest, highest, 60) if highest > 2 * lowest else np.zeros(0)
    band = 2 ** (1 / 6)
    total = np.zeros(len(centres))
    for frequency, power, count in powers:
        within = (frequency >= centres[:, None] / band) & (frequency < centres[:, None] * band)
        total += (within * power).sum(axis=1) * count
    known = total > 0  # between the first few lines of the spectrum a band may be empty
    amplitude = np.sqrt(total / sum(count for _, _, count in powers))
    return centres[known], amplitude[known]
