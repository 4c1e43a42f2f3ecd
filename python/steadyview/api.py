"""The public functions: one call from a shaky video to a steady one."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from . import _core
from .errors import InputError, OutputError
from .methods import METHODS
from .methods.global_flow import sliding_path
from .motion.global_motion import GlobalMotion, MotionEstimator
from .options import StabilizeOptions
from .path.shake import shake_removed_db
from .path.similarity import CameraPath
from .render.steady import steady_frames, views_of, write_frames
from .stream import Reconsider, Stream, open_source, open_writer
from .video.encoders import choose_encoder
from .video.images import image_pattern
from .video.info import Frame, VideoInfo
from .video.pipeline import Prefetch, pick
from .video.reader import FrameReader
from .video.writer import check_output

__all__ = ["Progress", "StabilizationResult", "stabilize"]

#: Called with the stage ("analyse" or "render"), the frames done, and how many there are (or None).
Progress = Callable[[str, int, int | None], None]

Source = str | Path | np.ndarray | Sequence[np.ndarray]


def stabilize(
    source: Source | Iterable[np.ndarray],
    output: str | Path | None = None,
    *,
    options: StabilizeOptions | None = None,
    motion: str | Path | GlobalMotion | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    **given: Any,
) -> "StabilizationResult":
    """Stabilises a video.

    Args:
        source: a video file, a folder or glob of images, an array `(N, H, W, 3)` of uint8 RGB,
            or an iterable of `(H, W, 3)` frames.
        output: the video to write; None analyses only, and the result renders when asked.
        options: all options; or give single ones (`crop_limit=0.9`, `preset="walking"`) instead.
        motion: motion to use instead of measuring it, or the path of a motion file, which is read
            when it exists and written when it does not, before the output gets its name.
        progress: called as the work goes on.
        overwrite: replace an existing output.

    Returns:
        The paths, the measured motion, and the steady frames.

    Raises:
        InputError: the source or the motion file cannot be used.
        OptionError: an option is unknown or out of range.
        OutputError: the output cannot be written; nothing is left behind.
    """
    if options is None:
        options = StabilizeOptions.make(**given)
    elif given:
        raise TypeError(f"give either options or {', '.join(given)}, not both")
    if not isinstance(source, str | Path | Sequence | np.ndarray):
        source = list(source)  # frames are read twice: once to measure, once to render
    if output is not None:
        check_output(output, source=source, overwrite=overwrite)
    if isinstance(motion, str | Path) and not Path(motion).parent.is_dir():
        raise OutputError(f"motion: the folder {Path(motion).parent} does not exist; make it first")

    started = time.perf_counter()
    with open_source(source, options) as reader:
        info = reader.info
    if output is not None:
        check_encoder(output, info, options)
    measured = _given(motion)
    if measured is not None and measured.frame_size != (info.width, info.height):
        raise InputError(
            f"motion: was measured on frames of {_size(measured.frame_size)}, "
            f"{info.source} has {_size((info.width, info.height))}"
        )

    def known(found: GlobalMotion) -> None:
        if isinstance(motion, str | Path) and measured is None:
            found.save(motion)

    result = None
    with _threads(options.threads):
        if measured is None and output is not None:
            result = _streamed(source, info, options, output, overwrite, progress, known)
        if result is None:
            result = _analysed(source, info, options, measured, progress, known)
    if output is not None and result.output is None:
        result.save(output, progress=progress, overwrite=overwrite)
    result.timings["total"] = time.perf_counter() - started
    return result


def _given(motion: str | Path | GlobalMotion | None) -> GlobalMotion | None:
    """The motion that need not be measured."""
    if isinstance(motion, GlobalMotion) or motion is None:
        return motion
    return GlobalMotion.load(motion) if Path(motion).exists() else None


def _streamed(
    source: Source,
    info: VideoInfo,
    options: StabilizeOptions,
    output: str | Path,
    overwrite: bool,
    progress: Progress | None,
    known: Callable[[GlobalMotion], None],
) -> "StabilizationResult | None":
    """Measures and renders in one go where the method can; None where nothing is known yet.

    Without an `output` in the result, it is still to be rendered.
    """
    sliding = sliding_path(options)
    if sliding is None:
        return None

    def tell(done: int) -> None:
        if progress:
            progress("render", done, info.frames)

    stream = Stream(source, info, sliding, options)
    target: Path | None = Path(output)
    try:
        found = stream.run(output, overwrite=overwrite, progress=tell, known=known)
    except Reconsider as reconsider:
        if reconsider.found is None:
            return None
        found, target = reconsider.found, None
        known(found[0])
    motion, path, note = found
    timings, warnings = stream.timings, stream.warnings
    return StabilizationResult(source, info, motion, path, options, timings, warnings, note, target)


def _analysed(
    source: Source,
    info: VideoInfo,
    options: StabilizeOptions,
    measured: GlobalMotion | None,
    progress: Progress | None,
    known: Callable[[GlobalMotion], None],
) -> "StabilizationResult":
    """Motion and path of the whole video, nothing rendered."""
    timings: dict[str, float] = {}
    warnings: list[str] = []
    if measured is None:
        measured = analyse(source, options, progress, timings, warnings)
        known(measured)
    started = time.perf_counter()
    path, note = METHODS[options.method](measured, options)
    timings["path"] = time.perf_counter() - started
    return StabilizationResult(source, info, measured, path, options, timings, warnings, note)


def analyse(
    source: Source,
    options: StabilizeOptions | None = None,
    progress: Progress | None = None,
    timings: dict[str, float] | None = None,
    warnings: list[str] | None = None,
) -> GlobalMotion:
    """Measures the global motion of a video; decoding and analysis overlap.

    Args:
        source, progress: as in `stabilize`.
        options: its `frame_rate` and `threads` count here.
        timings: gets the seconds that "decode" and "motion" took.
        warnings: gets the reader's warnings, such as a frame that could not be decoded.

    Raises:
        InputError: the source cannot be used.
    """
    options = options or StabilizeOptions()
    busy = 0.0
    with (
        open_source(source, options) as reader,
        Prefetch(reader) as frames,
    ):
        info = reader.info
        estimator = MotionEstimator((info.width, info.height), depth=info.format.depth)
        for frame in frames:
            started = time.perf_counter()
            estimator.add(frame.planes[0], frame.time)
            busy += time.perf_counter() - started
            if progress:
                progress("analyse", frame.index + 1, info.frames)
        started = time.perf_counter()
        motion = estimator.finish()
        busy += time.perf_counter() - started
        if timings is not None:
            timings.update(decode=frames.busy, motion=busy)
        if warnings is not None:
            warnings.extend(reader.warnings)
    return motion


@dataclass
class StabilizationResult:
    """A stabilised video: the paths now, the frames when asked for.

    Attributes:
        source: what was stabilised.
        info: size, format and rate of the video.
        motion: the measured global motion of the source.
        path: where each output frame looks into its source frame.
        options: all options of the run.
        timings: seconds by stage: "decode", "motion", "path", "warp" and "encode", and
            "decode_again" where the frames did not wait in memory; they overlap within "total".
        warnings: what the reader had to skip or repair, by frame.
        note: why less than the whole correction was applied; empty otherwise.
        output: the file that was written.
    """

    source: Source = field(repr=False)
    info: VideoInfo
    motion: GlobalMotion = field(repr=False)
    path: CameraPath = field(repr=False)
    options: StabilizeOptions
    timings: dict[str, float]
    warnings: list[str]
    note: str = ""
    output: Path | None = None

    @property
    def kept_mean(self) -> float:
        """Mean part of the source's width and height that is seen."""
        return float(self.path.kept.mean())

    @property
    def kept_min(self) -> float:
        """Smallest part of the source's width and height that is seen in any frame."""
        return float(self.path.kept.min())

    @property
    def shake_removed_db(self) -> float:
        """Path energy above 1 Hz that the correction removes, in dB, by the measured motion."""
        motion = self.motion
        return shake_removed_db(
            motion.similarity,
            self.path.source_from_output,
            motion.times,
            motion.frame_size,
            motion.shots,
        )

    def frames(self, indices: Collection[int] | None = None) -> Iterator[np.ndarray]:
        """The steady frames, rendered as they are asked for: uint8 RGB, `(H, W, 3)`.

        Args:
            indices: only these frames, in the order of the video; None: all.
        """
        with open_source(self.source, self.options) as reader:
            chosen = reader if indices is None else pick(reader, indices)
            for frame in self._steady(chosen, reader):
                yield reader.to_rgb(frame)

    def _steady(self, frames: Iterable[Frame], reader: FrameReader, **more: Any) -> Iterator[Frame]:
        views = views_of(frames, self.path, reader.info.source)
        return steady_frames(views, reader.info, interpolation=self.options.interpolation, **more)

    def save(
        self,
        output: str | Path,
        *,
        progress: Progress | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Renders and encodes the steady video; decoding, warping and encoding overlap.

        Raises:
            OutputError: it cannot be written; nothing is left behind.
        """
        options = self.options
        begun = time.perf_counter()
        with (
            _threads(options.threads),
            open_source(self.source, options) as reader,
            open_writer(output, reader.info, self.source, options, overwrite) as writer,
            Prefetch(reader) as decoded,
            Prefetch(self._steady(decoded, reader, allocate=writer.frame)) as steady,
        ):
            done = 0

            def tell(written: int) -> None:
                nonlocal done
                done = written
                if progress:
                    progress("render", written, self.motion.frames)

            encoding = write_frames(steady, writer, tell)
            if done < self.motion.frames:
                raise InputError(
                    f"{reader.info.source}: has {done} frames, the motion {self.motion.frames}"
                )
            closing = time.perf_counter()
        ended = time.perf_counter()
        spent = {
            "decode_again": decoded.busy,
            "warp": steady.busy - decoded.waited,
            "encode": encoding + ended - closing,
        }
        for stage, seconds in spent.items():  # on top of a first try that was taken back
            self.timings[stage] = self.timings.get(stage, 0.0) + seconds
        self.timings["total"] = self.timings.get("total", 0.0) + ended - begun
        notes = [*reader.warnings, *writer.notes]
        self.warnings += [note for note in notes if note not in self.warnings]
        self.output = Path(output)
        return self.output

    def summary(self) -> dict[str, Any]:
        """The result in plain numbers, as `steadyview stabilize --json` prints it."""
        return {
            "source": self.info.source,
            "output": str(self.output) if self.output else None,
            "frames": self.motion.frames,
            "width": self.info.width,
            "height": self.info.height,
            "shots": len(self.motion.shots),
            "kept_mean": self.kept_mean,
            "kept_min": self.kept_min,
            "shake_removed_db": self.shake_removed_db,
            "confidence": self.motion.confidence.round(3).tolist(),
            "path_status": self.path.status,
            "note": self.note,
            "warnings": self.warnings,
            "timings": self.timings,
            "options": self.options.to_dict(),
        }

    def plot(self) -> Any:
        """A Matplotlib figure of the camera path before and after."""
        from .report.plots import plot_paths

        return plot_paths(self.motion, self.path)

    def _repr_html_(self) -> str:
        from .report.notebook import result_html

        return result_html(self)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Lets the kernels and OpenCV use so many threads; 0 leaves them as they are."""
    if count == 0:
        yield
        return
    before, before_cv = _core.num_threads(), cv2.getNumThreads()
    _core.set_num_threads(count)
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        _core.set_num_threads(before)
        cv2.setNumThreads(before_cv)


def check_encoder(output: str | Path, info: VideoInfo, options: StabilizeOptions) -> None:
    """Raises what is wrong with the encoder's options, before any work is done."""
    if image_pattern(output) is None:
        choose_encoder(
            options.codec,
            Path(output).suffix.lower(),
            info,
            crf=options.crf,
            preset=options.encoder_preset,
            options={},
        )
