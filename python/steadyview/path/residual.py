"""Stage 2: smooths what the similarity path leaves: rolling shutter, parallax, perspective."""

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

from ..motion.global_motion import GlobalMotion
from ..motion.lowpass import cosines, similarity_coefficients
from .similarity import CameraPath

__all__ = ["residual_margin", "residual_motion", "smooth_residual", "wobble_rms"]

#: Half width of the smoothing window in seconds: 13 frames at 30 frames a second.
WINDOW = 13 / 30
#: Photometric difference (of [0, 1]) at which a frame's weight falls to exp(-1/2).
PHOTOMETRIC = 0.1
#: Seconds of steady residual motion that the fit of a frame is wrong by: a quarter of a frame's at
#: 30 frames a second. Chosen on a motorway drive, where there is nothing but parallax to smooth.
PARALLAX_ERROR = 0.25 / 30
#: Frames of the window on either side, at most: the whole of `WINDOW` up to 295 frames a second.
LONGEST = 128
#: Part of the frame's long side that is kept free for the displacement, at most.
MOST_MARGIN = 0.006
#: Part of the long side that the crop must leave on a side before a tenth of it is kept free.
AMPLE_ROOM = 0.02
#: The displacement's Jacobian, at most, in parts of the similarity's scale; below 1 nothing folds.
STRETCH = 0.5
#: Points a direction at which fields are moved from source to output coordinates.
SAMPLES = 10
#: Intervals of a side of the border at whose ends the displaced frame is checked, and frames that
#: are checked together.
BORDER = 64
CHUNK = 256


def smooth_residual(
    motion: GlobalMotion,
    path: CameraPath,
    *,
    window: float = WINDOW,
    margin: float = 0.0,
    amount: float = 1.0,
) -> CameraPath:
    """Adds to a similarity path the displacement that smooths the residual motion over time.

    The residual motion of consecutive output frames (what the low-pass motion has beyond its
    similarity) is summed along the video, averaged over a window with Gaussian times photometric
    weights, and each output frame is displaced to the average. No flow is estimated again: a frame
    costs as many sums of 2 K^2 numbers as its window has frames, at most `2 LONGEST`. Where the
    displaced border would leave the source, or the map could fold, the displacement is scaled down,
    smoothly in time. The map stays one-to-one, so that what the border encloses stays inside too.

    Args:
        motion: measured motion of the source.
        path: similarity path of the same frames.
        window: half width of the window in seconds; it shrinks symmetrically at a shot's ends, and
            to `LONGEST` frames where they follow closely.
        margin: pixels by which the displaced border must stay inside the source.
        amount: share of the displacement that is applied, in [0, 1].

    Returns:
        The path with `displacement`; zero for a motion that is a similarity throughout.

    Raises:
        ValueError: path and motion differ in length or frame size, or a value out of range.

    Source: GlobalFlowNet (WACV 2023), stage 2, with the defects of its code mended (in-place
        averaging, ends left out, half a pixel, no weight for the frame itself).
    """
    if path.frame_size != motion.frame_size or len(path.source_from_output) != motion.frames:
        raise ValueError(
            f"path must have the motion's {motion.frames} frames of {motion.frame_size}, got "
            f"{len(path.source_from_output)} of {path.frame_size}"
        )
    if not (np.isfinite(window) and window >= 0):
        raise ValueError(f"window must be at least 0 seconds, got {window}")
    if not (np.isfinite(margin) and margin >= 0):
        raise ValueError(f"margin must be at least 0 pixels, got {margin}")
    if not 0 <= amount <= 1:
        raise ValueError(f"amount must be from 0 to 1, got {amount}")
    steps = residual_motion(motion, path)
    gain = np.full(motion.frames, float(amount))
    displacement = _wobble(motion, steps, window)
    displacement = _to_source(displacement, path.source_from_output)
    limit = _largest_gain(displacement, path, margin)
    for first, last in pairwise((*motion.shots, motion.frames)):
        shot = slice(first, last)
        gain[shot] *= _lower_envelope(limit[shot], motion.times[shot], window)
    return replace(path, displacement=displacement * gain[:, None, None, None])


