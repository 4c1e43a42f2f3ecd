"""SIFT features found once a frame, their matches and homographies, on all cores in one pass."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np

from .. import _core
from .tracking import Array

__all__ = ["Features", "find_features", "fit_homography", "match_features", "pipelined"]

_local = threading.local()  # a finder for each thread: they use their memory again

_Item = TypeVar("_Item")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class Features:
    """Features of one frame, in OpenCV's order.

    Attributes:
        points: `(n, 2)` float32 pixel indices (x, y).
        descriptors: `(n, 128)` uint8.
    """

    points: Array
    descriptors: Array

    def __len__(self) -> int:
        return len(self.points)


def find_features(gray: Array, exact: bool = False) -> Features:
    """SIFT features with the settings and in the order of OpenCV's defaults, any number of them.

    Our own detector's pyramid is OpenCV's bit for bit, and it finds its features: one descriptor in
    a thousand has an element that is off by one, coordinates differ by 1e-4 px at most. (Without
    fused multiply-add, on old processors, one descriptor in forty differs, and a feature in a
    thousand.)

    Args:
        gray: `(H, W)` uint8.
        exact: let OpenCV find them, at three to four times the time.
    """
    if not exact:
        if not hasattr(_local, "finder"):
            _local.finder = _core.SiftFinder()
        return Features(*_local.finder.find(np.ascontiguousarray(gray)))
    keys, descriptors = cv2.SIFT_create().detectAndCompute(gray, None)  # type: ignore[attr-defined]
    if descriptors is None:
        return Features(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8))
    # OpenCV's descriptors are whole numbers from 0 to 255 stored as float32.
    points = cv2.KeyPoint_convert(keys)  # type: ignore[attr-defined]
    return Features(points.reshape(-1, 2), descriptors.astype(np.uint8))


def match_features(
    first: Features, second: Features, ratio: float, mutual: bool = False
) -> tuple[Array, Array]:
    """Matches by exhaustive search and Lowe's ratio test.

    Args:
        first, second: features of two frames.
        ratio: a match is kept when its distance is below `ratio` times that to the second nearest
            feature. Compared as OpenCV and Python do it: distances in float32, product in float64.
        mutual: also keep only matches that are each other's nearest.

    Returns:
        (start, end): `(k, 2)` float32 points, in the order of `first`.
    """
    nothing = np.zeros((0, 2), np.float32)
    if len(second) < 2 or len(first) == 0:
        return nothing, nothing
    index, near, far = _core.nearest_two(first.descriptors, second.descriptors)
    distance, other = (np.sqrt(part.astype(np.float32)).astype(np.float64) for part in (near, far))
    good = distance < ratio * other
    if mutual:
        back, _, _ = _core.nearest_two(second.descriptors, first.descriptors)
        good &= back[index] == np.arange(len(index))
    return first.points[good], second.points[index[good]]


def fit_homography(start: Array, end: Array, threshold: float, least: int) -> Array | None:
    """OpenCV's RANSAC homography from `start` to `end`; its random numbers are the same every time.

    Args:
        start, end: `(k, 2)` float32.
        threshold: px of error that an inlier may have.
        least: None is returned when there are fewer points.

    Returns:
        `(3, 3)` float64 with a last element of 1, or None.
    """
    if len(start) < max(least, 4):
        return None
    found, _ = cv2.findHomography(
        start.reshape(-1, 1, 2), end.reshape(-1, 1, 2), cv2.RANSAC, threshold
    )
    return None if found is None else np.asarray(found)


def pipelined(items: Iterable[_Item], work: Callable[[_Item], _Out]) -> Iterator[_Out]:
    """Yields `work(item)` of every item in order; a few items at a time, one a core.

    The work has to release the interpreter's lock for most of its time. Items are drawn in the
    caller's thread. Few are held, on machines with many cores too: the work on a 1080p frame can
    take 150 MB.
    """
    workers = min(max(int(_core.num_threads()), 1), 8)
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > workers + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
