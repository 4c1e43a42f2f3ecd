"""Between our planes and av frames of other pixel formats: into encoders, and to RGB."""

from typing import Any

import av
import numpy as np

from .info import Frame, PixelFormat, VideoInfo, nearest_planar
from .planes import plane_views

__all__ = ["Intake", "rgb_of"]

# FFmpeg's colour matrices by the scaler's numbers.
_SCALER_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_BT709 = {"range": 1, "primaries": 1, "trc": 1, "space": 1}


class Intake:
    """Frames of `info.format` on their way into an encoder's pixel format.

    Args:
        info: the frames to come.
        pix_fmt: FFmpeg's name of what the encoder takes.
        any_size: the encoder takes odd sizes also where chroma is subsampled.

    Attributes:
        width, height: what the encoder is given; even where its chroma needs that.
        color: colour numbers of what the encoder is given.
        notes: what is lost.
    """

    def __init__(self, info: VideoInfo, pix_fmt: str, *, any_size: bool = False) -> None:
        self.notes: list[str] = []
        self._info = info
        self._source = info.format
        self._pix_fmt = pix_fmt
        self._target = nearest_planar(pix_fmt)
        sx, sy = (0, 0) if any_size else self._target.chroma_shift
        self.width = info.width >> sx << sx
        self.height = info.height >> sy << sy
        if (self.width, self.height) != (info.width, info.height):
            self.notes.append(
                f"odd size {info.width}x{info.height} cut to {self.width}x{self.height}: "
                f"this encoder needs even sizes for {pix_fmt}"
            )
        self.color = dict(info.color)
        if self._source.is_rgb and not self._target.is_rgb:
            known = {k: info.color.get(k, 2) for k in ("primaries", "trc")}
            self.color = _BT709 | {k: v for k, v in known.items() if v not in (0, 2)}
        # Three ways, the first that is possible: planes are the encoder's own memory; planes
        # are copied as they are; pixels are converted.
        self._same = pix_fmt == self._target.name and _same_samples(self._source, self._target)
        self._direct = self._same and (self.width, self.height) == (info.width, info.height)
        self._reformatter = av.video.reformatter.VideoReformatter()

    def blank(self) -> Frame:
        """A frame of `info.format` to fill in, in the encoder's memory where possible."""
        if self._direct:
            picture, planes = self._new_picture()
            if self._source.planes > len(planes):  # alpha, which the encoder does not take
                shape = self._source.plane_shape(3, self.width, self.height)
                planes += (np.empty(shape, self._source.dtype),)
            return Frame(planes[: self._source.planes], 0, 0.0, 0, None, picture)
        picture = av.VideoFrame(self._info.width, self._info.height, self._source.name)
        planes = plane_views(picture, self._source, writeable=True)
        return Frame(planes, 0, 0.0, 0, None, picture)

    def picture(self, frame: Frame) -> Any:
        """The `av.VideoFrame` for the encoder.

        Raises:
            ValueError: planes of another layout or size.
        """
        self._check(frame)
        owner: Any = frame.owner
        if self._direct and owner is not None and owner.format.name == self._pix_fmt:
            # Whoever replaced a plane by another array wants that one written.
            memory = [plane.buffer_ptr for plane in owner.planes]
            if [plane.ctypes.data for plane in frame.planes[: len(memory)]] == memory[
                : len(frame.planes)
            ]:
                return owner
        if self._same:
            picture, planes = self._new_picture()
            _copy(planes, frame.planes)
            return picture
        return self._converted(frame)

    def _new_picture(self) -> tuple[Any, tuple[np.ndarray, ...]]:
        picture = av.VideoFrame(self.width, self.height, self._pix_fmt)
        planes = plane_views(picture, self._target, writeable=True)
        if self._source.planes == 1:
            for plane in planes[1:]:
                plane[...] = 1 << (self._target.depth - 1)
        return picture, planes

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
        fmt = self._source
        picture: Any = av.VideoFrame(self.width, self.height, fmt.name)
        _copy(plane_views(picture, fmt, writeable=True), frame.planes)
        color = self._info.color
        matrix = 1 if fmt.is_rgb else _matrix(color.get("space", 2), self.height)
        full = 2 if fmt.is_rgb or fmt.planes == 1 else color.get("range", 0) or 1
        jpeg = self._pix_fmt.startswith("yuvj")  # BT.601 and full range by definition
        to_full = jpeg or self._target.is_rgb or (full == 2 and not fmt.is_rgb)
        return self._reformatter.reformat(
            picture,
            format=self._pix_fmt,
            src_colorspace=matrix,
            dst_colorspace=5 if jpeg else matrix,
            src_color_range=full,
            dst_color_range=2 if to_full else 1,
            interpolation="BICUBIC",
            threads=1,
        )


def rgb_of(frame: Frame, info: VideoInfo) -> np.ndarray:
    """A frame as RGB.

    Args:
        frame: planes of `info.format`, at any size.
        info: the video it is from, for its colours.

    Returns:
        `(H, W, 3)` uint8.
    """
    fmt = info.format
    height, width = frame.planes[0].shape
    picture: Any = av.VideoFrame(width, height, fmt.name)
    _copy(plane_views(picture, fmt, writeable=True), frame.planes)
    matrix = _matrix(info.color.get("space", 2), height)
    full = 2 if fmt.is_rgb or fmt.planes == 1 else info.color.get("range", 0) or 1
    rgb = picture.reformat(
        format="rgb24",
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=full,
        dst_color_range=2,
        interpolation="BICUBIC",
        threads=1,
    )
    return rgb.to_ndarray()


def _copy(to: tuple[np.ndarray, ...], planes: tuple[np.ndarray, ...]) -> None:
    """Copies planes over, cut where the target is smaller (an odd size made even)."""
    for target, plane in zip(to, planes, strict=False):
        np.copyto(target, plane[: target.shape[0], : target.shape[1]])


def _matrix(space: int, height: int) -> int:
    """The scaler's matrix; where none is said, BT.709 from 720 lines up as players do."""
    return _SCALER_MATRIX.get(space, 1 if height >= 720 else 5)


def _same_samples(source: PixelFormat, target: PixelFormat) -> bool:
    """Whether planes go over as they are; grey gets neutral chroma, alpha may be left out."""
    if source.depth != target.depth or source.is_rgb != target.is_rgb:
        return False
    if source.planes == 1:
        return target.planes < 4
    same_chroma = source.chroma_shift == target.chroma_shift
    return 3 <= target.planes <= source.planes and same_chroma
