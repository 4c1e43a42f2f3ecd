"""Frames and videos written for the tests of the writer, and what came out."""

import dataclasses
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from steadyview.video.info import Frame, VideoInfo, pixel_format
from steadyview.video.reader import open_video
from steadyview.video.writer import VideoWriter


def transcode(source: Path, output: Path, *, copy: bool = False, **options: Any) -> VideoWriter:
    """Frame by frame from a file to another, through the decoder's memory or a copy of it."""
    with (
        open_video(source) as reader,
        VideoWriter(output, reader.info, template=source, **options) as writer,
    ):
        for frame in reader:
            if copy:
                target = writer.frame()
                for to, plane in zip(target.planes, frame.planes, strict=True):
                    to[...] = plane
                writer.write(dataclasses.replace(target, duration=frame.duration), frame.pts)
            else:
                writer.write(frame)
    return writer


def stamps(path: Path, kind: str = "video") -> list[Fraction]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        found = [p.pts * p.time_base for p in container.demux(stream) if p.pts is not None]
    return sorted(found)


def packets(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [bytes(p) for p in container.demux(stream) if p.size]


def gray_info(width: int = 64, height: int = 48, **more: Any) -> VideoInfo:
    return VideoInfo(
        "test", width, height, pixel_format("gray"), Fraction(30), time_base=Fraction(1, 30), **more
    )


def blank_frames(writer: VideoWriter, count: int) -> Iterator[Frame]:
    for _ in range(count):
        frame = writer.frame()
        for plane in frame.planes:
            plane[...] = 100
        yield frame
