"""Pairs the frames of two videos by their time."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sized
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np

from ..errors import InputError
from ..video.reader import open_video
from .tracking import LumaFrame, VideoSource

__all__ = [
    "count_frames", "frame_pairs", "name_of", "order_pairs", "pair_videos", "paired_by_order",
    "rereadable",
]  # fmt: skip


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


def rereadable(video: VideoSource, name: str) -> None:
    """Refuses what can be read only once.

    Raises:
        InputError: an iterator; the message begins with the argument's name.
    """
    if isinstance(video, Iterator):
        raise InputError(f"{name}: an iterator can be read only once; give a file or a list")


def paired_by_order(source: VideoSource, result: VideoSource) -> bool:
    """Whether two videos have one number of frames and clocks of different rates.

    Then the result's writer was told another rate than the source's, and frames that belong
    together lie ever farther apart in time.
    """
    clocks = _clock(source), _clock(result)
    if clocks[0] is None or clocks[1] is None or clocks[0][0] != clocks[1][0]:
        return False
    count, seconds = clocks[0]
    return abs(seconds - clocks[1][1]) > 0.5 * min(seconds, clocks[1][1]) / max(count, 1)


def _clock(video: VideoSource) -> tuple[int, float] | None:
    """How many frames, and how long by the container's rate; None where that is not known."""
    if not isinstance(video, (str, os.PathLike, list, np.ndarray)):
        return None
    if isinstance(video, list) and (not video or isinstance(video[0], LumaFrame)):
        return None  # these bring their times
    with open_video(video) as reader:
        info = reader.info
    count = info.frames or round((info.duration or 0.0) * info.frame_rate)
    return (count, count / float(info.frame_rate)) if count and info.frame_rate else None


def pair_videos(
    source: VideoSource,
    result: VideoSource,
    read: Callable[[VideoSource], Iterator[_Frame]],
) -> Iterator[tuple[_Frame | None, _Frame | None]]:
    """Pairs two videos' frames by time, or by order where only that makes sense.

    Args:
        source, result: the videos.
        read: gives a video's frames.

    Yields:
        A frame of each; None beside one that has no partner. Paired by order, the second has the
        time of the first.
    """
    pair = order_pairs if paired_by_order(source, result) else frame_pairs
    yield from pair(read(source), read(result))


def order_pairs(
    source: Iterator[_Frame], result: Iterator[_Frame]
) -> Iterator[tuple[_Frame | None, _Frame | None]]:
    """Pairs frames by order; the second of a pair gets the time of the first."""
    for first, second in itertools.zip_longest(source, result):
        if first is not None and second is not None:
            second = replace(second, time=first.time)  # type: ignore[type-var]
        yield first, second


def frame_pairs(
    source: Iterator[_Frame], result: Iterator[_Frame]
) -> Iterator[tuple[_Frame | None, _Frame | None]]:
    """Pairs each frame with the nearest in time; a frame without partner comes with None.

    Partners are at most half of the source's frame duration apart.
    """
    tolerance = 0.5 / 30  # until the source's first two frames are known
    first, second = next(source, None), next(result, None)
    after, then = next(source, None), next(result, None)
    while first is not None and second is not None:
        if after is not None:
            tolerance = max(0.5 * (after.time - first.time), 1e-3)
        apart = abs(first.time - second.time)
        paired = (
            apart <= tolerance
            and (then is None or apart <= abs(first.time - then.time))
            and (after is None or apart <= abs(after.time - second.time))
        )
        takes_first = paired or first.time <= second.time
        takes_second = paired or not takes_first
        yield first if takes_first else None, second if takes_second else None
        if takes_first:
            first, after = after, next(source, None)
        if takes_second:
            second, then = then, next(result, None)
    for frame in itertools.chain((first, after), source):
        if frame is not None:
            yield frame, None
    for frame in itertools.chain((second, then), result):
        if frame is not None:
            yield None, frame
