"""What a container says about a video, and whether it can be opened at all."""

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ..errors import InputError
from .hdr import hdr_of
from .info import VideoInfo
from .planes import Orientation

__all__ = ["check_file", "chroma_location", "color_of", "describe", "main_video_stream", "reason"]

_CENTRED_CHROMA = ("mjpeg", "mpeg1video", "theora", "vp3", "webp")


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


def describe(path: str, container: Any, stream: Any, first: Any, uniform: Any) -> VideoInfo:
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
        chroma_location=chroma_location(context.name, uniform.orientation),
        hdr=hdr_of(first),
    )


def chroma_location(codec: str, orientation: Orientation) -> str:
    """Where a codec's subsampled chroma usually lies, in the frame made upright.

    Args:
        codec: FFmpeg's name of the decoder.
        orientation: how stored pixels are turned upright.
    """
    if codec in _CENTRED_CHROMA:
        return "center"
    if orientation.transpose:  # the left side becomes the top, then maybe mirrored
        return "bottom" if orientation.flip_y else "top"
    return "right" if orientation.flip_x else "left"


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