def wobble_rms(motion: GlobalMotion, window: float = WINDOW) -> float:
    """How far `smooth_residual` would displace the uncorrected frames, root mean square in pixels.

    Args:
        motion: measured motion of the source.
        window: as `smooth_residual`'s.
    """
    return _mean_square(_wobble(motion, _beyond_similarity(motion), window)) ** 0.5


def residual_margin(motion: GlobalMotion, crop_limit: float) -> float:
    """Pixels that a similarity path leaves free for the displacement: what it will use, in reason.

    Where corners touch the border there is no room to displace. Where the room is short, the path
    needs it more: shake weighs more than wobble.

    Args:
        motion: measured motion of the source.
        crop_limit: as `smooth_similarity`'s.
    """
    width, height = motion.frame_size
    room = min(width, height) * (1 - crop_limit) / 2
    ample = min(room / (AMPLE_ROOM * max(width, height)), 1)
    return min(3 * wobble_rms(motion), MOST_MARGIN * max(width, height), ample * room / 10)


def residual_motion(motion: GlobalMotion, path: CameraPath) -> np.ndarray:
    """Motion between consecutive output frames that no similarity explains.

    Returns:
        `(N-1, 2, K, K)` coefficients over the output frame, in output pixels: what is added to
        `B[t+1]^-1 S[t] B[t]`. Zero where the motion is not trusted.
    """
    left = _beyond_similarity(motion)
    basis = _sampling(motion.frame_size, motion.coefficients.shape[-1])
    rows = path.source_from_output
    chunks = [
        _seen_from_output(left[i : i + CHUNK], rows[i : i + CHUNK + 1], motion.frame_size, *basis)
        for i in range(0, len(left), CHUNK)
    ]
    return np.concatenate(chunks) if chunks else left


def _seen_from_output(
    left: np.ndarray,
    rows: np.ndarray,
    size: tuple[int, int],
    points: np.ndarray,
    pseudo_inverse: np.ndarray,
) -> np.ndarray:
    """Low-pass flow from one source frame to the next, as one from output frame to output frame."""
    count, _, grid, _ = left.shape
    a, b, tx, ty = rows[:count, :, None].transpose(1, 0, 2)
    x, y = (points - np.array(size) / 2).T
    across = cosines((a * x - b * y + tx + size[0] / 2).ravel(), size[0], grid)
    down = cosines((b * x + a * y + ty + size[1] / 2).ravel(), size[1], grid)
    across, down = (c.reshape(count, 1, len(x), grid).swapaxes(2, 3) for c in (across, down))
    flow = (left @ across * down).sum(axis=2)  # (T, 2, points)
    scaled = np.hypot(*rows[1:, :2].T)[:, None] ** 2
    a, b = rows[1:, :1] / scaled, rows[1:, 1:2] / scaled  # B[t+1]^-1, linear part
    turned = np.stack([a * flow[:, 0] + b * flow[:, 1], a * flow[:, 1] - b * flow[:, 0]], axis=1)
    return np.asarray((turned @ pseudo_inverse.T).reshape(left.shape))


def _beyond_similarity(motion: GlobalMotion) -> np.ndarray:
    """What the low-pass motion has beyond its similarity, in source coordinates; 0 in doubt."""
    grid = motion.coefficients.shape[-1]
    whole = similarity_coefficients(motion.similarity, motion.frame_size, grid)
    return np.asarray((motion.coefficients - whole) * motion.confidence[:, None, None, None])


def _wobble(motion: GlobalMotion, steps: np.ndarray, window: float) -> np.ndarray:
    """Deviation of the summed residual motion from its average, as far as it is wobble."""
    wobble = np.zeros((motion.frames, *steps.shape[1:]))
    for first, last in pairwise((*motion.shots, motion.frames)):
        shot, inner = slice(first, last), slice(first, max(last - 1, first))
        times = motion.times[shot]
        deviation = _deviation(steps[inner], times, motion.residual[inner], window)
        wobble[shot] = deviation * _trust(deviation, steps[inner], times, window)
    return wobble


