"""Renders a camera path: source frames in, steady frames out."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ..errors import InputError
from ..path.similarity import CameraPath
from ..video.info import Frame, VideoInfo
from .frames import FrameWarper, matrix_from_similarity

__all__ = ["steady_frames"]


def steady_frames(
    frames: Iterable[Frame],
    info: VideoInfo,
    path: CameraPath,
    *,
    interpolation: str = "bicubic",
    allocate: Callable[[], Frame] | None = None,
) -> Iterator[Frame]:
    """Warps each frame by the path, in one resampling step.

    Args:
        frames: source frames in order.
        info: the video they come from.
        path: one row a frame.
        interpolation: "bilinear", "bicubic" or "lanczos3".
        allocate: makes a frame to write into, such as `VideoWriter.frame`; None: new arrays.

    Yields:
        The steady frames, with the source's times.

    Raises:
        InputError: the video has more frames than the path.
    """
    warper = FrameWarper(
        info.width,
        info.height,
        info.format,
        interpolation=interpolation,
        chroma_location=info.chroma_location,
    )
    rows = len(path.source_from_output)
    for frame in frames:
        if frame.index >= rows:
            raise InputError(
                f"{info.source}: frame {frame.index} is not in the motion, which has {rows} "
                "frames; was it made from another video?"
            )
        matrix = matrix_from_similarity(path.source_from_output[frame.index], path.frame_size)
        displacement = None if path.displacement is None else path.displacement[frame.index]
        if displacement is not None and not np.any(displacement):
            displacement = None
        target = allocate() if allocate else Frame((), 0, 0.0, 0)
        target.planes = warper.warp(frame.planes, matrix, displacement, out=target.planes or None)
        target.pts, target.time = frame.pts, frame.time
        target.index, target.duration = frame.index, frame.duration
        yield target
