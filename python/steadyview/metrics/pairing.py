"""Pairs the frames of two videos by their time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sized
from typing import Protocol, TypeVar

from ..video.reader import open_video
from .tracking import VideoSource

__all__ = ["count_frames", "frame_pairs", "name_of"]


class _Timed(Protocol):
    @property
    def time(self) -> float: ...


_Frame = TypeVar("_Frame", bound=_Timed)


def count_frames(video: VideoSource) -> int | None:
    if isinstance(video, (str, os.PathLike)):
        with open_video(video) as reader:
            return reader.info.frames
    return len(video) if isinstance(video, Sized) else None


def name_of(video: VideoSource) -> str:
    return os.fspath(video) if isinstance(video, (str, os.PathLike)) else "frames"


def frame_pairs(
    source: Iterator[_Frame], result: Iterator[_Frame]
) -> Iterator[tuple[_Frame | None, _Frame | None]]:
    """Pairs frames of equal time; a frame without partner comes with None."""
    tolerance = 0.5 / 30  # replaced by half of the source's first frame duration
    first, second = next(source, None), next(result, None)
    while first is not None and second is not None:
        after = None
        if abs(first.time - second.time) <= tolerance:
            yield first, second
            after, second = next(source, None), next(result, None)
        elif first.time < second.time:
            yield first, None
            after = next(source, None)
        else:
            yield None, second
            second = next(result, None)
            continue
        if after is not None:
            tolerance = max(0.5 * (after.time - first.time), 1e-3)
        first = after
    while first is not None:
        yield first, None
        first = next(source, None)
    while second is not None:
        yield None, second
        second = next(result, None)
