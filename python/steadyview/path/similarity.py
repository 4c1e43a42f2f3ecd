"""Smooth camera paths: similarity corrections under a crop limit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import _core
from ..errors import OptionError

__all__ = ["CameraPath", "smooth_similarity", "worst_status"]

#: Shares of the first, second and third differences in the smoothing; they fix its shape, `smooth`
#: its time constant.
L2_SHARES = (0.0, 0.0, 1.0)
#: Pull of the zoom to none, relative to the pull of rotation and translation.
ZOOM_PULL = 0.02
#: Grundmann's weights 10 : 1 : 100 of the L1 norms of differences a frame, at 30 frames a second.
L1_WEIGHTS = (10 / 30, 1 / 30**2, 100 / 30**3)


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

    @property
    def frames(self) -> int:
        return len(self.source_from_output)

    def each(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Row and displacement of each frame."""
        for t, row in enumerate(self.source_from_output):
            yield row, None if self.displacement is None else self.displacement[t]

    def copied(self) -> "CameraPath":
        """The same with arrays of its own."""
        displacement = self.displacement
        return replace(
            self,
            source_from_output=self.source_from_output.copy(),
            kept=self.kept.copy(),
            displacement=None if displacement is None else displacement.copy(),
        )

    def rows(self, first: int, last: int) -> "CameraPath":
        """The path of the frames first to last - 1."""
        displacement = self.displacement
        return replace(
            self,
            source_from_output=self.source_from_output[first:last],
            kept=self.kept[first:last],
            displacement=None if displacement is None else displacement[first:last],
        )


def smooth_similarity(
    motions: ArrayLike,
    frame_size: tuple[int, int],
    crop_limit: float = 0.8,
    *,
    times: ArrayLike | None = None,
    smooth: float = 1.0,
    confidence: ArrayLike | None = None,
    shots: Sequence[int] = (0,),
    static: bool = False,
    margin: float = 0.0,
    norm: str = "l2",
    shares: tuple[float, float, float] | None = None,
    zoom_pull: float = ZOOM_PULL,
    max_iterations: int = 100,
    settled: ArrayLike | None = None,
) -> CameraPath:
    """The smoothest path of the view that stays inside the source frames.

    One quadratic programme a shot (csrc/trajectory/camera_path.h): third differences of the
    composed path, in pixels of corner displacement, and a pull to the uncorrected view, under the
    exact constraints that all four corners of every output frame lie in its source frame. A video
    that stands still, or that pans at a constant velocity, is left exactly as it is.

    While no constraint is active the path is low-pass filtered: with the pull 1 and weights
    `w_k = c_k smooth^2k` on the k-th derivative, a shake of frequency f is multiplied by
    `1 / (1 + sum_k c_k (2 pi f smooth)^2k)`. The shares c_k are scaled to the sum sqrt(2) - 1, so
    that the pass band ends (-3 dB) at `f = 1 / (2 pi smooth)` at every frame rate.

    Args:
        motions: `(N-1, 4)` similarity motions of frame t to frame t+1, rows (a, b, tx, ty) for
            centred points in pixels (`GlobalMotion.similarity`).
        frame_size: (width, height) in pixels.
        crop_limit: smallest part of the frame's width and height that is kept, in (0, 1].
        times: `(N,)` presentation times in seconds, increasing; None: 30 frames a second.
        smooth: time constant in seconds; more is steadier.
        confidence: `(N-1,)` in [0, 1], of the motions: differences over uncertain ones weigh less.
        shots: index of the first frame of every shot, starting with 0; shots are independent.
        static: tripod mode: the view moves only where the crop limit forces it to.
        margin: pixels kept free between the output's corners and the source's border.
        norm: "l2", or "l1" for Grundmann's paths of constant, linear and parabolic pieces.
        shares: relative weights (c_1, c_2, c_3) of the first, second and third derivative, l2 only.
        zoom_pull: pull of the zoom to none, relative to that of rotation and translation; the less,
            the more readily the view is cropped down to the limit.
        max_iterations: of the solver, for each shot.
        settled: `(P, 4)` rows of the path's first P frames that are settled already (by a window
            of the video that ended earlier): they are kept, and the path goes on from them.

    Returns:
        The path. It is inside the source whatever its status.

    Raises:
        OptionError: an argument out of its range; the message names it.

    Source: Grundmann et al., CVPR 2011 (composed path, corner constraints, L1); GlobalFlowNet, WACV
        2023, section "affine stabilization" (QP under a crop limit).
    """
    if norm not in ("l1", "l2"):
        raise OptionError(f'norm must be "l1" or "l2", got {norm!r}')
    width, height = _frame_size(frame_size)
    _in_range("crop_limit", crop_limit, 0, 1, low_open=True)
    _in_range("smooth", smooth, 0, 1e4, low_open=True)
    _in_range("margin", margin, 0, 0.5 * min(width, height) * (1 - crop_limit))
    _in_range("zoom_pull", zoom_pull, 0, 1e6)
    motions, times = _motions_and_times(motions, times)
    frames = len(times)
    trust = _confidence(confidence, frames)
    bounds = [*_shots(shots, frames), frames]
    start = _settled(settled, frames)
    hold, zoom, weights = _weights(smooth, static, norm, shares, zoom_pull)

    path = np.empty((frames, 4))
    status, iterations, violation = "solved", 0, 0.0
    for first, end in pairwise(bounds):
        if first == end:
            continue
        path[first:end], info = _core.camera_path(
            motions[first : end - 1],
            times[first:end],
            trust[first : end - 1],
            width,
            height,
            crop_limit,
            margin,
            hold,
            zoom,
            weights,
            norm == "l1",
            max_iterations,
            start[first:end],
        )
        status = worst_status(status, info["status"])
        iterations += info["iterations"]
        violation = max(violation, info["violation"])
    return CameraPath(
        frame_size=(width, height),
        source_from_output=path,
        kept=np.hypot(path[:, 0], path[:, 1]),
        status=status,
        iterations=iterations,
        violation=violation,
    )


