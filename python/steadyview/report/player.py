"""Two videos inside a page: small copies, to be played in step."""

import base64
import html
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..video.info import Frame, VideoInfo, pixel_format
from ..video.reader import open_video
from ..video.writer import VideoWriter

__all__ = ["LONGEST", "player"]

#: Seconds of video that a page holds, and its long side in pixels: about 5 MB for half a minute.
LONGEST = 60.0
LONG_SIDE = 640


def player(source: Any, result: Any, names: tuple[str, str]) -> str:
    """HTML of both videos behind a divider that can be dragged, and the controls.

    Args:
        source, result: what `open_video` takes; the result is shown at the source's size.
        names: of the two.
    """
    with open_video(source) as reader:
        info = reader.info
    size = _shown_size(info)
    videos = "".join(
        f'<video muted playsinline preload="auto" aria-label="{html.escape(name)}" '
        f'src="data:video/mp4;base64,{_small_copy(video, size)}"></video>'
        for video, name in zip((source, result), names, strict=True)
    )
    return (
        f'<div class="player" data-rate="{float(info.frame_rate):.6g}">'
        f'<div class="stage" data-part="stage">{videos}</div><div class="controls">'
        '<button type="button" data-part="play">Play</button>'
        '<input type="range" min="0" max="1" step="any" value="0" data-part="place" '
        'aria-label="place in the video"><span class="clock soft" data-part="clock">0.00 s</span>'
        f'<label>{html.escape(names[0])} <input type="range" min="0" max="100" value="50" '
        f'step="any" data-part="wipe" aria-label="divider"> {html.escape(names[1])}</label>'
        '<label><input type="checkbox" data-part="beside"> side by side</label></div></div>'
    )


def _shown_size(info: VideoInfo) -> tuple[int, int]:
    width, height = info.width * float(info.sample_aspect_ratio), float(info.height)
    scale = min(LONG_SIDE / max(width, height), 1.0)
    return tuple(max(round(side * scale / 2) * 2, 16) for side in (width, height))  # type: ignore[return-value]


def _small_copy(video: Any, size: tuple[int, int]) -> str:
    """An MP4 that every browser plays and seeks in quickly, as base64."""
    with tempfile.TemporaryDirectory(prefix="steadyview_player_") as folder:
        path = Path(folder) / "small.mp4"
        with open_video(video) as reader:
            info = replace(
                reader.info,
                width=size[0],
                height=size[1],
                format=pixel_format("yuv420p"),
                color={"range": 1, "primaries": 1, "trc": 1, "space": 6},
                hdr={},
                sample_aspect_ratio=Fraction(1),
            )
            options = {"g": "10"}
            with VideoWriter(path, info, codec="libx264", crf=27, options=options) as writer:
                for frame in _small_frames(reader, size):
                    writer.write(frame)
        return base64.b64encode(path.read_bytes()).decode("ascii")


def _small_frames(reader: Any, size: tuple[int, int]) -> Iterator[Frame]:
    width, height = size
    for frame in reader:
        if frame.time > LONGEST:
            return
        image = reader.to_rgb(frame)
        if image.shape[:2] != (height, width):
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        planar = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2YUV_I420)
        chroma = planar[height:].reshape(2, height // 2, width // 2)
        planes = (planar[:height], chroma[0], chroma[1])
        yield Frame(planes, frame.pts, frame.time, frame.index, frame.duration)
