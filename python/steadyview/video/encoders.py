"""Which encoder writes what: names, containers, quality and speed settings, pixel formats."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
from av.codec import Codec
from av.error import FFmpegError

from ..errors import OptionError
from .hdr import hdr_options
from .info import PixelFormat, VideoInfo, nearest_planar

__all__ = [
    "CONTAINERS",
    "EncoderChoice",
    "choose_encoder",
    "choose_pixel_format",
    "default_suffix",
]

# Suffix → FFmpeg's muxer, and the encoders tried when none is asked for.
CONTAINERS = {
    ".mp4": ("mp4", ("libx264",)),
    ".m4v": ("mp4", ("libx264",)),
    ".mov": ("mov", ("libx264",)),
    ".mkv": ("matroska", ("libx264",)),
    ".webm": ("webm", ("libsvtav1", "libvpx-vp9")),
    ".avi": ("avi", ("libx264",)),
}

_ALIASES = {
    "h264": "libx264", "x264": "libx264", "avc": "libx264",
    "h265": "libx265", "x265": "libx265", "hevc": "libx265",
    "av1": "libsvtav1", "svtav1": "libsvtav1",
    "vp9": "libvpx-vp9", "prores": "prores_ks",
    "nvenc": "h264_nvenc", "qsv": "h264_qsv", "amf": "h264_amf", "vaapi": "h264_vaapi",
    "videotoolbox": "h264_videotoolbox",
}  # fmt: skip
_SOFTWARE = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks")
_HARDWARE = ("nvenc", "qsv", "amf", "vaapi", "videotoolbox")
_FALLBACK = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1"}

# Constant quality that looks like the source, on each encoder's own scale.
_CRF = {"libx264": 18.0, "libx265": 22.0, "libsvtav1": 28.0, "libvpx-vp9": 28.0}
_HARDWARE_CRF = 20.0

_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast",
    "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
_SVT_PRESETS = dict(zip(_PRESETS, (11, 10, 9, 8, 8, 7, 5, 4, 2, 1), strict=True))
_NVENC_PRESETS = dict(zip(_PRESETS, (1, 1, 2, 3, 3, 4, 5, 6, 7, 7), strict=True))
_VP9_SPEEDS = dict(zip(_PRESETS, (8, 7, 6, 5, 4, 3, 2, 1, 1, 0), strict=True))


@dataclass
class EncoderChoice:
    """An encoder with all its settings.

    Attributes:
        name: FFmpeg's name of the encoder.
        pix_fmt: pixel format it takes.
        options: its private options.
        notes: what differs from what was asked for.
    """

    name: str
    pix_fmt: str = ""
    options: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def choose_encoder(
    codec: str | None,
    suffix: str,
    info: VideoInfo,
    *,
    crf: float | None,
    preset: str,
    options: Mapping[str, Any],
) -> EncoderChoice:
    """The encoder for `codec` in a container, with settings that open on this machine.

    Raises:
        OptionError: unknown codec or preset, a codec that the container cannot hold, or a quality
            out of range.
    """
    muxer, defaults = CONTAINERS[suffix]
    if preset not in _PRESETS:
        raise OptionError(f"encoder_preset must be one of {', '.join(_PRESETS)}; got {preset!r}")
    asked = codec.lower() if codec is not None else None
    candidates = list(defaults) if asked is None else _candidates(asked, defaults)
    for name in candidates:
        if not _container_holds(muxer, name):
            continue
        choice = _configured(name, info, crf, preset, options)
        if not name.endswith(_HARDWARE) or _opens(choice, info):
            if name != candidates[0] and asked != "auto":
                choice.notes.insert(0, f"encoder {candidates[0]} is not usable here: {name} used")
            return choice
    held = [
        other
        for other, (muxer, _) in CONTAINERS.items()
        if any(_container_holds(muxer, name) for name in candidates)
    ]
    if not held or suffix in held:
        raise OptionError(f"codec {candidates[0]} is not in this build of PyAV; choose another")
    raise OptionError(f"codec {codec} does not go into {suffix}; it goes into {', '.join(held)}")


def _candidates(asked: str, defaults: Sequence[str]) -> list[str]:
    """Encoders to try for a codec by name, the wanted one first."""
    name = _ALIASES.get(asked, asked)
    if asked == "auto":
        return [*(f"h264_{hardware}" for hardware in _HARDWARE), *defaults]
    if name.endswith(_HARDWARE):
        return [name, _FALLBACK.get(name.split("_")[0], defaults[0])]
    if name in _SOFTWARE:
        return [name]
    allowed = sorted({*_ALIASES, *_SOFTWARE, "auto"})
    raise OptionError(f"codec must be one of {', '.join(allowed)}; got {asked!r}")


def default_suffix(codec: str | None, source_suffix: str) -> str:
    """The container for a codec: the source's, so that all its streams survive, if it holds it.

    AVI is not taken over: it has no timestamps.
    """
    for suffix in (source_suffix.lower(), ".mp4", ".mov", ".mkv"):
        if suffix in CONTAINERS and suffix != ".avi":
            muxer, defaults = CONTAINERS[suffix]
            names = defaults if codec is None else _candidates(codec.lower(), defaults)
            if any(_container_holds(muxer, name) for name in names):
                return suffix
    return ".mp4"


def _container_holds(muxer: str, name: str) -> bool:
    try:
        codec = Codec(name, "w")
    except ValueError:  # not built in
        return False
    if muxer == "webm":
        return codec.canonical_name in ("av1", "vp9", "vp8")
    if muxer == "mp4":
        return codec.canonical_name in ("h264", "hevc", "av1", "vp9")
    if muxer == "mov":
        return codec.canonical_name in ("h264", "hevc", "prores", "av1")
    if muxer == "avi":
        return codec.canonical_name in ("h264", "hevc", "ffv1", "av1")
    return True


def _configured(
    name: str, info: VideoInfo, crf: float | None, preset: str, options: Mapping[str, Any]
) -> EncoderChoice:
    choice = EncoderChoice(name)
    top = 63 if name in ("libsvtav1", "libvpx-vp9") else 51
    if crf is not None and not 0 <= crf <= top:
        raise OptionError(f"crf must be between 0 and {top} for {name}, got {crf!r}")
    quality = f"{_CRF.get(name, _HARDWARE_CRF) if crf is None else crf:g}"
    choice.pix_fmt = choose_pixel_format(name, info.format)
    taken = nearest_planar(choice.pix_fmt)
    settings: dict[str, str] = {}
    if name == "libx264":
        settings = {"preset": preset, "crf": quality}
    elif name == "libx265":
        settings = {"preset": preset, "crf": quality, "x265-params": "log-level=error"}
    elif name == "libsvtav1":
        settings = {"preset": str(_SVT_PRESETS[preset]), "crf": f"{float(quality):.0f}"}
        os.environ.setdefault("SVT_LOG", "1")  # errors only; it has no other switch
    elif name == "libvpx-vp9":
        settings = {
            "crf": f"{float(quality):.0f}", "b": "0", "row-mt": "1",
            "deadline": "good", "cpu-used": str(_VP9_SPEEDS[preset]),
        }  # fmt: skip
    elif name == "ffv1":
        settings = {"level": "3", "slices": "4", "slicecrc": "1", "g": "1"}
    elif name == "prores_ks":
        full_chroma = taken.chroma_shift == (0, 0)
        settings = {"profile": "4444" if full_chroma else "hq", "vendor": "apl0"}
    elif name.endswith("nvenc"):
        speed = f"p{_NVENC_PRESETS[preset]}"
        settings = {"preset": speed, "rc": "vbr", "cq": quality, "b": "0"}
    elif name.endswith("qsv"):
        settings = {"preset": preset if preset in _PRESETS[2:9] else "veryfast"}
        settings["global_quality"] = f"{float(quality):.0f}"
    elif name.endswith("amf"):
        level = f"{float(quality):.0f}"
        settings = {"rc": "cqp", "qp_i": level, "qp_p": level, "qp_b": level}
    if (
        name in ("libx264", "libx265")
        and taken.chroma_shift == info.format.chroma_shift == (1, 1)
        and info.chroma_location not in ("left", "right")  # usual, and one that has no name
    ):
        settings["chroma_sample_location"] = info.chroma_location
    hdr = hdr_options(name, info.hdr)
    if info.hdr and not hdr:
        choice.notes.append(f"{name}: HDR10 metadata is lost; libx265 keeps it")
    for option, text in hdr.items():
        settings[option] = ":".join(part for part in (settings.get(option, ""), text) if part)
    given = {key: str(value) for key, value in options.items()}
    if {"qp", "b"} & given.keys():  # another kind of rate control: crf would win over it
        settings.pop("crf", None)
    choice.options = {**settings, **given}
    if taken.name != info.format.name:
        choice.notes.append(f"{name} takes {choice.pix_fmt}: converted from {info.format.name}")
    return choice


def _opens(choice: EncoderChoice, info: VideoInfo) -> bool:
    """Whether a hardware encoder works on this machine for this size."""
    try:
        context: Any = av.CodecContext.create(choice.name, "w")
        context.width, context.height = info.width & ~1, info.height & ~1
        context.pix_fmt = choice.pix_fmt
        context.framerate = info.frame_rate
        context.time_base = 1 / Fraction(info.frame_rate)
        context.options = dict(choice.options)
        context.open()
        return True
    except (FFmpegError, ValueError, OSError):
        return False


def choose_pixel_format(encoder: str, wanted: PixelFormat) -> str:
    """The pixel format of an encoder that keeps most of `wanted`, at the least cost.

    In order: alpha, colour model, chroma resolution, depth; then the smallest that keeps them.
    RGB goes to a lossy encoder as 4:2:0 YUV, which every player shows.
    """
    names = [f.name for f in Codec(encoder, "w").video_formats or []]
    lossy_delivery = encoder not in ("ffv1", "prores_ks")

    def cost(name: str) -> tuple:
        got = nearest_planar(name)
        as_yuv = wanted.is_rgb and lossy_delivery
        chroma = (1, 1) if as_yuv else wanted.chroma_shift
        color_lost = wanted.planes >= 3 and got.planes == 1
        return (
            color_lost,
            wanted.planes == 4 and got.planes != 4 and not lossy_delivery,
            got.is_rgb != (wanted.is_rgb and not as_yuv),
            got.planes >= 3 and got.chroma_shift > chroma,
            got.depth < wanted.depth,
            got.depth if got.depth >= wanted.depth else -got.depth,
            got.planes != wanted.planes,
            got.chroma_shift != chroma,
            got.name != name,
        )

    usable = [n for n in names if _plain(n)]
    return min(usable, key=cost)


def _plain(name: str) -> bool:
    odd = ("yuvj", "pal", "msb", "f16", "f32", "mono", "x2", "_byte", "565", "555", "444le", "ya")
    known_rgb = ("bgr0", "bgra", "rgb0", "rgba", "rgb24", "bgr24")
    if any(part in name for part in odd if part != "444le") and not name.startswith("yuva"):
        return False
    try:
        planar = nearest_planar(name)
    except ValueError:
        return False
    return not planar.is_rgb or name in known_rgb or name.startswith("gbr") or "64" in name
