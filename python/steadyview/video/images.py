"""Frames from image files and from arrays, and frames written as image files."""

import glob
import itertools
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence, Sized
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from ..errors import InputError, OptionError, OutputError
from .convert import Intake
from .encoders import CONTAINERS
from .info import Frame, VideoInfo, pixel_format
from .probe import check_file, chroma_location, color_of, reason
from .reader import FrameReader, Uniform

__all__ = [
    "IMAGE_SUFFIXES",
    "ArrayReader",
    "ImageReader",
    "ImageSink",
    "image_files",
    "image_pattern",
    "images_at",
]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_PATTERN = re.compile(r"%0?(\d*)d")
_VIDEO_SUFFIXES = (
    *CONTAINERS, ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".3gp", ".wmv", ".flv", ".ogv",
    ".mxf", ".y4m", ".h264", ".hevc",
)  # fmt: skip


def image_files(source: str | os.PathLike) -> list[str] | None:
    """The image files a folder, glob or printf pattern stands for, in order; None if it is none.

    Names are sorted with numbers by value, so that frame 10 follows frame 9.
    """
    path = os.fspath(source)
    if os.path.isdir(path):
        found = [entry.path for entry in os.scandir(path) if entry.is_file()]
        files = [file for file in found if file.lower().endswith(IMAGE_SUFFIXES)]
        if not files:
            raise InputError(
                f"{path}: a folder without images; give a video file or a folder of "
                f"{', '.join(IMAGE_SUFFIXES)} files"
            )
    elif os.path.exists(path):
        return None
    elif _has_pattern(path):
        folder = os.path.dirname(path) or "."
        parts = _PATTERN.split(os.path.basename(path), maxsplit=1)
        name = re.compile(re.escape(parts[0]) + r"\d+" + re.escape(parts[2]))
        names = os.listdir(folder) if os.path.isdir(folder) else []
        files = [os.path.join(folder, n) for n in names if name.fullmatch(n)]
        if not files:
            raise InputError(f"{path}: no image file fits this pattern")
    elif glob.has_magic(path):
        files = [file for file in glob.glob(path, recursive=True) if os.path.isfile(file)]
        if not files:
            raise InputError(f"{path}: no file fits this pattern")
    else:
        return None
    return sorted(files, key=_natural)


def _has_pattern(path: str) -> bool:
    """Whether a printf pattern is meant: ``my%20dog.mp4`` is the name of a video."""
    name = os.path.basename(path)
    return bool(_PATTERN.search(name)) and not name.lower().endswith(_VIDEO_SUFFIXES)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    return [
        (part.isdigit(), int(part) if part.isdigit() else 0, part)
        for part in re.split(r"(\d+)", name)
    ]


def _rate(frame_rate: Fraction | float | None) -> Fraction:
    rate = Fraction(30) if frame_rate is None else Fraction(frame_rate).limit_denominator(1001)
    if not 0 < rate <= 10000:
        raise OptionError(f"frame_rate must be above 0 and at most 10000, got {frame_rate!r}")
    return rate


class ImageReader(FrameReader):
    """Image files as a video of constant frame rate. Made by `open_video`."""

    def __init__(
        self,
        source: str | os.PathLike,
        files: Sequence[str],
        *,
        frame_rate: Fraction | float | None = None,
    ) -> None:
        super().__init__()
        self._files = files
        rate = _rate(frame_rate)
        first, codec = _decode(files[0])
        self._uniform = Uniform(first)
        width, height = self._uniform.upright_size
        self.info = VideoInfo(
            source=os.fspath(source),
            width=width,
            height=height,
            format=self._uniform.format,
            frame_rate=rate,
            duration=float(len(files) / rate),
            frames=len(files),
            time_base=1 / rate,
            codec=codec.name,
            rotation=self._uniform.orientation.clockwise,
            color=color_of(codec, first),
            chroma_location=chroma_location(codec.name, self._uniform.orientation),
        )

    def _frames(self) -> Iterator[Frame]:
        for index, file in enumerate(self._files):
            frame, _ = _decode(file)
            if not self._uniform.fits(frame):
                width, height = self._uniform.size
                raise InputError(
                    f"{file}: frame {index} has {frame.width}x{frame.height} pixels, the ones "
                    f"before it {width}x{height}; all images must have one size"
                )
            planes, owner = self._uniform.planes(frame)
            yield Frame(planes, index, float(index / self.info.frame_rate), index, 1, owner)


