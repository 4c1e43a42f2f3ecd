"""Reading video: files through PyAV, image folders, and arrays, as a stream of upright frames."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from ..errors import InputError, OptionError
from .convert import rgb_of
from .info import Frame, PixelFormat, VideoInfo, nearest_planar, pixel_format
from .planes import UPRIGHT, orientation_of, plane_views, turned

__all__ = ["Clock", "FrameReader", "Uniform", "VideoReader", "open_video"]

MAX_WARNINGS = 20
_MAX_READ_ERRORS = 50  # in a row, without a packet between them: the file is over


def open_video(
    source: Any,
    *,
    thread_count: int = 0,
    skip_loop_filter: bool = False,
    frame_rate: Fraction | float | None = None,
) -> "FrameReader":
    """Opens a video for reading.

    Args:
        source: a video file (mp4, mov, mkv, webm, avi, ts …), a folder of images, a glob
            (``frames/*.png``), a pattern (``frames/%05d.png``), an array `(N, H, W, 3)` or
            `(N, H, W)` uint8 or uint16 of RGB or grey frames, or an iterable of such frames.
        thread_count: decoding threads; 0: one a core.
        skip_loop_filter: decode faster and a little worse, for analysis only.
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
    return VideoReader(source, thread_count=thread_count, skip_loop_filter=skip_loop_filter)


class FrameReader:
    """What all readers have: `info`, `warnings`, iteration, `with`."""

    info: VideoInfo

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._active: Any = None

    def _frames(self) -> Iterator[Frame]:
        raise NotImplementedError

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
        skip_loop_filter: bool = False,
    ) -> None:
        super().__init__()
        self._path = os.fspath(source)
        self._threads = thread_count
        self._skip_loop_filter = skip_loop_filter
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
        for other in self._container.streams:
            if other.index != self._stream.index:
                other.discard = av.stream.Discard.all
        context.thread_type = "AUTO"
        context.thread_count = self._threads
        if self._skip_loop_filter:
            context.options = {"skip_loop_filter": "all"}
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
        self._first_pass = _chain(first, frames)

    def _packets(self) -> Iterator[Any]:
        """Packets of the stream, on past read errors, and the flush packet at the end."""
        errors = 0
        while errors < _MAX_READ_ERRORS:
            try:
                for packet in self._container.demux(self._stream):
                    errors = 0 if packet.size else errors
                    yield packet
                return
            except FFmpegError as error:
                errors += 1
                self._warn(f"{self._path}: frame {self._count}: unreadable data ({reason(error)})")
        with suppress(FFmpegError):  # read no more, but what waits in the decoder comes out
            for frame in self._stream.decode(None):
                self._leftover.append(frame)

    def _decode(self) -> Iterator[Any]:
        """av frames in presentation order. Damaged packets are left out with a warning."""
        self._count = 0
        self._leftover: list[Any] = []
        discarded = 0
        for packet in self._packets():
            discarded += packet.is_discard
            if packet.is_corrupt:
                self._warn(f"{self._path}: frame {self._count}: damaged or incomplete data")
            try:
                frames = self._stream.decode(packet)
            except EOFError:
                continue
            except FFmpegError as error:
                self._warn(
                    f"{self._path}: frame {self._count}: cannot be decoded ({reason(error)})"
                )
                continue
            for frame in frames:
                if frame.is_corrupt:
                    self._warn(f"{self._path}: frame {self._count}: damaged, shown as decoded")
                self._count += 1
                yield frame
        for frame in self._leftover:
            self._count += 1
            yield frame
        promised = self._stream.frames - discarded
        if self._count < promised and "mp4" in self._container_name:  # others only estimate
            self._warn(
                f"{self._path}: ends after frame {self._count - 1}: the file promises {promised} "
                f"frames, {self._count} could be decoded"
            )

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
            planes, owner = self._uniform.planes(frame)
            pts, duration = clock.stamp(frame.pts, frame.dts, frame.duration)
            yield Frame(planes, pts, clock.seconds(pts), index, duration, owner)


class Clock:
    """Mends time stamps: every frame has one, and each is later than the one before.

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
        self._last = max(stamp, self._last + 1)
        return self._last, duration

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


def _chain(first: Any, rest: Iterable[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def check_file(path: str) -> None:
    """Raises InputError unless `path` is a readable file with something in it (or a URL)."""
    if "://" in path:
        return
    file = Path(path)
    if not file.exists():
        raise InputError(f"{path}: no such file; check the path")
    if not file.is_file() and not file.is_fifo():
        raise InputError(f"{path}: not a file")
    if file.is_file() and file.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; copy or record it again")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: no permission to read it")


def reason(error: BaseException) -> str:
    """What an FFmpeg error says, without Python's class names."""
    text = getattr(error, "strerror", None) or str(error)
    return str(text).removeprefix("[Errno").strip()


def main_video_stream(container: Any) -> Any:
    """The video stream to show: the best one that is not a cover picture; None without one."""
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        return None
    best = container.streams.best("video")
    return best if best in streams else streams[0]


def describe(path: str, container: Any, stream: Any, first: Any, uniform: Uniform) -> VideoInfo:
    """VideoInfo of an opened container whose first frame is decoded."""
    context = stream.codec_context
    rates = [stream.average_rate, stream.guessed_rate, stream.base_rate]
    if container.format.name in ("avi", "h264", "hevc", "m4v", "mpegvideo"):
        rates = [stream.guessed_rate, *rates]  # no time stamps to average
    rate = next((rate for rate in rates if rate and 0 < rate < 10000), Fraction(25))
    duration = None
    if stream.duration:
        duration = float(stream.duration * stream.time_base)
    elif container.duration:
        duration = container.duration / av.time_base
    aspect = stream.sample_aspect_ratio or Fraction(1)
    width, height = uniform.upright_size
    return VideoInfo(
        source=path,
        width=width,
        height=height,
        format=uniform.format,
        frame_rate=rate,
        duration=duration,
        frames=stream.frames or None,
        time_base=stream.time_base or Fraction(1, 90000),
        codec=context.name,
        rotation=uniform.orientation.clockwise,
        color=color_of(context, first),
        sample_aspect_ratio=1 / aspect if uniform.orientation.transpose else aspect,
        bit_rate=context.bit_rate or container.bit_rate or None,
    )


def color_of(context: Any, first: Any) -> dict[str, int]:
    """Colour numbers of a stream, from its first frame where the container does not say."""

    def known(value: int, other: int) -> int:
        return int(value) if value not in (0, 2) else int(other)

    full_range = first.format.name.startswith("yuvj")
    return {
        "range": 2 if full_range else int(context.color_range or first.color_range),
        "primaries": known(context.color_primaries, first.color_primaries),
        "trc": known(context.color_trc, first.color_trc),
        "space": known(context.colorspace, first.colorspace),
    }