@lru_cache(maxsize=8)
def _sampling(size: tuple[int, int], grid: int) -> tuple[np.ndarray, np.ndarray]:
    """Sample points over the frame, and the matrix from values there to coefficients."""
    places = (np.arange(SAMPLES) + 0.5) / SAMPLES
    x, y = np.meshgrid(places * size[0], places * size[1])
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    rows, columns = cosines(points[:, 1], size[1], grid), cosines(points[:, 0], size[0], grid)
    basis = (rows[:, :, None] * columns[:, None, :]).reshape(len(points), grid * grid)
    return points, np.linalg.pinv(basis)


def _deviation(
    steps: np.ndarray, times: np.ndarray, residual: np.ndarray, window: float
) -> np.ndarray:
    """How far the summed residual motion is from its average over the window, frame by frame."""
    count = len(times)
    summed = np.zeros((count, *steps.shape[1:]))
    np.cumsum(steps, axis=0, out=summed[1:])
    ahead = np.searchsorted(times, times + window, side="right") - 1 - np.arange(count)
    behind = np.arange(count) - np.searchsorted(times, times - window, side="left")
    half = np.minimum(np.minimum(ahead, behind), LONGEST)  # frames; shrinking at the ends
    longest = int(half.max(initial=0))
    if longest == 0:
        return np.zeros_like(summed)
    frame = np.arange(count)
    sigma = (times[frame + half] - times[frame - half]) / 6
    offset = np.arange(-longest, longest + 1)
    inside = np.abs(offset) <= half[:, None]
    other = np.where(inside, frame[:, None] + offset, frame[:, None])
    # Photometric difference of two frames, at most: the sum along the chain; the same weight for
    # the frames before and after, so that a steady motion stays.
    drift = np.concatenate([[0.0], np.cumsum(residual)])
    worst = np.abs(drift[other] - drift[:, None])
    worst = np.maximum(worst, worst[:, ::-1])
    apart = (times[other] - times[:, None]) / np.where(half > 0, sigma, 1)[:, None]
    weight = inside * np.exp(-0.5 * ((worst / PHOTOMETRIC) ** 2 + apart**2))
    # The frame itself counts too; without it a tenth of a fast shake comes back negated.
    weight /= weight.sum(axis=1, keepdims=True)
    padded = np.pad(summed.reshape(count, -1), ((longest, longest), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * longest + 1, axis=0)
    average = (windows @ weight[:, :, None])[:, :, 0]
    return np.asarray(summed - average.reshape(summed.shape))


def _trust(deviation: np.ndarray, steps: np.ndarray, times: np.ndarray, window: float) -> float:
    """Share of a shot's deviation that is taken for wobble, by Wiener's rule.

    A camera that travels leaves a steady residual flow, the parallax of its scene. A few low
    frequencies fit it with an error in proportion to it, which looks like wobble and is none.
    """
    wobble = _mean_square(deviation)
    if wobble == 0:
        return 0.0
    rate = len(steps) / (times[-1] - times[0])
    count = min(max(round(window * rate), 1), len(steps))
    summed = np.concatenate([np.zeros_like(steps[:1]), np.cumsum(steps, axis=0)])
    speed = (summed[count:] - summed[:-count]) * (rate / count)
    return wobble / (wobble + PARALLAX_ERROR**2 * _mean_square(speed))


def _mean_square(coefficients: np.ndarray) -> float:
    """Mean over frames and places of the squared length of a cosine series."""
    grid = coefficients.shape[-1]
    share = np.where(np.arange(grid) == 0, 1.0, 0.5)  # mean square of cos(pi u s)
    return float((coefficients**2 * np.outer(share, share)).sum((1, 2, 3)).mean())


def _to_source(displacement: np.ndarray, source_from_output: np.ndarray) -> np.ndarray:
    """Turns and scales displacements in output pixels to source pixels."""
    a, b = source_from_output[:, 0, None, None], source_from_output[:, 1, None, None]
    x, y = displacement[:, 0], displacement[:, 1]
    return np.stack([a * x - b * y, b * x + a * y], axis=1)


def _largest_gain(displacement: np.ndarray, path: CameraPath, margin: float) -> np.ndarray:
    """Largest gain in [0, 1] at which each frame's whole picture stays inside the source.

    The border does, and the map from output to source is one-to-one: then the picture is what its
    border encloses.
    """
    chunks = [
        _chunk_gain(
            displacement[i : i + CHUNK], path.source_from_output[i : i + CHUNK], path, margin
        )
        for i in range(0, len(displacement), CHUNK)
    ]
    return np.minimum(np.concatenate(chunks), _unfolded_gain(displacement, path))


def _unfolded_gain(displacement: np.ndarray, path: CameraPath) -> np.ndarray:
    """Largest gain at which the Jacobian of a displacement stays below `STRETCH` of the scale.

    The gradient of cos(pi u y / h) cos(pi v x / w) is nowhere longer than pi max(u / h, v / w). A
    similarity of scale s takes two points to s times their distance, and a displacement moves
    them together by less than that: they stay apart.
    """
    width, height = path.frame_size
    order = np.arange(displacement.shape[-1])
    steepest = np.pi * np.maximum.outer(order / height, order / width)
    bound = (np.hypot(displacement[:, 0], displacement[:, 1]) * steepest).sum(axis=(1, 2))
    return _part(STRETCH * np.hypot(*path.source_from_output[:, :2].T), bound)


def _chunk_gain(
    displacement: np.ndarray, rows: np.ndarray, path: CameraPath, margin: float
) -> np.ndarray:
    size = np.array(path.frame_size, dtype=np.float64)
    grid = displacement.shape[-1]
    along = np.linspace(0, 1, BORDER + 1)
    terms = cosines(along, 1.0, grid).T
    signs = (-1.0) ** np.arange(grid)
    # Between its ends, a cosine series leaves the chord by no more than 4 bulge s (1 - s).
    bulge = np.abs(displacement) @ (np.pi * np.arange(grid) / BORDER) ** 2 / 8
    bulge_x = bulge.sum(-1)
    bulge_y = np.abs(displacement.swapaxes(-1, -2)) @ (np.pi * np.arange(grid) / BORDER) ** 2 / 8
    bulge_y = bulge_y.sum(-1)
    sides = (
        (along, 0 * along, displacement.sum(-2), bulge_x),
        (along, 0 * along + 1, (displacement * signs[:, None]).sum(-2), bulge_x),
        (0 * along, along, displacement.sum(-1), bulge_y),
        (0 * along + 1, along, (displacement * signs).sum(-1), bulge_y),
    )
    gain = np.ones(len(rows))
    a, b, tx, ty = rows.T[:, :, None]
    for fx, fy, series, beyond in sides:
        x, y = (fx - 0.5) * size[0], (fy - 0.5) * size[1]
        seen = np.stack([a * x - b * y + tx, b * x + a * y + ty], axis=1)  # centred, (T, 2, P)
        moved = series @ terms
        for direction in (1, -1):
            room = np.maximum(size[:, None] / 2 - margin + direction * seen, 0)
            inward = direction * moved
            gain = np.minimum(gain, _part(room, -inward).min(axis=(1, 2)))
            # The chord's bulge is covered when either end of an interval has room for all of it.
            covered = _part(room, 4 * beyond[..., None] - inward)
            pairs = np.maximum(covered[..., 1:], covered[..., :-1])
            gain = np.minimum(gain, pairs.min(axis=(1, 2)))
    return gain


def _part(room: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Largest part, up to the whole, of a wanted move for which there is room."""
    part = np.ones_like(wanted)
    return np.divide(room, wanted, out=part, where=wanted > room)


def _lower_envelope(limit: np.ndarray, times: np.ndarray, window: float) -> np.ndarray:
    """A gain that changes slowly and never exceeds the limit.

    The smallest limit of a window, averaged over the same window: each of the averaged minima saw
    the frame itself.
    """
    if not len(limit):
        return limit
    bounds = np.stack([times - window / 2, times + window / 2], axis=1)
    first = np.searchsorted(times, bounds[:, 0], side="left")
    last = np.searchsorted(times, bounds[:, 1], side="right")
    ends = np.stack([first, last], axis=1).ravel()
    lowest = np.minimum.reduceat(np.append(limit, 1.0), ends)[::2]
    smooth = np.add.reduceat(np.append(lowest, 0.0), ends)[::2] / (last - first)
    return np.asarray(np.minimum(smooth, limit))