def _decode(file: str) -> tuple[Any, Any]:
    """The picture in an image file and its codec context."""
    check_file(file)
    try:
        with av.open(file) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # one picture: threads would only cost
            for frame in container.decode(stream):
                return frame, stream.codec_context
    except (FFmpegError, OSError, ValueError, IndexError) as error:
        raise InputError(f"{file}: not an image that can be read ({reason(error)})") from error
    raise InputError(f"{file}: no picture in it")


class ArrayReader(FrameReader):
    """Arrays as a video of constant frame rate: `(H, W, 3)` RGB or `(H, W)` grey frames.

    Args:
        frames: array `(N, H, W, 3)` or `(N, H, W)`, or an iterable of frames, uint8 or uint16.
            A generator can be iterated once only; it is not held in memory.
        frame_rate: frames a second; 30 when None.
    """

    def __init__(self, frames: Iterable[Any], *, frame_rate: Fraction | float | None = None):
        super().__init__()
        rate = _rate(frame_rate)
        if isinstance(frames, np.ndarray) and frames.ndim not in (3, 4):
            raise InputError(f"frames must be (N, H, W, 3) or (N, H, W), got shape {frames.shape}")
        try:
            iterator = iter(frames)
        except TypeError:
            raise InputError(
                "source must be a path, an array (N, H, W, 3) or an iterable of frames, "
                f"got {type(frames).__name__}"
            ) from None
        self._once = iterator is frames
        self._source = frames
        first = next(iterator, None)
        if first is None:
            raise InputError("the source has no frames: give at least one")
        self._pending: Iterator[Any] | None = itertools.chain([first], iterator)
        first = self._checked(first, 0)
        self._shape, self._dtype = first.shape, first.dtype
        depth = "" if first.dtype == np.uint8 else "16le"
        count = len(frames) if isinstance(frames, Sized) else None
        self.info = VideoInfo(
            source="frames from memory",
            width=first.shape[1],
            height=first.shape[0],
            format=pixel_format(("gbrp" if first.ndim == 3 else "gray") + depth),
            frame_rate=rate,
            duration=None if count is None else float(count / rate),
            frames=count,
            time_base=1 / rate,
            codec="rawvideo",
            color={"range": 2, "primaries": 2, "trc": 2, "space": 0 if first.ndim == 3 else 2},
        )

    def _frames(self) -> Iterator[Frame]:
        pending, self._pending = self._pending, None
        if pending is None and self._once:
            raise InputError(
                "the frames came from a generator and are used up; give a list or an array, "
                "or write them to a file first"
            )
        for index, array in enumerate(pending or self._source):
            array = self._checked(array, index)
            if array.shape != self._shape or array.dtype != self._dtype:
                raise InputError(
                    f"frame {index} is {array.shape} {array.dtype}, the ones before it "
                    f"{self._shape} {self._dtype}; all frames must be alike"
                )
            order = (1, 2, 0)  # planes are G, B, R
            planes: tuple[np.ndarray, ...] = (np.ascontiguousarray(array),)
            if array.ndim == 3:
                planes = tuple(np.ascontiguousarray(array[..., c]) for c in order)
            yield Frame(planes, index, float(index / self.info.frame_rate), index, 1)

    @staticmethod
    def _checked(frame: Any, index: int) -> np.ndarray:
        array = np.asarray(frame)
        good_shape = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
        if not good_shape or 0 in array.shape or array.dtype not in (np.uint8, np.uint16):
            raise InputError(
                f"frame {index} is {array.shape} {array.dtype}; allowed are (H, W, 3) RGB or "
                "(H, W) grey, uint8 or uint16"
            )
        return array


def image_pattern(path: str | os.PathLike) -> Path | None:
    """The printf pattern a path for image output stands for; None if it is not one.

    ``out/%05d.png`` is itself, and a folder (or a path that ends in a slash) becomes
    ``folder/%06d.png``.
    """
    text = os.fspath(path)
    if text.endswith(("/", os.sep)) or os.path.isdir(text):
        return Path(text) / "%06d.png"
    return Path(text) if _has_pattern(text) else None


def images_at(pattern: Path) -> list[str]:
    """The files that a printf pattern stands for; none is no error."""
    try:
        return image_files(pattern) or []
    except InputError:
        return []


