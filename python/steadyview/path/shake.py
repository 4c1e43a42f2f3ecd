"""How much a camera path shakes, before and after its correction, from the paths alone."""

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["SHAKE_CUTOFF", "compose_motions", "shake_energy", "shake_removed_db"]

#: Hz; slower motion is taken for intended.
SHAKE_CUTOFF = 1.0


def compose_motions(similarity: np.ndarray, source_from_output: np.ndarray) -> np.ndarray:
    """Motion between consecutive *output* frames, `B[t+1]^-1 F[t] B[t]`.

    Args:
        similarity: `(N-1, 4)` rows (a, b, tx, ty), F of the source.
        source_from_output: `(N, 4)`, B.

    Returns:
        `(N-1, 4)` similarity rows.
    """
    # A centred similarity is z -> alpha z + beta on complex numbers.
    alpha, beta = similarity[:, 0] + 1j * similarity[:, 1], similarity[:, 2] + 1j * similarity[:, 3]
    linear = source_from_output[:, 0] + 1j * source_from_output[:, 1]
    offset = source_from_output[:, 2] + 1j * source_from_output[:, 3]
    scale = alpha * linear[:-1] / linear[1:]
    shift = (alpha * offset[:-1] + beta - offset[1:]) / linear[1:]
    return np.stack([scale.real, scale.imag, shift.real, shift.imag], axis=1)


def shake_energy(
    similarity: np.ndarray,
    times: np.ndarray,
    frame_size: tuple[int, int],
    shots: Sequence[int] = (0,),
) -> float:
    """Mean energy of a camera path above `SHAKE_CUTOFF`, in square pixels.

    The path is the running sum of the frame-to-frame motion: x and y of the centre, and rotation
    and log zoom as displacement at a quarter of the frame's diagonal. Each shot is detrended and
    windowed.

    Args:
        similarity: `(N-1, 4)` frame-to-frame motion.
        times: `(N,)` seconds.
        frame_size: (width, height) in pixels.
        shots: first frame of every shot.
    """
    radius = math.hypot(*frame_size) / 4
    linear = similarity[:, 0] + 1j * similarity[:, 1]
    steps = np.stack(
        [
            similarity[:, 2],
            similarity[:, 3],
            radius * np.angle(linear),
            radius * np.log(np.maximum(np.abs(linear), 1e-9)),
        ],
        axis=1,
    )
    total, frames = 0.0, 0
    for first, last in zip(shots, [*shots[1:], len(times)], strict=True):
        if last - first < 4:
            continue
        path = np.concatenate([np.zeros((1, 4)), np.cumsum(steps[first : last - 1], axis=0)])
        total += _high_band_energy(path, times[first:last]) * (last - first)
        frames += last - first
    return total / frames if frames else 0.0


def _high_band_energy(path: np.ndarray, times: np.ndarray) -> float:
    count = len(times)
    even = np.linspace(times[0], times[-1], count)  # the spectrum wants equal steps
    path = np.stack([np.interp(even, times, column) for column in path.T], axis=1)
    ramp = np.stack([np.ones(count), np.linspace(-1.0, 1.0, count)], axis=1)
    path = path - ramp @ np.linalg.lstsq(ramp, path, rcond=None)[0]
    window = np.hanning(count)[:, None]
    power = np.abs(np.fft.rfft(path * window, axis=0)) ** 2
    frequency = np.fft.rfftfreq(count, (times[-1] - times[0]) / (count - 1))
    return float(2 * power[frequency > SHAKE_CUTOFF].sum() / (count * (window**2).sum()))


def shake_removed_db(
    similarity: np.ndarray,
    source_from_output: np.ndarray,
    times: np.ndarray,
    frame_size: tuple[int, int],
    shots: Sequence[int] = (0,),
) -> float:
    """Shake that a correction removes, in dB: ten times the log of the ratio of the energies.

    The result's pixels are those of its own, zoomed frame. A source without shake gives 0.
    """
    before = shake_energy(similarity, times, frame_size, shots)
    output_motion = compose_motions(similarity, source_from_output)
    after = shake_energy(output_motion, times, frame_size, shots)
    floor = 1e-12
    return 10 * math.log10((before + floor) / (after + floor))
