"""Reading video: files through PyAV, image folders, and arrays, as a stream of upright frames."""

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from ..errors import InputError, OptionError
from .clock import Clock
from .convert import rgb_of
from .info import Frame, PixelFormat, VideoInfo, nearest_planar, pixel_format
from .planes import UPRIGHT, orientation_of, plane_views, turned
from .probe import check_file, describe, main_video_stream, reason

__all__ = ["FrameReader", "Uniform", "VideoReader", "open_video"]

MAX_WARNINGS = 20
_MAX_READ_ERRORS = 50  # in a row, without a packet between them: the file is over


def open_video(
    source: Any,
    *,
    thread_count: int = 0,
    frame_rate: Fraction | float | None = None,
) -> "FrameReader":
    """Opens a video for reading.

    Args:
        source: a video file (mp4, mov, mkv, webm, avi, ts …), a folder of images, a glob
            (``frames/*.png``), a pattern (``frames/%05d.png``), an array `(N, H, W, 3)` or
            `(N, H, W)` uint8 or uint16 of RGB or grey frames, or an iterable of such frames.
        thread_count: decoding threads; 0: one a core.
        frame_rate: frames a second of images and arrays (30 when None); not for video files.

    Returns:
        A context manager that iterates `Frame`s in presentation order; each iteration starts at
        the first frame. It has `info` and `warnings` (lines about damage; complete at the end).

    Raises:
        InputError: nothing that can be decoded; the message names the file and a remedy.
        OptionError: an option out of its range.
    """
    from .images import ArrayReader, ImageReader, image_files

    if isinstance(thread_count, bool) or not isinstance(thread_count, int) or thread_count < 0:
        raise OptionError(f"thread_count must be a whole number from 0 up, got {thread_count!r}")
    if isinstance(source, FrameReader):
        return source
    if not isinstance(source, (str, os.PathLike)):
        return ArrayReader(source, frame_rate=frame_rate)
    files = image_files(source)
    if files is not None:
        return ImageReader(source, files, frame_rate=frame_rate)
    return VideoReader(source, thread_count=thread_count)


