"""Stabilises a video in one go: while later frames are measured, earlier ones are written."""

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
from .path.sliding import SlidingPath
from .render.steady import View, steady_frames, write_frames
from .video.info import Frame, VideoInfo
from .video.pipeline import Prefetch
from .video.reader import FrameReader, open_video
from .video.writer import VideoWriter

__all__ = ["Reconsider", "Stream"]

#: Frames that wait for their path are kept up to so many bytes; beyond, the video is decoded twice.
WAITING_BYTES = 192 << 20


class Reconsider(Exception):
    """The video needs less than the whole correction; nothing was written.

    Attributes:
        motion: the motion, where it is known to the end.
    """

    def __init__(self, motion: GlobalMotion | None = None) -> None:
        super().__init__("less than the whole correction is needed")
        self.motion = motion


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
        # What is ahead, what is settled at once, and as much again until it is handed on.
        waiting = sliding.ahead + 2 * sliding.step
        self._keeps = waiting * info.frame_bytes <= WAITING_BYTES
        self._waiting: deque[Frame] = deque()

    def run(
        self, output: str | Path, *, overwrite: bool, progress: Callable[[int], None]
    ) -> tuple[GlobalMotion, CameraPath, str]:
        """Writes the steady video.

        Returns:
            Motion and path, and a note for the user.

        Raises:
            InputError, OutputError: as `stabilize`.
            Reconsider: the whole correction is too much.
        """
        options = self._options
        with ExitStack() as stack:
            reader = stack.enter_context(self._open(skip_loop_filter=not self._keeps))
            writer = stack.enter_context(
                VideoWriter(
                    output,
                    reader.info,
                    template=self._source,
                    codec=options.codec,
                    crf=options.crf,
                    encoder_preset=options.encoder_preset,
                    threads=options.threads,
                    overwrite=overwrite,
                )
            )
            decoded = stack.enter_context(Prefetch(reader))
            rows = stack.enter_context(Prefetch(self._rows(decoded)))
            frames: Iterator[Frame] = iter(self._waiting.popleft, None)
            if not self._keeps:
                frames = stack.enter_context(Prefetch(stack.enter_context(self._open())))
            views = (View(self._next(frames), *row) for row in rows)
            steady = stack.enter_context(
                Prefetch(
                    steady_frames(
                        views,
                        self.info,
                        interpolation=options.interpolation,
                        allocate=writer.frame,
                    )
                )
            )
            encoding = write_frames(steady, writer, progress)
            motion = self._estimator.finish()
            whole = self._sliding.path()
            path, note = no_worse_than_source(motion, whole)
            if path is not whole:
                raise Reconsider(motion)
            closing = time.perf_counter()
        encoding += time.perf_counter() - closing
        self.timings.update(decode=decoded.busy, encode=encoding)
        self.timings["warp"] = steady.busy - rows.waited
        if isinstance(frames, Prefetch):
            self.timings["decode_again"] = frames.busy
            self.timings["warp"] -= frames.waited
        self.warnings += [*reader.warnings, *writer.notes]
        return motion, path, note

    def _open(self, **more: Any) -> FrameReader:
        options = self._options
        return open_video(
            self._source, frame_rate=options.frame_rate, thread_count=options.threads, **more
        )

    def _rows(self, frames: Iterable[Frame]) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """The rows of the path: as soon as they are settled, and one a frame that is measured.

        So what follows never waits for a whole step to be measured.
        """
        estimator, sliding = self._estimator, self._sliding
        settled: deque[tuple[np.ndarray, np.ndarray | None]] = deque()
        for frame in frames:
            with self._timed("motion"):
                estimator.add(frame.planes[0], frame.time)
            if self._keeps:
                self._waiting.append(frame)
            if sliding.ready(estimator.frames):
                if sliding.settled == 0 and is_steady(estimator.window(0, estimator.frames)):
                    raise Reconsider
                with self._timed("path"):
                    settled.extend(sliding.settle(estimator).each())
            if settled:
                yield settled.popleft()
        with self._timed("path"):
            settled.extend(sliding.settle(estimator, complete=True).each())
        yield from settled

    def _next(self, frames: Iterator[Frame]) -> Frame:
        frame = next(frames, None)
        if frame is None:
            raise InputError(f"{self.info.source}: has changed while it was read")
        return frame

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - started
