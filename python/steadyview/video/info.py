"""What a video is (VideoInfo, PixelFormat) and what a frame of it is (Frame)."""

import re
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

__all__ = ["Frame", "PixelFormat", "VideoInfo", "nearest_planar", "pixel_format"]


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
        sample_aspect_ratio: width of a pixel by its height, upright.
        chroma_location: where subsampled chroma lies in the upright frame, as `FrameWarper` takes
            it. PyAV does not tell a stream's own value: this is the codec's usual one, turned.
        hdr: HDR10's static metadata, as `hdr.hdr_of` describes it; empty without.
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
    chroma_location: str = "left"
    hdr: dict[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def frame_bytes(self) -> int:
        """Memory of a frame's planes."""
        shapes = [
            self.format.plane_shape(p, self.width, self.height) for p in range(self.format.planes)
        ]
        return (
            sum(rows * columns for rows, columns in shapes) * np.dtype(self.format.dtype).itemsize
        )


@dataclass
class Frame:
    """One upright frame.

    Attributes:
        planes: one array a plane, `(rows, columns)`, uint8 or uint16; rows may be strided. Planes
            that a reader hands out are read-only: a decoder may still refer to them.
        pts: presentation time in units of the video's time base.
        time: presentation time in seconds from the first frame.
        index: 0 for the first frame that was decoded.
        duration: units of the time base the frame is shown for; None when unknown.
        owner: the `av.VideoFrame` whose memory the planes are, if any; keeps it alive.
    """

    planes: tuple[np.ndarray, ...]
    pts: int
    time: float
    index: int
    duration: int | None = None
    owner: object | None = field(default=None, repr=False, compare=False)


_PLANAR = re.compile(r"(yuv|yuvj|yuva|gray|gbr|gbra)(4\d\d)?(p)?(9|10|12|14|16)?(le)?")
_SUBSAMPLING = {"444": (0, 0), "422": (1, 0), "420": (1, 1)}

# Packed and semi-planar formats, and the planar one that holds the same samples.
_NEAREST = {
    "nv12": "yuv420p", "nv21": "yuv420p", "nv16": "yuv422p", "nv24": "yuv444p", "nv42": "yuv444p",
    "nv20": "yuv422p10le",
    "p010": "yuv420p10le", "p012": "yuv420p12le", "p016": "yuv420p16le",
    "p210": "yuv422p10le", "p212": "yuv422p12le", "p216": "yuv422p16le",
    "p410": "yuv444p10le", "p412": "yuv444p12le", "p416": "yuv444p16le",
    "yuyv422": "yuv422p", "uyvy422": "yuv422p", "yvyu422": "yuv422p",
    "y210": "yuv422p10le", "y212": "yuv422p12le", "y216": "yuv422p16le",
    "xv30": "yuv444p10le", "xv36": "yuv444p12le", "vuyx": "yuv444p", "vuya": "yuva444p",
    "vyu444": "yuv444p", "ayuv": "yuva444p", "ayuv64": "yuva444p16le", "uyyvyy411": "yuv444p",
    "yuv410p": "yuv444p", "yuv411p": "yuv444p", "yuvj411p": "yuv444p", "yuv440p": "yuv444p",
    "yuvj440p": "yuv444p", "yuv440p10": "yuv444p10le", "yuv440p12": "yuv444p12le",
    "monow": "gray", "monob": "gray", "gray8": "gray", "pal8": "gbrap",
    "ya8": "gbrap", "ya16": "gbrap16le",
    "x2rgb10": "gbrp10le", "x2bgr10": "gbrp10le", "xyz12": "gbrp12le",
    "rgb48": "gbrp16le", "bgr48": "gbrp16le", "rgba64": "gbrap16le", "bgra64": "gbrap16le",
    "grayf32": "gray16le", "gbrpf32": "gbrp16le", "gbrapf32": "gbrap16le",
    "rgbf32": "gbrp16le", "rgbaf32": "gbrap16le",
}  # fmt: skip


def pixel_format(name: str) -> PixelFormat:
    """The layout of a planar format that frames may be handed out in.

    Args:
        name: FFmpeg's name: ``gray``, ``yuv420p``, ``yuva444p10le``, ``gbrp12le`` … The full-range
            names ``yuvj…`` give the ``yuv…`` layout (the range is in `VideoInfo.color`).

    Raises:
        ValueError: not such a format.
    """
    match = _PLANAR.fullmatch(name)
    if match:
        family, subsampling, planar, bits, little = match.groups()
        depth = int(bits or 8)
        if (depth > 8) == bool(little):
            end = f"{bits}le" if bits else ""
            if family == "gray" and not subsampling and not planar:
                return PixelFormat(f"gray{end}", 1, depth, (0, 0))
            if family.startswith("gbr") and planar and not subsampling:
                return PixelFormat(f"{family}p{end}", len(family), depth, (0, 0), is_rgb=True)
            if family.startswith("yuv") and planar and subsampling in _SUBSAMPLING:
                shift = _SUBSAMPLING[subsampling]
                family = "yuv" if family == "yuvj" else family
                return PixelFormat(f"{family}{subsampling}p{end}", len(family), depth, shift)
    raise ValueError(
        f"pixel format {name!r} is not planar: allowed are gray, yuv420p, yuv422p, yuv444p, "
        "yuva4xxp, gbrp and gbrap, with 8 bits or 9le to 16le"
    )


def nearest_planar(name: str) -> PixelFormat:
    """The planar format that holds every sample of `name` (same depth, same or finer chroma)."""
    try:
        return pixel_format(name)
    except ValueError:
        pass
    base = name.removesuffix("le").removesuffix("be")
    if base in _NEAREST:
        return pixel_format(_NEAREST[base])
    if name.endswith("be"):
        return nearest_planar(f"{base}le")
    # What is left is packed RGB; an "a" in its name is alpha, "0" is padding.
    return pixel_format("gbrap" if "a" in base else "gbrp")