class FrameReader(ABC):
    """What all readers have: `info`, `warnings`, iteration, `with`."""

    info: VideoInfo

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._active: Any = None

    @abstractmethod
    def _frames(self) -> Iterator[Frame]: ...

    def __iter__(self) -> Iterator[Frame]:
        self._stop()
        self._active = self._frames()
        return self._active

    def to_rgb(self, frame: Frame) -> np.ndarray:
        """A frame of this video, or one warped from it, as `(H, W, 3)` uint8 RGB."""
        return rgb_of(frame, self.info)

    def __enter__(self) -> "FrameReader":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends a running iteration and closes the file."""
        self._stop()

    def _stop(self) -> None:
        active, self._active = self._active, None
        if active is not None:
            with suppress(ValueError):  # runs in another thread, which has to end it
                active.close()

    def _warn(self, line: str) -> None:
        if len(self.warnings) < MAX_WARNINGS and line not in self.warnings:
            self.warnings.append(line)


class Uniform:
    """Turns decoded av frames into planes of one size, one planar format, upright.

    Planar formats that need nothing are views on the decoder's memory; all else is a copy.
    """

    def __init__(self, first: Any) -> None:
        self.size = (first.width, first.height)
        self.orientation = orientation_of(first)
        fmt = nearest_planar(first.format.name)
        if self.orientation.transpose and fmt.chroma_shift[0] != fmt.chroma_shift[1]:
            fmt = pixel_format(fmt.name.replace("422", "444"))
        self.format: PixelFormat = fmt
        self._reformatter = av.video.reformatter.VideoReformatter()

    @property
    def upright_size(self) -> tuple[int, int]:
        return self.size[::-1] if self.orientation.transpose else self.size

    def fits(self, frame: Any) -> bool:
        return (frame.width, frame.height) == self.size

    def planes(self, frame: Any) -> tuple[tuple[np.ndarray, ...], Any]:
        """The planes of an `av.VideoFrame` and the av frame they live in (None after a turn)."""
        name = frame.format.name
        if name.replace("yuvj", "yuv") != self.format.name or not self.fits(frame):
            frame = self._reformatter.reformat(
                frame,
                width=self.size[0],
                height=self.size[1],
                format=self.format.name,
                interpolation="POINT" if self.fits(frame) and not _subsamples(name) else "BICUBIC",
                threads=1,
            )
        planes = plane_views(frame, self.format)
        if self.orientation != UPRIGHT:
            return turned(planes, self.orientation), None
        return planes, frame


def _subsamples(name: str) -> bool:
    return any(part in name for part in ("422", "420", "411", "410", "440", "nv"))


class VideoReader(FrameReader):
    """A video file, decoded as it is iterated. Made by `open_video`."""

    def __init__(
        self,
        source: str | os.PathLike,
        *,
        thread_count: int = 0,
    ) -> None:
        super().__init__()
        self._path = os.fspath(source)
        self._threads = thread_count
        self._container: Any = None
        self._first_pass: Iterator[Any] | None = None
        check_file(self._path)
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        super().close()
        self._close_container()

    def _close_container(self) -> None:
        container, self._container = self._container, None
        self._first_pass = None
        if container is not None:
            container.close()

    def _open(self) -> Iterator[Any]:
        self._close_container()
        try:
            self._container = av.open(self._path, metadata_errors="replace")
        except EOFError as error:
            raise InputError(
                f"{self._path}: ends before the first frame; is it complete?"
            ) from error
        except (FFmpegError, OSError, ValueError) as error:
            raise InputError(
                f"{self._path}: not a video that can be read ({reason(error)}); "
                "is it complete, and does ffprobe read it?"
            ) from error
        self._container_name = self._container.format.name
        self._stream = main_video_stream(self._container)
        if self._stream is None:
            kinds = sorted({stream.type for stream in self._container.streams})
            raise InputError(
                f"{self._path}: no video stream (it has {', '.join(kinds) or 'no streams'}); "
                "give a file with a picture"
            )
        context = self._stream.codec_context
        if context is None:
            raise InputError(
                f"{self._path}: no decoder for its video; convert it to H.264 with ffmpeg first"
            )
        # Matroska tells its length only for all streams together: all must be read to compare.
        self._read_all = "matroska" in self._container_name
        for other in self._container.streams:
            if other.index != self._stream.index and not self._read_all:
                other.discard = av.stream.Discard.all
        context.thread_type = "AUTO"
        context.thread_count = self._threads
        return self._decode()

    def _start(self) -> None:
        """Opens the file and decodes the first frame: only it knows format and rotation."""
        self._count = 0
        frames = self._open()
        first = next(frames, None)
        if first is None:
            detail = f" ({self.warnings[-1]})" if self.warnings else ""
            raise InputError(
                f"{self._path}: no frame could be decoded{detail}; is the file complete?"
            )
        self._uniform = Uniform(first)
        self.info = describe(self._path, self._container, self._stream, first, self._uniform)
        self._first_pass = itertools.chain([first], frames)

    def _packets(self) -> Iterator[Any]:
        """Packets of the stream, on past read errors, and the flush packet at the end."""
        errors, self._read_to = 0, 0.0
        streams = [] if self._read_all else [self._stream]
        while errors < _MAX_READ_ERRORS:
            try:
                for packet in self._container.demux(*streams):
                    errors = 0 if packet.size else errors
                    if packet.pts is not None:
                        end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                        self._read_to = max(self._read_to, end)
                    if packet.stream_index == self._stream.index or not packet.size:
                        yield packet
                return
            except FFmpegError as error:
                errors += 1
                self._warn_at(f"unreadable data ({reason(error)})")
        yield None

    def _decode(self) -> Iterator[Any]:
        """av frames in presentation order. Damaged packets are left out with a warning."""
        self._count = 0
        self._damaged = (-2, -2)
        discarded = 0
        for packet in self._packets():
            if packet is not None:
                discarded += packet.is_discard
                if packet.is_corrupt:
                    self._warn_at("damaged or incomplete data")
            try:
                frames = self._stream.decode(packet)
            except EOFError:
                continue
            except FFmpegError as error:
                self._warn_at(f"cannot be decoded ({reason(error)})")
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self._warn_damaged()
                self._count += 1
                yield frame
        self._check_end(discarded)

    def _check_end(self, discarded: int) -> None:
        """Warns when the file promises more than there was. Many containers only estimate."""
        name, container = self._container_name, self._container
        if "mp4" in name and self._count < self._stream.frames - discarded:
            promised = self._stream.frames - discarded
            self._warn(
                f"{self._path}: ends after frame {self._count - 1}: the file promises {promised} "
                f"frames, {self._count} could be decoded"
            )
        length = container.duration / av.time_base if container.duration else 0.0
        if name == "avi" and self._stream.average_rate:
            length = float(self._stream.frames / self._stream.average_rate)
        begin = container.start_time / av.time_base if container.start_time else 0.0
        if ("matroska" in name or name == "avi") and self._read_to < begin + length - 0.5:
            self._warn(
                f"{self._path}: ends after frame {self._count - 1}: the file promises "
                f"{length:.2f} s, {self._read_to - begin:.2f} s could be read"
            )

    def _warn_at(self, what: str) -> None:
        self._warn(f"{self._path}: frame {self._count}: {what}")

    def _warn_damaged(self) -> None:
        """One line for a run of damaged frames."""
        first, last = self._damaged
        run = last == self._count - 1 and bool(self.warnings)
        self._damaged = (first if run else self._count, self._count)
        if run and self.warnings[-1].endswith("shown as decoded"):
            self.warnings[-1] = (
                f"{self._path}: frame {first} to {self._count}: damaged, shown as decoded"
            )
        else:
            self._warn_at("damaged, shown as decoded")

    def _frames(self) -> Iterator[Frame]:
        first_pass, self._first_pass = self._first_pass, None
        if first_pass is None:
            self.warnings.clear()
        clock = Clock(self.info, trust_dts=self._container_name == "avi")
        for index, frame in enumerate(first_pass or self._open()):
            if not self._uniform.fits(frame):
                width, height = self._uniform.size
                self._warn(
                    f"{self._path}: frame {index}: size changes to {frame.width}x{frame.height}; "
                    f"scaled to {width}x{height}"
                )
            if frame.interlaced_frame:
                self._warn(
                    f"{self._path}: is interlaced: its fields are stabilised as one frame; "
                    "deinterlace it first, for example with ffmpeg -vf bwdif"
                )
            planes, owner = self._uniform.planes(frame)
            pts, duration = clock.stamp(frame.pts, frame.dts, frame.duration)
            if clock.missing:
                self._warn(f"{self._path}: frame {index}: {clock.missing} frames missing before it")
            yield Frame(planes, pts, clock.seconds(pts), index, duration, owner)
