"""Time stamps of frames, mended."""

from .info import VideoInfo

__all__ = ["Clock"]


class Clock:
    """Mends time stamps: every frame has one, and each is later than the one before.

    Attributes:
        missing: frames that seem to be lost just before the last one, for until then they came
            at a constant rate; 0 if none.

    Args:
        info: frame rate and time base.
        trust_dts: take decoding times (AVI, whose presentation times FFmpeg guesses); else only
            when presentation times have gone back more often.
    """

    def __init__(self, info: VideoInfo, *, trust_dts: bool = False) -> None:
        self._numerator = info.time_base.numerator
        self._denominator = info.time_base.denominator
        self._step = max(1, round(1 / (info.frame_rate * info.time_base)))
        self._second = 1 / info.time_base
        self._trust_dts = trust_dts
        self._given: list[int | None] = [None, None]  # last pts and dts
        self._backward = [0, 0]
        self._last: int | None = None
        self._shift = 0
        self._first = 0
        self._regular = 0  # grows with frames at the nominal distance, falls with others
        self.missing = 0

    def stamp(
        self, pts: int | None, dts: int | None, duration: int | None
    ) -> tuple[int, int | None]:
        """The time stamp to use and the frame's duration (None when unknown)."""
        stamp = self._better(pts, dts)
        if stamp is None or not duration or duration < 0:
            duration = None  # of a frame without a time it is a guess
        if self._last is None:
            self._last = self._first = stamp if stamp is not None else 0
            return self._last, duration
        if stamp is None:
            stamp = self._last + self._step
        else:
            stamp += self._shift
            if self._last - stamp > self._second:  # over a second back: the clock was set anew
                self._shift += self._last + self._step - stamp
                stamp = self._last + self._step
        stamp = max(stamp, self._last + 1)
        self._look_for_gap(stamp - self._last)
        self._last = stamp
        return self._last, duration

    def _look_for_gap(self, distance: int) -> None:
        steps = distance / self._step
        self.missing = round(steps) - 1 if self._regular >= 5 and steps > 2.5 else 0
        self._regular = max(0, self._regular + (1 if abs(steps - 1) < 0.2 else -3))

    def _better(self, pts: int | None, dts: int | None) -> int | None:
        """Frames come in order of presentation, so that both kinds should only grow."""
        for kind, stamp in enumerate((pts, dts)):
            last = self._given[kind]
            if stamp is not None:
                self._backward[kind] += last is not None and stamp <= last
                self._given[kind] = stamp
        if dts is not None and (
            pts is None or self._trust_dts or self._backward[0] > self._backward[1]
        ):
            return dts
        return pts

    def seconds(self, pts: int) -> float:
        return (pts - self._first) * self._numerator / self._denominator
