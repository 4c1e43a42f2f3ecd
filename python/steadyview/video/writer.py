"""Writing video: planar frames into a file, with everything else of the source copied along."""

import errno
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from ..errors import OptionError, OutputError, SteadyviewError
from .copying import StreamCopier
from .encoders import CONTAINERS, EncoderChoice, choose_encoder
from .images import IMAGE_SUFFIXES
from .info import Frame, PixelFormat, VideoInfo, nearest_planar
from .planes import plane_views
from .reader import reason
from .threads import Background

__all__ = ["VideoWriter"]


class VideoWriter:
    """Writes frames to a video file. A context manager.

    The file appears under its name when the `with` block ends well; after an exception (Ctrl-C
    too) nothing is left behind.

    Args:
        path: output; the suffix says which container (mp4, m4v, mov, mkv, webm, avi).
        info: size, pixel format, frame rate, time base and colours of the frames to come.
        template: the source file: its audio, subtitles, data, attachments, chapters and metadata
            are copied without re-encoding, in step with the video. None: nothing is copied.
        codec: ``libx264`` (``h264``), ``libx265`` (``h265``), ``libsvtav1`` (``av1``), ``vp9``,
            ``ffv1``, ``prores``, a hardware encoder (``nvenc``, ``hevc_nvenc``, ``qsv``, ``amf``,
            ``videotoolbox``) or ``auto``: the hardware's if one works here, else software.
        crf: constant quality on the encoder's own scale, lower is better; None: looks like the
            source (18 for x264, 22 for x265, 28 for AV1). Without meaning for ffv1 and prores.
        encoder_preset: x264's names from ``ultrafast`` to ``placebo``; mapped for other encoders.
        threads: encoding threads; 0: the encoder's choice.
        overwrite: replace an existing file.
        options: private options of the encoder, over all others.
        write_behind: frames that wait for a thread which encodes them; 0: encode in the caller's.

    Attributes:
        notes: what could not be done as asked, one line each.
        frames: frames written so far.

    Raises:
        OutputError: the file cannot be written; the message says why.
        OptionError: an option that is unknown or out of range.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        info: VideoInfo,
        *,
        template: str | os.PathLike | None = None,
        codec: str = "libx264",
        crf: float | None = None,
        encoder_preset: str = "veryfast",
        threads: int = 0,
        overwrite: bool = False,
        options: Mapping[str, Any] | None = None,
        write_behind: int = 0,
    ) -> None:
        self.path = Path(path)
        self.info = info
        self.notes: list[str] = []
        self.frames = 0
        self._overwrite = overwrite
        self._copier: StreamCopier | None = None
        self._container: Any = None
        self._background: Background | None = None
        self._durations: dict[int, int] = {}
        suffix = self.path.suffix.lower()
        if suffix not in CONTAINERS:
            raise OptionError(
                f"{self.path}: output must end in {', '.join(CONTAINERS)}, or be a folder or "
                f"pattern of images ({', '.join(IMAGE_SUFFIXES)}); got {suffix or 'no suffix'!r}"
            )
        check_output(self.path, overwrite, template)
        choice = choose_encoder(
            codec, suffix, info, crf=crf, preset=encoder_preset, options=options or {}
        )
        self.notes += choice.notes
        self.encoder = choice.name
        self._temporary = temporary_beside(self.path)
        try:
            self._open(choice, CONTAINERS[suffix][0], template, threads)
        except BaseException as error:
            self._abort()
            raise self._output_error(error) from error
        if write_behind > 0:
            self._background = Background(self._encode, write_behind)

    # --- setting up -------------------------------------------------------------------------

    def _open(
        self,
        choice: EncoderChoice,
        muxer: str,
        template: str | os.PathLike | None,
        threads: int,
    ) -> None:
        self._container = av.open(
            str(self._temporary), "w", format=muxer, container_options=_muxer_options(muxer)
        )
        self._intake = Intake(self.info, choice.pix_fmt)
        self.notes += self._intake.notes
        self._time_base = self.info.time_base
        if muxer == "avi":  # has no time stamps, only a frame rate
            self._time_base = 1 / Fraction(self.info.frame_rate)
        self._stream = self._add_stream(choice, threads)
        self._shift = 0
        if template is not None:
            self._copier = StreamCopier(os.fspath(template), self._container, self._stream)
            self._shift = round(self._copier.shift / self._time_base)
            self.notes += self._copier.notes
        try:
            self._stream.codec_context.open()
        except (FFmpegError, ValueError) as error:
            raise OutputError(
                f"{self.path}: encoder {choice.name} does not take {self._intake.width}x"
                f"{self._intake.height} {choice.pix_fmt} with {choice.options} ({reason(error)})"
            ) from error
        self._container.start_encoding()

    def _add_stream(self, choice: EncoderChoice, threads: int) -> Any:
        stream = self._container.add_stream(
            choice.name,
            rate=self.info.frame_rate,
            options=choice.options,
            time_base=self._time_base,
            width=self._intake.width,
            height=self._intake.height,
        )
        stream.pix_fmt = choice.pix_fmt
        stream.thread_count = threads
        context = stream.codec_context
        context.time_base = self._time_base
        context.sample_aspect_ratio = self.info.sample_aspect_ratio
        for name, value in self._intake.color.items():
            setattr(context, _COLOR_NAMES[name], value)
        if choice.name in ("libx265", "hevc_nvenc") and self._container.format.name in (
            "mp4",
            "mov",
        ):
            context.codec_tag = "hvc1"  # Apple's players show no other
        return stream

    # --- writing ----------------------------------------------------------------------------

    def frame(self) -> Frame:
        """A frame to fill in and give to `write`: its planes are the encoder's input memory.

        Planes are of `info.format` at `info` size, not initialised; write to each frame once.
        """
        return self._intake.blank()

    def write(self, frame: Frame, pts: int | None = None) -> None:
        """Encodes a frame.

        Args:
            frame: from `frame()`, from a reader, or any with planes of `info.format`; it must not
                be changed afterwards.
            pts: presentation time in units of `info.time_base`; None: the frame's own.
        """
        stamp = frame.pts if pts is None else pts
        duration = frame.duration
        if self._background is not None:
            self._background.put((frame, stamp, duration))
        else:
            self._encode((frame, stamp, duration))

    def _encode(self, item: tuple[Frame, int, int | None]) -> None:
        frame, pts, duration = item
        try:
            picture = self._intake.picture(frame)
            step = max(1, round(1 / (self.info.frame_rate * self.info.time_base)))
            if self._time_base != self.info.time_base:
                pts, duration = self.frames, 1
            else:
                pts -= self._shift
            self._durations[pts] = duration or step
            picture.pts = pts
            picture.time_base = self._time_base
            picture.pict_type = 0  # the encoder's choice, not what the decoder read
            self._mux(self._stream.encode(picture))
            self.frames += 1
        except (FFmpegError, OSError) as error:
            raise self._output_error(error) from error

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts, packet.duration or 0)
            if self._copier is not None and packet.dts is not None:
                self._copier.pump(float(packet.dts * packet.time_base))
            self._container.mux_one(packet)

    # --- the end ----------------------------------------------------------------------------

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        else:
            self._abort()

    def close(self) -> None:
        """Finishes the file and gives it its name."""
        if self._container is None:
            return
        try:
            background, self._background = self._background, None
            if background is not None:
                background.close()
            if self.frames == 0:
                raise OutputError(f"{self.path}: not written, for there was no frame to write")
            self._mux(self._stream.encode(None))
            if self._copier is not None:
                self._copier.pump(None)
                self.notes += [n for n in self._copier.notes if n not in self.notes]
                self._copier.close()
            self._container.close()
            self._container = None
            if not self._overwrite and os.path.lexists(self.path):
                raise OutputError(f"{self.path}: appeared while writing; not overwritten")
            os.replace(self._temporary, self.path)
        except BaseException as error:
            self._abort()
            raise self._output_error(error) from error

    def _abort(self) -> None:
        """Drops everything and deletes the temporary file."""
        background, self._background = self._background, None
        if background is not None:
            background.close(drop=True)
        container, self._container = self._container, None
        if self._copier is not None:
            self._copier.close()
        if container is not None:
            with suppress(FFmpegError, OSError, ValueError):
                container.close()
        with suppress(OSError):
            self._temporary.unlink()

    def _output_error(self, error: BaseException) -> BaseException:
        if isinstance(error, SteadyviewError) or not isinstance(error, (FFmpegError, OSError)):
            return error
        if error.errno == errno.ENOSPC:
            return OutputError(f"{self.path}: the disk is full; free some space or write elsewhere")
        return OutputError(f"{self.path}: cannot be written ({reason(error)})")


_COLOR_NAMES = {
    "range": "color_range",
    "primaries": "color_primaries",
    "trc": "color_trc",
    "space": "colorspace",
}


def _muxer_options(muxer: str) -> dict[str, str]:
    return {"movflags": "+use_metadata_tags"} if muxer == "mov" else {}


def check_output(path: Path, overwrite: bool, source: str | os.PathLike | None) -> None:
    """Raises OutputError if `path` may not be written: folder, existing file, the source itself."""
    if source is not None and path.exists():
        with suppress(OSError):
            if os.path.samefile(path, source):
                raise OutputError(f"{path}: is the input itself; choose another output")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give a file name")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path}: exists already; allow overwriting or choose another name")
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"{path}: the folder {folder} does not exist; make it first")


def temporary_beside(path: Path) -> Path:
    """A new empty file in the folder of `path`, with its suffix."""
    temporary = path.with_name(f".{path.stem[:80]}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise OutputError(f"{path}: the disk is full") from error
        raise OutputError(
            f"{path}: cannot write in {path.parent} ({error.strerror}); choose another folder"
        ) from error
    return temporary


class Intake:
    """Frames of `info.format` on their way into an encoder's pixel format.

    Args:
        info: the frames to come.
        pix_fmt: FFmpeg's name of what the encoder takes.

    Attributes:
        width, height: what the encoder is given; even where its chroma needs that.
        color: colour numbers of what the encoder is given.
        notes: what is lost.
    """

    def __init__(self, info: VideoInfo, pix_fmt: str, *, keep_size: bool = False) -> None:
        self.notes: list[str] = []
        self._info = info
        self._source = info.format
        self._pix_fmt = pix_fmt
        target = nearest_planar(pix_fmt)
        self._target = target
        sx, sy = (0, 0) if keep_size else target.chroma_shift
        self.width = info.width >> sx << sx
        self.height = info.height >> sy << sy
        if (self.width, self.height) != (info.width, info.height):
            self.notes.append(
                f"odd size {info.width}x{info.height} cut to {self.width}x{self.height}: "
                f"{pix_fmt} needs even sizes here"
            )
        self.color = dict(info.color)
        self._views = pix_fmt == target.name and _same_samples(self._source, target)
        if self._source.is_rgb and not target.is_rgb:
            self.color = {"range": 1, "primaries": 1, "trc": 1, "space": 1}  # BT.709
        self._direct = self._views and (self.width, self.height) == (info.width, info.height)
        self._reformatter = av.video.reformatter.VideoReformatter()

    def blank(self) -> Frame:
        """A frame of `info.format` to fill in, in the encoder's memory where possible."""
        if self._direct:
            picture, planes = self._new_picture()
            extra = self._source.planes - len(planes)
            if extra > 0:  # alpha, which the encoder does not take
                shape = self._source.plane_shape(3, self.width, self.height)
                planes += (np.empty(shape, self._source.dtype),)
            return Frame(planes[: self._source.planes], 0, 0.0, 0, None, picture)
        picture = av.VideoFrame(self._info.width, self._info.height, self._source.name)
        planes = plane_views(picture, self._source, writeable=True)
        return Frame(planes, 0, 0.0, 0, None, picture)

    def _new_picture(self) -> tuple[Any, tuple[np.ndarray, ...]]:
        picture = av.VideoFrame(self.width, self.height, self._pix_fmt)
        planes = plane_views(picture, self._target, writeable=True)
        if self._source.planes == 1:
            for plane in planes[1:]:
                plane[...] = 1 << (self._target.depth - 1)
        return picture, planes

    def picture(self, frame: Frame) -> Any:
        """The `av.VideoFrame` for the encoder."""
        self._check(frame)
        owner: Any = frame.owner
        if self._direct and owner is not None and owner.format.name == self._pix_fmt:
            return owner
        if self._views:
            picture, planes = self._new_picture()
            for to, plane in zip(planes, frame.planes, strict=False):
                np.copyto(to, plane[: to.shape[0], : to.shape[1]])
            return picture
        return self._converted(frame)

    def _check(self, frame: Frame) -> None:
        info, fmt = self._info, self._source
        shapes = [fmt.plane_shape(i, info.width, info.height) for i in range(fmt.planes)]
        got = [plane.shape for plane in frame.planes]
        if got != shapes or any(plane.dtype != fmt.dtype for plane in frame.planes):
            raise ValueError(
                f"frame must have {fmt.name} planes {shapes} of {np.dtype(fmt.dtype)}, got "
                f"{got} of {[str(plane.dtype) for plane in frame.planes]}"
            )

    def _converted(self, frame: Frame) -> Any:
        fmt: PixelFormat = self._source
        picture: Any = av.VideoFrame(self.width, self.height, fmt.name)
        for to, plane in zip(plane_views(picture, fmt, writeable=True), frame.planes, strict=True):
            np.copyto(to, plane[: to.shape[0], : to.shape[1]])
        color = self._info.color
        space = 0 if fmt.is_rgb else _matrix(color.get("space", 2), self.height)
        full = 2 if fmt.is_rgb else color.get("range", 0) or 1
        to_rgb = self._target.is_rgb
        return self._reformatter.reformat(
            picture,
            format=self._pix_fmt,
            src_colorspace=_SWS_SPACE.get(space),
            dst_colorspace=_SWS_SPACE.get(1 if fmt.is_rgb else space),
            src_color_range=full,
            dst_color_range=2 if to_rgb else (1 if fmt.is_rgb else full),
            interpolation="BICUBIC",
            threads=1,
        )


# FFmpeg's colour matrices by the scaler's numbers.
_SWS_SPACE = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}


def _matrix(space: int, height: int) -> int:
    """The matrix to assume where none is said: BT.709 from 720 lines up, as players do."""
    return space if space in _SWS_SPACE else (1 if height >= 720 else 6)


def _same_samples(source: PixelFormat, target: PixelFormat) -> bool:
    """Whether planes go over as they are; grey gets neutral chroma, alpha may be left out."""
    if source.depth != target.depth or source.is_rgb != target.is_rgb:
        return False
    return source.planes == 1 or (
        target.planes >= 3
        and target.planes <= source.planes
        and source.chroma_shift == target.chroma_shift
    )
