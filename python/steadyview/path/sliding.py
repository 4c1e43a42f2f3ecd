"""A camera path that is settled while the video is still being read."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from ..motion.global_motion import GlobalMotion
from .residual import residual_margin, smooth_residual
from .similarity import CameraPath, smooth_similarity, worst_status

__all__ = ["MotionSource", "SlidingPath"]

#: Seconds that are looked ahead for a time constant of one second, and settled in one go.
AHEAD = 3.0
STEP = 0.5
#: Part of that for the very first step, so that the first frame is out early.
FIRST = 2 / 3
#: Seconds on either side of the settled frames that residual smoothing sees.
CONTEXT = 2.0
#: Frames that are looked ahead at least, and in a window at most, whatever the times say.
LEAST, MOST = 8, 2048
#: An interval of more seconds counts as so many: a recording that was paused is no long look.
PAUSE = 1.0


class MotionSource(Protocol):
    """A `GlobalMotion`, or the `MotionEstimator` that is measuring one."""

    @property
    def times(self) -> Sequence[float] | np.ndarray: ...

    def window(self, first: int, last: int) -> GlobalMotion: ...


class SlidingPath:
    """The similarity path and its residual smoothing, by a window that slides along the video.

    Each step solves the path of the frames ahead, going on from those that are settled, and settles
    the first few: a receding horizon. The frames that count for the next one lie within a few time
    constants; with `AHEAD` of them, the six sample clips' paths (each there and back twice, at the
    default crop and at a tight one) keep 0.2 and 0.5 dB more shake above 1 Hz than the whole
    solution, which removes 34 and 43 dB. Steps depend on the frames' times only, not on how many
    are known already.

    Args:
        crop_limit, smooth: as `smooth_similarity`'s.
        residual: whether residual motion is smoothed as well.

    Attributes:
        ahead, step: seconds that are looked ahead, and settled in one go.
        most: frames that are waited for, at most; may be lowered before the first step.
        settled: frames that are settled.
    """

    def __init__(self, *, crop_limit: float, smooth: float, residual: bool) -> None:
        scale = max(smooth, 1 / AHEAD)  # never less than a second ahead: shots, flashes
        self.ahead, self.step, self._context = AHEAD * scale, STEP * scale, CONTEXT * scale
        self.settled = 0
        self.most = MOST
        self._crop_limit, self._smooth, self._residual = crop_limit, smooth, residual
        self._pieces: list[CameraPath] = []
        self._before = np.empty((0, 4))  # rows of the last settled frames

    def ready(self, motion: MotionSource) -> bool:
        """Whether enough frames are known to settle the next."""
        return self._reach(motion) is not None

    def _reach(self, motion: MotionSource) -> tuple[int, int] | None:
        """Where the next step ends, and what it looks at; None when that is not known yet."""
        times = np.asarray(motion.times[self.settled : self.settled + self.most])
        if len(times) <= LEAST:
            return None
        clock = _clock(times)
        step = int(np.searchsorted(clock, self.step - 1e-6))
        step = min(max(step, 1), self.most // 4)
        if step >= len(clock):
            return None
        ahead = self.ahead if self.settled else FIRST * self.ahead
        end = max(int(np.searchsorted(clock, clock[step] + ahead - 1e-6)), step + LEAST)
        if end >= len(clock) < self.most:
            return None
        return self.settled + step, self.settled + min(end, self.most)

    def settle(self, motion: MotionSource, *, complete: bool = False) -> CameraPath:
        """Settles the next frames: half a second, or all the rest when the motion is complete."""
        first = self.settled
        start = first - len(self._before)
        reach = None if complete else self._reach(motion)
        last, end = reach or (len(motion.times), len(motion.times))
        window = motion.window(start, end)
        margin = residual_margin(window, self._crop_limit) if self._residual else 0.0
        path = smooth_similarity(
            window.similarity,
            window.frame_size,
            self._crop_limit,
            times=window.times,
            smooth=self._smooth,
            confidence=window.confidence,
            shots=window.shots,
            margin=margin,
            settled=self._before,
        )
        clock = _clock(window.times)
        now = clock[last - start - 1]
        if self._residual:
            near = max(int(np.searchsorted(clock, now + self._context)), last - start)
            path = smooth_residual(window.window(0, near), path.rows(0, near))
        # Copies: a view would keep the whole window's arrays.
        piece = path.rows(first - start, last - start).copied()
        kept = int(np.searchsorted(clock[: last - start - 1], now - self._context))
        self._before = path.source_from_output[kept : last - start].copy()
        self._pieces.append(piece)
        self.settled = last
        return piece

    def path(self) -> CameraPath:
        """All that is settled."""
        pieces = self._pieces
        displaced = [p.displacement for p in pieces if p.displacement is not None]
        return replace(
            pieces[0],
            source_from_output=np.concatenate([p.source_from_output for p in pieces]),
            kept=np.concatenate([p.kept for p in pieces]),
            displacement=np.concatenate(displaced) if displaced else None,
            status=worst_status(*(p.status for p in pieces)),
            iterations=sum(p.iterations for p in pieces),
            violation=max(p.violation for p in pieces),
        )


def _clock(times: np.ndarray) -> np.ndarray:
    """Seconds since the first of these times, pauses cut short."""
    return np.concatenate([[0.0], np.cumsum(np.minimum(np.diff(times), PAUSE))])
