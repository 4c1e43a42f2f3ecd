"""Renders a camera path: source frames in, steady frames out."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..errors import InputError
from ..path.similarity import CameraPath
from ..video.info import Frame, VideoInfo
from ..video.writer import VideoWriter
from .frames import FrameWarper, matrix_from_similarity

__all__ = ["View", "steady_frames", "views_of", "write_frames"]


class View(NamedTuple):
    """A source frame, and the rows of a `CameraPath` that say where its output looks."""

    frame: Frame
    source_from_output: np.ndarray
    displacement: np.ndarray | None


def views_of(frames: Iterable[Frame], path: CameraPath, source: str) -> Iterator[View]:
    """The views of a path that is known to its end.

    Raises:
        InputError: the video has more frames than the path.
    """
    for frame in frames:
        if frame.index >= path.frames:
            raise InputError(
                f"{source}: frame {frame.index} is not in the motion, which has {path.frames} "
                "frames; was it made from another video?"
            )
        displacement = None if path.displacement is None else path.displacement[frame.index]
        yield View(frame, path.source_from_output[frame.index], displacement)


def steady_frames(
    views: Iterable[View],
    info: VideoInfo,
    *,
    interpolation: str = "bicubic",
    allocate: Callable[[], Frame] | None = None,
) -> Iterator[Frame]:
    """Warps each frame as its view says, in one resampling step.

    Args:
        views: in the order of the video.
        info: the video they come from.
        interpolation: "bilinear", "bicubic" or "lanczos3".
        allocate: makes a frame to write into, such as `VideoWriter.frame`; None: new arrays.

    Yields:
        The steady frames, with the source's times.
    """
    warper = FrameWarper(
        info.width,
        info.height,
        info.format,
        interpolation=interpolation,
        chroma_location=info.chroma_location,
    )
    for frame, row, displacement in views:
        matrix = matrix_from_similarity(row, (info.width, info.height))
        if displacement is not None and not np.any(displacement):
            displacement = None
        target = allocate() if allocate else Frame((), 0, 0.0, 0)
        target.planes = warper.warp(frame.planes, matrix, displacement, out=target.planes or None)
        target.pts, target.time = frame.pts, frame.time
        target.index, target.duration = frame.index, frame.duration
        yield target


def write_frames(
    frames: Iterable[Frame], writer: VideoWriter, progress: Callable[[int], None]
) -> float:
    """Encodes frames, telling their number; returns the seconds it took without waiting."""
    busy = 0.0
    for done, frame in enumerate(frames, 1):
        started = time.perf_counter()
        writer.write(frame)
        busy += time.perf_counter() - started
        progress(done)
    return busy
