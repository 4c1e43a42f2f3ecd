"""Writing video: planar frames into a file or images, with everything else copied along."""

import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from av.error import FFmpegError

from ..errors import OptionError, OutputError, SteadyviewError
from .encoders import CONTAINERS, choose_encoder
from .images import IMAGE_SUFFIXES, ImageSink, image_files, image_pattern, images_at
from .info import Frame, VideoInfo
from .muxing import ContainerSink
from .probe import reason

__all__ = ["VideoWriter", "check_output"]


class VideoWriter:
    """Writes frames to a video file, or to image files. A context manager.

    The output appears under its name when the `with` block ends well; after an exception (Ctrl-C
    too) nothing is left behind.

    Args:
        path: output; the suffix says which container (mp4, m4v, mov, mkv, webm, avi). A folder or
            a pattern such as ``out/%05d.png`` gets one image a frame.
        info: size, pixel format, frame rate, time base and colours of the frames to come.
        template: the source file: its audio, subtitles, data, attachments, chapters and metadata
            are copied without re-encoding, in step with the video. None, images or arrays:
            nothing is copied.
        codec: ``libx264`` (``h264``), ``libx265`` (``h265``), ``libsvtav1`` (``av1``), ``vp9``,
            ``ffv1``, ``prores``, a hardware encoder (``nvenc``, ``hevc_nvenc``, ``qsv``, ``amf``,
            ``videotoolbox``) or ``auto``: the hardware's if one works here, else software. None:
            the container's usual one, AV1 for webm and H.264 for all others.
        crf: constant quality on the encoder's own scale, lower is better; None: looks like the
            source (18 for x264, 22 for x265, 28 for AV1). Without meaning for ffv1 and prores.
        encoder_preset: x264's names from ``ultrafast`` to ``placebo``; mapped for other encoders.
        threads: encoding threads; 0: the encoder's choice.
        overwrite: replace an existing file.
        options: private options of the encoder, over all others.

    Attributes:
        notes: what could not be done as asked, one line each.
        frames: frames written so far.
        encoder: FFmpeg's name of the encoder that is used.

    Raises:
        OutputError: the file cannot be written; the message says why.
        OptionError: an option that is unknown or out of range, or a codec that the container
            cannot hold.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        info: VideoInfo,
        *,
        template: Any = None,
        codec: str | None = None,
        crf: float | None = None,
        encoder_preset: str = "veryfast",
        threads: int = 0,
        overwrite: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.info = info
        self.frames = 0
        self._overwrite = overwrite
        self._sink: ContainerSink | ImageSink | None = None
        check_output(path, source=template, overwrite=overwrite)
        pattern = image_pattern(path)
        try:
            if pattern is not None:
                self._sink = ImageSink(pattern, info)
                self.encoder = self._sink.encoder
            else:
                suffix = self.path.suffix.lower()
                choice = choose_encoder(
                    codec, suffix, info, crf=crf, preset=encoder_preset, options=options or {}
                )
                self.encoder = choice.name
                muxer, streams = CONTAINERS[suffix][0], _file_to_copy(template)
                self._sink = ContainerSink(self.path, info, muxer, choice, streams, threads)
        except (FFmpegError, OSError) as error:
            self._fail(error)
        self.notes = self._sink.notes
        self._intake = self._sink.intake

    def frame(self) -> Frame:
        """A frame to fill in and give to `write`: its planes are the encoder's input memory.

        Planes are of `info.format` at `info` size, not initialised; write to each frame once.
        May be called from another thread than `write`.
        """
        return self._intake.blank()

    def write(self, frame: Frame, pts: int | None = None) -> None:
        """Encodes a frame.

        Args:
            frame: from `frame()`, from a reader, or any with planes of `info.format`; it must not
                be changed afterwards.
            pts: presentation time in units of `info.time_base`; None: the frame's own.

        Raises:
            OutputError: it cannot be written (the disk is full …).
            ValueError: planes of another layout or size.
        """
        if self._sink is None:
            raise ValueError(f"{self.path}: is closed")
        try:
            picture = self._intake.picture(frame)
            self._sink.put(picture, frame.pts if pts is None else pts, frame.duration)
            self.frames += 1
        except (FFmpegError, OSError) as error:
            self._fail(error)

    def close(self) -> None:
        """Finishes the file and gives it its name."""
        sink, self._sink = self._sink, None
        if sink is None:
            return
        try:
            if self.frames == 0:
                raise OutputError(f"{self.path}: not written, for there was no frame to write")
            sink.finish(self._overwrite)
        except BaseException as error:
            sink.abort()
            self._fail(error)

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        elif self._sink is not None:
            sink, self._sink = self._sink, None
            sink.abort()

    def _fail(self, error: BaseException) -> NoReturn:
        """Raises what tells the user most; errors that are none of the file's stay as they are."""
        if isinstance(error, SteadyviewError) or not isinstance(error, FFmpegError | OSError):
            raise error
        if error.errno == errno.ENOSPC:
            raise OutputError(
                f"{self.path}: the disk is full; free some space or write elsewhere"
            ) from error
        raise OutputError(f"{self.path}: cannot be written ({reason(error)})") from error


