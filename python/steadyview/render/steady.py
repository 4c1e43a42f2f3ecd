"""Renders a camera path: source frames in, steady frames out."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..errors import InputError
from ..path.similarity import CameraPath
from ..video.info import Frame, VideoInfo
from .frames import FrameWarper, similarity_matrix

__all__ = ["steady_frames"]


def steady_frames(
    frames: Iterable[Frame],
    info: VideoInfo,
    path: CameraPath,
    *,
    interpolation: str = "bicubic",
    allocate: Callable[[], Any] | None = None,
) -> Iterator[tuple[Frame, Any]]:
    """Warps each frame by the path, in one resampling step.

    Args:
        frames: source frames in order.
        info: the video they come from.
        path: one row a frame.
        interpolation: "bilinear", "bicubic" or "lanczos3".
        allocate: makes an output frame with a `planes` attribute to write into, such as
            `VideoWriter.frame`; None allocates plain arrays.

    Yields:
        The steady frame, and what `allocate` made for it (None without).

    Raises:
        InputError: the video has more frames than the path.
    """
    warper = FrameWarper(info.width, info.height, info.format, interpolation=interpolation)
    rows = len(path.source_from_output)
    for frame in frames:
        if frame.index >= rows:
            raise InputError(
                f"{info.source}: frame {frame.index} is not in the motion, which has {rows} "
                "frames; was it made from another video?"
            )
        matrix = similarity_matrix(path.source_from_output[frame.index], info.width, info.height)
        displacement = None if path.displacement is None else path.displacement[frame.index]
        if displacement is not None and not np.any(displacement):
            displacement = None
        target = allocate() if allocate else None
        planes = warper.warp(
            frame.planes, matrix, displacement, out=target.planes if target else None
        )
        yield Frame(planes, frame.pts, frame.time, frame.index), target
