"""What a video is (VideoInfo, PixelFormat) and what a frame of it is (Frame)."""

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

__all__ = ["Frame", "PixelFormat", "VideoInfo"]


@dataclass(frozen=True)
class PixelFormat:
    """Layout of a planar frame.

    Attributes:
        name: FFmpeg's name of the planar format, such as ``yuv420p10le``, ``gbrp`` or ``gray``.
        planes: number of planes (1, 3, or 4 with alpha last).
        depth: bits a sample; 8 is stored as uint8, more as uint16 (low bits used).
        chroma_shift: log2 of the horizontal and vertical subsampling of planes 1 and 2.
        is_rgb: planes are G, B, R instead of Y, U, V.
    """

    name: str
    planes: int
    depth: int
    chroma_shift: tuple[int, int]
    is_rgb: bool = False

    @property
    def dtype(self) -> type[np.generic]:
        return np.uint8 if self.depth <= 8 else np.uint16

    def plane_shape(self, plane: int, width: int, height: int) -> tuple[int, int]:
        """Rows and columns of a plane of a frame of this size (odd sizes round up)."""
        sx, sy = self.chroma_shift if plane in (1, 2) else (0, 0)
        return -(-height >> sy), -(-width >> sx)


@dataclass(frozen=True)
class VideoInfo:
    """A video as a person sees it: width and height are those of the upright frame.

    Attributes:
        source: path, glob or a name for frames that came from memory.
        width, height: pixels of the upright frame.
        format: planar format that frames are handed out in.
        frame_rate: average frames a second.
        duration: seconds, as the container says; None when unknown. Only for progress.
        frames: frame count, as the container says; None when unknown. Only for progress.
        time_base: unit of `Frame.pts`, in seconds.
        codec: name of the codec, such as ``h264``.
        rotation: degrees the stored pixels were turned clockwise to be upright (0, 90, 180, 270).
        color: colour description by FFmpeg's numbers: range, primaries, trc, space; 0 or 2 unknown.
        bit_rate: bits a second of the video stream; None when unknown.
    """

    source: str
    width: int
    height: int
    format: PixelFormat
    frame_rate: Fraction
    duration: float | None = None
    frames: int | None = None
    time_base: Fraction = Fraction(1, 90000)
    codec: str = ""
    rotation: int = 0
    color: dict[str, int] = field(default_factory=dict)
    sample_aspect_ratio: Fraction = Fraction(1)
    bit_rate: int | None = None


@dataclass
class Frame:
    """One upright frame.

    Attributes:
        planes: one array a plane, `(rows, columns)`, uint8 or uint16; rows may be strided.
        pts: presentation time in units of the video's time base.
        time: presentation time in seconds from the first frame.
        index: 0 for the first frame that was decoded.
    """

    planes: tuple[np.ndarray, ...]
    pts: int
    time: float
    index: int