def _file_to_copy(template: Any) -> str | None:
    """The template if it is a video file; images and arrays have nothing to copy."""
    if not isinstance(template, str | os.PathLike) or image_files(template) is not None:
        return None
    return os.fspath(template)


def check_output(path: str | os.PathLike, *, source: Any = None, overwrite: bool = False) -> None:
    """Raises what would be wrong with an output: cheap, before any work is done.

    Args:
        path: as `VideoWriter`'s.
        source: the input, which must not be the output too; arrays never are.
        overwrite: as `VideoWriter`'s.

    Raises:
        OptionError: a suffix that says no container.
        OutputError: it exists, is the source itself, or its folder does not exist or is closed.
    """
    pattern = image_pattern(path)
    if pattern is not None:
        _check_images(pattern, source, overwrite)
        return
    text, output = os.fspath(path), Path(path)
    if output.suffix.lower() not in CONTAINERS:
        raise OptionError(
            f"{text}: output must end in {', '.join(CONTAINERS)}, or be a folder/ or pattern of "
            f"images (%05d.png); got {output.suffix or 'no suffix'!r}"
        )
    if isinstance(source, str | os.PathLike) and _same_files([text], [os.fspath(source)]):
        raise OutputError(f"{text}: is the input itself; choose another output")
    if os.path.lexists(output) and not overwrite:
        raise OutputError(f"{text}: exists already; allow overwriting or choose another name")
    _check_folder(text, output.parent)


def _check_images(pattern: Path, source: Any, overwrite: bool) -> None:
    """`check_output` for a printf pattern."""
    if pattern.suffix.lower() not in IMAGE_SUFFIXES:
        raise OptionError(
            f"{pattern}: images must end in {', '.join(IMAGE_SUFFIXES)}; got {pattern.suffix!r}"
        )
    existing = images_at(pattern)
    inputs: Sequence[str] = ()
    if existing and isinstance(source, str | os.PathLike):
        inputs = image_files(source) or [os.fspath(source)]
    if _same_files(existing, inputs):
        raise OutputError(f"{pattern}: has files of the input itself; choose another folder")
    if existing and not overwrite:
        raise OutputError(
            f"{pattern}: such files exist already; allow overwriting or choose another folder"
        )
    folder = pattern.parent
    _check_folder(str(pattern), folder if folder.exists() else folder.parent)


def _check_folder(output: str, folder: Path) -> None:
    if not folder.is_dir():
        raise OutputError(f"{output}: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(
            f"{output}: cannot write in {folder} (Permission denied); choose another folder"
        )


def _same_files(files: Iterable[str], others: Iterable[str]) -> bool:
    """Whether a file is in both, by whatever name."""

    def numbers(names: Iterable[str]) -> set[tuple[int, int]]:
        found = set()
        for name in names:
            with suppress(OSError):  # it may not exist
                status = os.stat(name)
                found.add((status.st_dev, status.st_ino))
        return found

    return not numbers(files).isdisjoint(numbers(others))
