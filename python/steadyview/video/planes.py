"""NumPy views on the planes of an av.VideoFrame, and turning them upright."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .info import PixelFormat

__all__ = ["UPRIGHT", "Orientation", "orientation_of", "plane_views", "turned"]


@dataclass(frozen=True)
class Orientation:
    """How stored pixels become upright ones: transpose first, then mirror the axes."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def clockwise(self) -> int:
        """Degrees of the turn; a mirrored picture counts as its turn before mirroring x."""
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0


UPRIGHT = Orientation()

# Counter-clockwise by 0, 90, 180, 270 degrees.
_QUARTER_TURNS = (
    UPRIGHT,
    Orientation(True, False, True),
    Orientation(False, True, True),
    Orientation(True, True, False),
)


def orientation_of(frame: Any) -> Orientation:
    """The orientation that a decoded frame's display matrix asks for.

    The matrix maps a stored pixel (x, y) to (a x + c y, b x + d y) on the screen (y down), so no
    convention about the sign of an angle is needed. Angles between the axes are taken to the
    nearest one.

    Args:
        frame: `av.VideoFrame`.
    """
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV 18 fails at kinds of side data it does not know, such as EXIF
        quarters = round(frame.rotation / 90) % 4  # counter-clockwise
        return _QUARTER_TURNS[quarters]
    if data is None:
        return UPRIGHT
    a, b, _, c, d = np.frombuffer(data, np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)


def plane_views(frame: Any, fmt: PixelFormat, *, writeable: bool = False) -> tuple[np.ndarray, ...]:
    """Arrays on the memory of a planar `av.VideoFrame` that keep it alive (no copy).

    Args:
        frame: `av.VideoFrame` of the layout `fmt`, in memory.
        fmt: its layout.
        writeable: whether the arrays may be written to.

    Returns:
        One `(rows, columns)` array a plane; its row stride is the frame's line size.
    """
    width, height, item = frame.width, frame.height, 1 if fmt.depth <= 8 else 2
    views = []
    for index, plane in enumerate(frame.planes):
        shape = fmt.plane_shape(index, width, height)
        stride = plane.line_size
        offset = 0 if stride >= 0 else (shape[0] - 1) * -stride  # stored bottom up
        view: np.ndarray = np.ndarray(shape, fmt.dtype, plane, offset, (stride, item))
        view.flags.writeable = writeable
        views.append(view if stride >= 0 else np.ascontiguousarray(view))
    return tuple(views)


def turned(planes: tuple[np.ndarray, ...], how: Orientation) -> tuple[np.ndarray, ...]:
    """The planes made upright (copies unless nothing is to be done).

    A transposed frame must be subsampled alike on both axes.
    """
    if how == UPRIGHT:
        return planes
    import cv2  # only here: most videos are stored upright

    out = []
    for plane in planes:
        turned_plane: np.ndarray = cv2.transpose(plane) if how.transpose else plane
        if how.flip_x or how.flip_y:
            code = -1 if how.flip_x and how.flip_y else (1 if how.flip_x else 0)
            turned_plane = cv2.flip(turned_plane, code)
        out.append(turned_plane)
    return tuple(out)
