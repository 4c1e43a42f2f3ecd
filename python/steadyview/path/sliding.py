"""A camera path that is settled while the video is still being read."""

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
#: Seconds on either side of the settled frames that residual smoothing sees.
CONTEXT = 2.0


class MotionSource(Protocol):
    """A `GlobalMotion`, or the `MotionEstimator` that is measuring one."""

    @property
    def frames(self) -> int: ...

    def window(self, first: int, last: int) -> GlobalMotion: ...


class SlidingPath:
    """The similarity path and its residual smoothing, by a window that slides along the video.

    Each step solves the path of the frames ahead, going on from those that are settled, and settles
    the first few: a receding horizon. The frames that count for the next one lie within a few time
    constants; with `AHEAD` of them the path above 1 Hz is within 0.3 dB of the one that knows the
    whole video, 34 dB below the sample clips' shake.

    Args:
        frame_rate: frames a second, about; only the window's length depends on it.
        crop_limit, smooth: as `smooth_similarity`'s.
        residual: whether residual motion is smoothed as well.
    """

    def __init__(
        self, frame_rate: float, *, crop_limit: float, smooth: float, residual: bool
    ) -> None:
        scale = max(smooth, AHEAD**-1)  # never less than a second ahead: shots, flashes
        self.ahead = max(round(AHEAD * scale * frame_rate), 8)
        self.step = max(round(STEP * scale * frame_rate), 1)
        self.settled = 0
        self._context = max(round(CONTEXT * scale * frame_rate), 4)
        self._crop_limit, self._smooth, self._residual = crop_limit, smooth, residual
        self._pieces: list[CameraPath] = []
        self._before = np.empty((0, 4))  # rows of the last settled frames

    def ready(self, frames: int) -> bool:
        """Whether so many known frames are enough to settle the next."""
        return frames >= self.settled + self.step + self.ahead

    def settle(self, motion: MotionSource, *, complete: bool = False) -> CameraPath:
        """Settles the next frames: `step` of them, or all the rest when the motion is complete."""
        first = self.settled
        last = motion.frames if complete else first + self.step
        start = first - len(self._before)
        window = motion.window(start, motion.frames if complete else last + self.ahead)
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
        if self._residual:
            end = min(last + self._context, start + window.frames)
            path = smooth_residual(window.window(0, end - start), path.rows(0, end - start))
        piece = path.rows(first - start, last - start)
        self._before = path.source_from_output[: last - start][-self._context :]
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
