"""Reprojection error: do a few points and cameras explain the tracks of half a second?"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..errors import OptionError
from .matching import pipelined
from .projective import first_guess, project, refine, triangulate
from .tracking import Array, VideoSource, detect_corners, follow, read_luma
from .views import View

__all__ = ["Reprojection", "explain_tracks", "measure_reprojection"]

WINDOW = 11
STEP = 10
LEAST_TRACKS = 30
INLIER_PX = 1.0
_TOLERANCE_PX = 0.5
_HALF = 320.0  # pixels of 640 to a unit


@dataclass(frozen=True)
class Reprojection:
    """How well windows of a video are explained by one rigid scene; px of a long side of 640.

    Attributes:
        frames: `(k,)` index of each window's middle frame.
        error: `(k,)` root mean squared distance of the tracks that the scene explains from the
            images of their points; nan where there are too few tracks.
        outliers: `(k,)` part of the tracks that it does not explain (1 px): moving objects, and
            background that a warp has bent.
        survival: `(k,)` part of the middle frame's corners that could be followed to both ends.
    """

    frames: Array
    error: Array
    outliers: Array
    survival: Array

    @property
    def worst(self) -> int | None:
        """The middle frame of the window with most outliers."""
        if not np.isfinite(self.outliers).any():
            return None
        return int(self.frames[np.nanargmax(self.outliers)])

    def to_dict(self) -> dict[str, Any]:
        """Means over the windows, ready for JSON: None where nothing could be measured."""
        return {
            "reprojection_px": _mean(self.error),
            "reprojection_outliers": _mean(self.outliers),
            "reprojection_survival": _mean(self.survival),
            "worst_reprojection_frame": self.worst,
        }


def _mean(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def measure_reprojection(
    video: VideoSource, window: int = WINDOW, step: int = STEP
) -> Reprojection:
    """Reprojection error of tracks over short windows.

    Corners of a window's middle frame are followed to both its ends (Lucas-Kanade, both ways).
    Cameras without calibration and points are fitted to the tracks (`explain_tracks`).

    Args:
        video: usually the result; measure the source too, since moving objects count in both.
        window: frames that a track must last, odd and at least 5.
        step: frames from one window to the next.

    Raises:
        OptionError: a window or step that cannot be.
        InputError: the file is missing or holds no video.
    """
    if window < 5 or window % 2 == 0 or step < 1:
        raise OptionError(
            f"window must be odd and at least 5, step at least 1, got {window} and {step}"
        )
    tracked = pipelined(_windows(video, window, step), _tracks)
    rows = np.array([_explain(*found) for found in tracked], float).reshape(-1, 3)
    return Reprojection(window // 2 + step * np.arange(len(rows)), *rows.T)


def _windows(video: VideoSource, window: int, step: int) -> Iterator[list[View]]:
    last: deque[View] = deque(maxlen=window)
    for index, frame in enumerate(read_luma(video)):
        last.append(View.of(frame.luma))
        if len(last) == window and (index + 1 - window) % step == 0:
            yield list(last)


def _explain(tracks: Array, survival: float) -> tuple[float, float, float]:
    """(error, outliers, survival) of one window."""
    if tracks.shape[1] < LEAST_TRACKS:
        return float("nan"), float("nan"), survival
    distances = explain_tracks(tracks)
    good = distances < INLIER_PX
    error = float(np.sqrt(np.square(distances[good]).mean())) if good.any() else float("nan")
    return error, float(1 - good.mean()), survival


def _tracks(views: list[View]) -> tuple[Array, float]:
    """Corners of the middle frame in every second frame, `(m, n, 2)` px about the centre; and the
    part of them that was followed to both ends.
    """
    middle = len(views) // 2
    corners = detect_corners(views[middle].gray)
    places = np.zeros((len(views), len(corners), 2), np.float32)
    places[middle] = corners
    alive = np.ones(len(corners), bool)
    for direction, end in ((1, len(views)), (-1, -1)):
        for index in range(middle + direction, end, direction):
            before = index - direction
            moved, ok = follow(views[before].gray, views[index].gray, places[before])
            places[index] = moved
            alive &= ok
    survival = float(alive.mean()) if len(corners) else 0.0
    centred = [view.centred(p) for view, p in zip(views, places[:, alive], strict=True)]
    return np.stack(centred[::2]), survival


def explain_tracks(tracks: Array) -> Array:
    """Distances of tracks from the rigid scene that explains most of them.

    Tracks that obey the epipolar geometry of the window's ends (RANSAC, 1 px) give a first guess of
    cameras and points; bundle adjustment with a robust cost follows, and the point of every track
    is found with these cameras. Then once more, with all tracks that were explained.

    Args:
        tracks: `(m, n, 2)` px about the frame's centre, n at least 15.

    Returns:
        `(n,)` px: root mean square, over the frames, of the distance between a track and the images
        of its point.
    """
    units = tracks.astype(np.float64) / _HALF
    fundamental, good = _static(tracks)
    for _ in range(2):
        cameras, points = first_guess(units[:, good], fundamental)
        cameras, _ = refine(units[:, good], cameras, points, _TOLERANCE_PX / _HALF)
        points = triangulate(units, cameras)
        missed = _HALF * (project(cameras, points) - units)
        distances = np.sqrt(np.square(missed).sum(axis=2).mean(axis=0))
        again = distances < INLIER_PX
        if again.sum() < 15 or (again == good).all():
            break
        good = again
    return np.asarray(distances)


def _static(tracks: Array) -> tuple[Array | None, Array]:
    """The fundamental matrix of both ends in units, and the tracks that obey it, `(n,)` bool."""
    first, last = tracks[0].astype(np.float64), tracks[-1].astype(np.float64)
    matrix, mask = cv2.findFundamentalMat(first, last, cv2.FM_RANSAC, INLIER_PX, 0.99)
    everything = np.ones(tracks.shape[1], bool)
    if matrix is None or matrix.shape != (3, 3):
        return None, everything
    good = mask.ravel() > 0
    to_px = np.diag([_HALF, _HALF, 1.0])
    return to_px @ matrix @ to_px, good if good.sum() >= 15 else everything