def worst_status(*statuses: str) -> str:
    """The worst of the solver's statuses."""
    return max(statuses, key=("solved", "max_iterations", "stalled", "invalid").index)


def _weights(
    smooth: float,
    static: bool,
    norm: str,
    shares: tuple[float, float, float] | None,
    zoom_pull: float,
) -> tuple[float, float, np.ndarray]:
    """The pulls and the weights of the differences (csrc/trajectory/camera_path.h)."""
    powers = np.array([smooth, smooth**2, smooth**3])
    if norm == "l1":
        if shares is not None:
            raise OptionError('shares must be None with norm="l1"')
        pull = 1e-5
        return pull, pull, np.array(L1_WEIGHTS) * powers
    if static:
        # Velocity alone decides; what little the others weigh rounds the corners of its path.
        pull = 1e-6
        return pull, pull, np.array([1.0, 1e-2, 1e-3]) * powers**2
    given = np.asarray(L2_SHARES if shares is None else shares, dtype=np.float64)
    if given.shape != (3,) or not np.isfinite(given).all() or (given < 0).any() or given.sum() == 0:
        raise OptionError(f"shares must be three numbers >= 0, not all 0, got {shares!r}")
    return 1.0, zoom_pull, (np.sqrt(2) - 1) * given / given.sum() * powers**2


def _motions_and_times(
    motions: ArrayLike, times: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray]:
    motions = np.ascontiguousarray(motions, dtype=np.float64)
    if motions.size == 0:
        motions = motions.reshape(0, 4)
    if motions.ndim != 2 or motions.shape[1] != 4:
        raise OptionError(f"motions must have the shape (N-1, 4), got {motions.shape}")
    if not np.isfinite(motions).all():
        row = int(np.argmin(np.isfinite(motions).all(axis=1)))
        raise OptionError(f"motions must be finite, got {motions[row]} at row {row}")
    if times is None:
        return motions, np.arange(len(motions) + 1) / 30
    times = np.ascontiguousarray(times, dtype=np.float64)
    if times.ndim != 1 or (
        len(times) != len(motions) + 1 and not (len(times) == len(motions) == 0)
    ):
        raise OptionError(
            f"times must have the shape ({len(motions) + 1},), one more than motions, "
            f"got {times.shape}"
        )
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise OptionError("times must be finite and increasing")
    return motions, times


def _confidence(confidence: ArrayLike | None, frames: int) -> np.ndarray:
    """Weights of the transitions; one that is a guess still holds the path together."""
    count = max(frames - 1, 0)
    if confidence is None:
        return np.ones(count)
    confidence = np.asarray(confidence, dtype=np.float64)
    if confidence.shape != (count,):
        raise OptionError(f"confidence must have the shape ({count},), got {confidence.shape}")
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise OptionError("confidence must lie in [0, 1]")
    return np.maximum(confidence, 0.1)


def _settled(settled: ArrayLike | None, frames: int) -> np.ndarray:
    rows = np.ascontiguousarray(np.empty((0, 4)) if settled is None else settled, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != 4 or len(rows) > frames:
        raise OptionError(f"settled must be (P, 4) with P <= {frames}, got {rows.shape}")
    if not np.isfinite(rows).all():
        raise OptionError("settled must be finite")
    return rows


def _shots(shots: Sequence[int], frames: int) -> list[int]:
    starts = [int(s) for s in shots]
    rising = all(a < b for a, b in pairwise(starts))
    if not starts or starts[0] != 0 or not rising or starts[-1] > max(frames - 1, 0):
        raise OptionError(
            f"shots must be increasing frame indices from 0 to below {frames}, got {tuple(shots)}"
        )
    return starts


def _frame_size(frame_size: tuple[int, int]) -> tuple[int, int]:
    if len(frame_size) != 2 or not all(np.isfinite(v) and v > 0 for v in frame_size):
        raise OptionError(f"frame_size must be a positive (width, height), got {frame_size!r}")
    return frame_size[0], frame_size[1]


def _in_range(name: str, value: Any, low: float, high: float, low_open: bool = False) -> None:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not (low < value if low_open else low <= value) or not value <= high:
        bracket = "(" if low_open else "["
        raise OptionError(f"{name} must lie in {bracket}{low:g}, {high:g}], got {value!r}")
