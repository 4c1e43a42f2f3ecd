"""Stabilises a video in one go: while later frames are measured, earlier ones are written."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError
from .methods.global_flow import is_steady, no_worse_than_source
from .motion.global_motion import GlobalMotion, MotionEstimator
from .options import StabilizeOptions
from .path.similarity import CameraPath
from .path.sliding import LEAST, SlidingPath
from .render.steady import View, steady_frames, write_frames
from .video.info import Frame, VideoInfo
from .video.pipeline import Prefetch
from .video.reader import FrameReader, open_video
from .video.writer import VideoWriter

__all__ = ["Reconsider", "Stream", "open_source", "open_writer"]

#: Frames that wait for their path are kept up to so many bytes; beyond, the video is decoded twice.
WAITING_BYTES = 192 << 20

Row = tuple[float, np.ndarray, np.ndarray | None]  # time, source_from_output, displacement


def open_source(source: Any, options: StabilizeOptions) -> FrameReader:
    """The reader of a run."""
    return open_video(source, frame_rate=options.frame_rate, thread_count=options.threads)


def open_writer(
    output: str | Path, info: VideoInfo, source: Any, options: StabilizeOptions, overwrite: bool
) -> VideoWriter:
    """The writer of a run; what else is in the source is copied along."""
    return VideoWriter(
        output,
        info,
        template=source,
        codec=options.codec,
        crf=options.crf,
        encoder_preset=options.encoder_preset,
        threads=options.threads,
        overwrite=overwrite,
    )


class Reconsider(Exception):
    """The video needs less than the whole correction; nothing was written.

    Attributes:
        found: motion, path and note, where the whole video is known.
    """

    def __init__(self, *found: Any) -> None:
        super().__init__("less than the whole correction is needed")
        self.found: tuple[GlobalMotion, CameraPath, str] | None = found or None


class Stream:
    """A video on its way from decoder to encoder; `run` does it all.

    Decoding, measuring, warping and encoding each have a thread. A frame waits for its path in
    memory, unless that would be too much: then a second decoder follows the first.

    Args:
        source: what `open_video` takes.
        info: of the source.
        sliding: settles the path; fresh.
        options: of the run.

    Attributes:
        timings: seconds by stage.
        warnings: of the reader and the writer.
    """

    def __init__(
        self, source: Any, info: VideoInfo, sliding: SlidingPath, options: StabilizeOptions
    ) -> None:
        self.info = info
        self.timings: dict[str, float] = {}
        self.warnings: list[str] = []
        self._source, self._sliding, self._options = source, sliding, options
        self._estimator = MotionEstimator((info.width, info.height), depth=info.format.depth)
        waiting = (sliding.ahead + sliding.step) * float(info.frame_rate) + LEAST
        self._keeps = waiting * info.frame_bytes <= WAITING_BYTES
        if self._keeps:  # a header may be wrong about the rate
            sliding.most = min(sliding.most, 2 * WAITING_BYTES // info.frame_bytes)
        self._waiting: deque[Frame] = deque()
        self._stopped = threading.Event()

    def run(
        self,
        output: str | Path,
        *,
        overwrite: bool,
        progress: Callable[[int], None],
        known: Callable[[GlobalMotion], None],
    ) -> tuple[GlobalMotion, CameraPath, str]:
        """Writes the steady video.

        Args:
            output: the file to write.
            overwrite: replace an existing one.
            progress: called with the number of frames that are written.
            known: called with the motion once it is known, before the output gets its name.

        Returns:
            Motion and path, and a note for the user.

        Raises:
            InputError, OutputError: as `stabilize`.
            Reconsider: the whole correction is too much.
        """
        options = self._options
        with ExitStack() as stack:
            reader = stack.enter_context(open_source(self._source, options))
            writer = stack.enter_context(
                open_writer(output, reader.info, self._source, options, overwrite)
            )
            decoded = stack.enter_context(Prefetch(reader))
            rows = stack.enter_context(Prefetch(self._rows(decoded)))
            again = None
            if not self._keeps:
                second = stack.enter_context(open_source(self._source, options))
                again = stack.enter_context(Prefetch(second))
            frames = steady_frames(
                self._views(rows, again),
                self.info,
                interpolation=options.interpolation,
                allocate=writer.frame,
            )
            steady = stack.enter_context(Prefetch(frames))
            # Runs first when the stack unwinds: the window that is being filled is given up.
            stack.callback(self._stopped.set)
            encoding = write_frames(steady, writer, progress)
            self._account(decoded, rows, again, steady)
            motion = self._estimator.finish()
            whole = self._sliding.path()
            path, note = no_worse_than_source(motion, whole)
            if path is not whole:
                raise Reconsider(motion, path, note)
            known(motion)
            closing = time.perf_counter()
        self.timings["encode"] = encoding + time.perf_counter() - closing
        self.warnings += [*reader.warnings, *writer.notes]
        return motion, path, note

    def _rows(self, frames: Iterable[Frame]) -> Iterator[Row]:
        """The rows of the path: as soon as they are settled, and one a frame that is measured.

        So what follows never waits for a whole step to be measured.
        """
        estimator, sliding = self._estimator, self._sliding
        settled: deque[Row] = deque()
        for frame in frames:
            if self._stopped.is_set():
                return
            with self._timed("motion"):
                estimator.add(frame.planes[0], frame.time)
            if self._keeps:
                self._waiting.append(frame)
            if sliding.ready(estimator):
                if sliding.settled == 0 and is_steady(estimator.window(0, len(estimator.times))):
                    raise Reconsider
                settled.extend(self._settle())
            if settled:
                yield settled.popleft()
        settled.extend(self._settle(complete=True))
        yield from settled

    def _settle(self, complete: bool = False) -> list[Row]:
        with self._timed("path"):
            first = self._sliding.settled
            piece = self._sliding.settle(self._estimator, complete=complete)
            times = self._estimator.times[first : first + piece.frames]
            return [(seconds, *row) for seconds, row in zip(times, piece.each(), strict=True)]

    def _views(self, rows: Iterable[Row], again: Iterator[Frame] | None) -> Iterator[View]:
        """Each row with its frame: the one that waits, or the one that is decoded again.

        Raises:
            InputError: the second decoder does not give the frames that were measured.
        """
        for seconds, row, displacement in rows:
            frame = self._waiting.popleft() if again is None else next(again, None)
            if frame is None or frame.time != seconds:
                raise InputError(f"{self.info.source}: has changed while it was read")
            yield View(frame, row, displacement)
        if again is not None and not self._stopped.is_set() and next(again, None) is not None:
            raise InputError(f"{self.info.source}: has changed while it was read")

    def _account(
        self, decoded: Any, rows: Any, again: "Prefetch[Frame] | None", steady: Any
    ) -> None:
        self.timings.update(decode=decoded.busy, warp=steady.busy - rows.waited)
        if again is not None:
            self.timings["decode_again"] = again.busy
            self.timings["warp"] -= again.waited

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - started
