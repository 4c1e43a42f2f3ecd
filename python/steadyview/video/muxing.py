"""A video file while it is written: encoder, container, copied streams, temporary name."""

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from ..errors import OutputError
from .convert import Intake
from .copying import StreamCopier
from .encoders import EncoderChoice
from .info import VideoInfo
from .probe import reason

__all__ = ["ContainerSink", "temporary_beside"]

_COLOR_NAMES = {
    "range": "color_range",
    "primaries": "color_primaries",
    "trc": "color_trc",
    "space": "colorspace",
}

# PyAV cannot set a stream's aspect ratio, and these do not have it in their own data.
_WITHOUT_ASPECT = ("libsvtav1", "libvpx-vp9")


def temporary_beside(path: Path) -> Path:
    """A new empty file in the folder of `path`, with its suffix."""
    temporary = path.with_name(f".{path.stem[:80]}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OutputError(f"{path}: the disk is full; free some space") from error
        raise OutputError(
            f"{path}: cannot write in {path.parent} ({error.strerror}); choose another folder"
        ) from error
    return temporary


class ContainerSink:
    """Encodes pictures into a temporary file that gets its name when all went well.

    Args:
        path: the name it gets.
        info: the frames to come.
        muxer: FFmpeg's name of the container format.
        choice: encoder and settings.
        template: file whose other streams are copied; None: none.
        threads: encoding threads; 0: the encoder's choice.
    """

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        muxer: str,
        choice: EncoderChoice,
        template: str | None,
        threads: int,
    ) -> None:
        self.path = path
        self.notes = list(choice.notes)
        self._info = info
        self._choice = choice
        self._copier: StreamCopier | None = None
        self._container: Any = None
        self._durations: dict[int, int] = {}
        self._step = max(1, round(1 / (info.frame_rate * info.time_base)))
        # AVI has no time stamps, only a frame rate, and frames that repeat the last.
        self._constant_rate = muxer == "avi"
        self._time_base = 1 / info.frame_rate if self._constant_rate else info.time_base
        self._last_pts = -1
        self.intake = Intake(info, choice.pix_fmt, any_size=choice.name in ("ffv1", "prores_ks"))
        self.notes += self.intake.notes
        self._temporary = temporary_beside(path)
        try:
            self._open(muxer, template, threads)
        except BaseException:
            self.abort()
            raise

    def _open(self, muxer: str, template: str | None, threads: int) -> None:
        self._container = av.open(
            str(self._temporary), "w", format=muxer, container_options=_muxer_options(muxer)
        )
        self._stream = self._add_stream(muxer, threads)
        self._shift = 0
        if template is not None:
            self._copier = StreamCopier(template, self._container, self._stream)
            self._shift = round(self._copier.shift / self._time_base)
            self.notes += self._copier.notes
        choice, intake = self._choice, self.intake
        try:
            self._stream.codec_context.open()
        except (FFmpegError, ValueError) as error:
            raise OutputError(
                f"{self.path}: encoder {choice.name} does not take {intake.width}x{intake.height} "
                f"{choice.pix_fmt} with {choice.options} ({reason(error)})"
            ) from error
        self._container.start_encoding()

    def _add_stream(self, muxer: str, threads: int) -> Any:
        choice = self._choice
        stream = self._container.add_stream(
            choice.name,
            rate=self._info.frame_rate,
            options=choice.options,
            time_base=self._time_base,
            width=self.intake.width,
            height=self.intake.height,
        )
        context = stream.codec_context
        context.pix_fmt = choice.pix_fmt
        context.thread_count = threads
        context.thread_type = "AUTO"
        aspect = self._info.sample_aspect_ratio
        context.sample_aspect_ratio = aspect
        if aspect != 1 and muxer in ("matroska", "webm") and choice.name in _WITHOUT_ASPECT:
            self.notes.append(f"pixel aspect ratio {aspect} is lost: use .mp4 to keep it")
        for name, value in self.intake.color.items():
            setattr(context, _COLOR_NAMES[name], value)
        if choice.name in ("libx265", "hevc_nvenc") and muxer in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # Apple's players show no other
        return stream

    def put(self, picture: Any, pts: int, duration: int | None) -> None:
        """Encodes an `av.VideoFrame`; times are in units of `info.time_base`."""
        if self._constant_rate:
            pts = max(round(pts * self._info.time_base / self._time_base), self._last_pts + 1)
            duration = 1
            self._last_pts = pts
        pts -= self._shift
        self._durations[pts] = duration or self._step
        picture.pts = pts
        picture.time_base = self._time_base
        picture.pict_type = 0  # the encoder's choice, not what a decoder read
        self._mux(self._stream.encode(picture))

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            if packet.pts is not None:  # without a duration the last frame would be lost time
                packet.duration = self._durations.pop(packet.pts, packet.duration or 0)
            if self._copier is not None and packet.dts is not None:
                self._copier.pump(float(packet.dts * packet.time_base))
            self._container.mux_one(packet)

    def finish(self, overwrite: bool) -> None:
        """Writes what waits, closes the file and gives it its name."""
        self._mux(self._stream.encode(None))
        if self._copier is not None:
            self._copier.pump(None)
            self.notes += [note for note in self._copier.notes if note not in self.notes]
            self._copier.close()
        self._container.close()
        self._container = None
        if not overwrite and os.path.lexists(self.path):
            raise OutputError(f"{self.path}: appeared while writing; not overwritten")
        os.replace(self._temporary, self.path)

    def abort(self) -> None:
        """Drops everything and deletes the temporary file."""
        container, self._container = self._container, None
        if self._copier is not None:
            self._copier.close()
        if container is not None:
            with suppress(FFmpegError, OSError, ValueError):
                container.close()
        with suppress(OSError):
            self._temporary.unlink()


def _muxer_options(muxer: str) -> dict[str, str]:
    return {"movflags": "+use_metadata_tags"} if muxer == "mov" else {}