def _numbered(pattern: Path, number: int) -> str:
    """The file name of a pattern's image; other percent signs stay as they are."""
    return _PATTERN.sub(lambda match: match[0] % number, pattern.name, count=1)


# Suffix → encoder, its options, and its formats: grey, grey over 8 bits, colour, colour over 8
# bits, with alpha, with alpha over 8 bits.
_PNG = ("gray", "gray16be", "rgb24", "rgb48be", "rgba", "rgba64be")
_TIFF = ("gray", "gray16le", "rgb24", "rgb48le", "rgba", "rgba64le")
_JPEG = ("yuvj444p",) * 6
_ENCODERS: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    ".png": ("png", {}, _PNG),
    ".jpg": ("mjpeg", {}, _JPEG),
    ".jpeg": ("mjpeg", {}, _JPEG),
    ".bmp": ("bmp", {}, ("gray", "gray", "bgr24", "bgr24", "bgra", "bgra")),
    ".tif": ("tiff", {}, _TIFF),
    ".tiff": ("tiff", {}, _TIFF),
    ".webp": ("libwebp", {"lossless": "1"}, ("bgra",) * 6),
}


class ImageSink:
    """Writes one image a frame into a temporary folder that is moved into place at the end.

    Args:
        pattern: printf pattern of the files; frames count from 0.
        info: the frames to come.
    """

    def __init__(self, pattern: Path, info: VideoInfo) -> None:
        self._pattern = pattern
        self._count = 0
        self.encoder, options, formats = _ENCODERS[pattern.suffix.lower()]
        fmt = info.format
        kind = {1: 0, 3: 2, 4: 4}[fmt.planes]
        pix_fmt = formats[kind + (fmt.depth > 8)]
        self.intake = Intake(info, pix_fmt, any_size=True)
        self.notes = list(self.intake.notes)
        if fmt.depth > 8 and "16" not in pix_fmt and "48" not in pix_fmt and "64" not in pix_fmt:
            self.notes.append(f"{pattern.suffix} holds 8 bits: {fmt.depth} are rounded")
        context: Any = av.CodecContext.create(self.encoder, "w")
        context.width, context.height, context.pix_fmt = info.width, info.height, pix_fmt
        context.time_base = Fraction(1, 25)
        context.thread_count = 1
        context.options = options
        if self.encoder == "mjpeg":
            context.color_range = 2
            context.flags |= av.codec.context.Flags.qscale
            context.global_quality = 2 * 118  # quantiser 2, hardly visible
        self._context = context
        folder = pattern.parent
        place = folder if folder.exists() else folder.parent
        self._temporary = place / f".{folder.name}.{secrets.token_hex(4)}.part"
        try:
            self._temporary.mkdir()
        except OSError as error:
            raise OutputError(f"{pattern}: cannot write in {place} ({error.strerror})") from error

    def put(self, picture: Any, pts: int, duration: int | None) -> None:
        """Writes an `av.VideoFrame` as the next image; times have no place in images."""
        picture.pts = self._count
        picture.time_base = self._context.time_base
        picture.pict_type = 0
        data = b"".join(bytes(packet) for packet in self._context.encode(picture))
        (self._temporary / _numbered(self._pattern, self._count)).write_bytes(data)
        self._count += 1

    def finish(self, overwrite: bool) -> None:
        """Moves the images into place; those of an older, longer sequence go."""
        folder = self._pattern.parent
        if not folder.exists():
            self._temporary.rename(folder)
            return
        files = sorted(self._temporary.iterdir())
        for file in files:
            if not overwrite and os.path.lexists(folder / file.name):
                raise OutputError(f"{folder / file.name}: appeared while writing; not overwritten")
        for file in files:
            file.replace(folder / file.name)
        self._temporary.rmdir()
        for file in self._older():
            file.unlink()

    def _older(self) -> Iterator[Path]:
        """Images beyond ours. Only names the pattern makes: 2024.png is none of %06d.png."""
        prefix, _, suffix = _PATTERN.split(self._pattern.name, maxsplit=1)
        for file in map(Path, images_at(self._pattern)):
            number = int(file.name[len(prefix) : len(file.name) - len(suffix)])
            if number >= self._count and file.name == _numbered(self._pattern, number):
                yield file

    def abort(self) -> None:
        """Deletes what was written."""
        shutil.rmtree(self._temporary, ignore_errors=True)
