"""Geometric consistency: does the result still look like one rigid scene seen by one camera?"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..errors import OptionError
from .matching import Features, find_features, match_features, pipelined
from .tracking import LONG_SIDE, Array, LumaFrame, VideoSource, read_luma, to_tracking_size

__all__ = ["GeometryConsistency", "measure_geometry", "sampson_distances"]

RATIO = 0.75
LEAST_MATCHES = 15
INLIER_PX = 1.0


@dataclass(frozen=True)
class GeometryConsistency:
    """How well pairs of frames obey one epipolar geometry; lengths in px at a long side of 640.

    Attributes:
        gaps: frames between the two of a pair.
        error: `(len(gaps), n)` root of the mean squared Sampson distance of the matches that the
            fundamental matrix explains; row k, frame t: the pair (t, t + gaps[k]); nan without.
        outliers: `(len(gaps), n)` part of the matches that it does not explain (1 px): moving
            objects, and background that a warp has bent.
    """

    gaps: tuple[int, ...]
    error: Array
    outliers: Array

    def to_dict(self) -> dict[str, Any]:
        """Means over frames, one of each for every gap, ready for JSON."""
        record: dict[str, Any] = {}
        for gap, errors, outliers in zip(self.gaps, self.error, self.outliers, strict=True):
            known = np.isfinite(errors)
            some = bool(known.any())
            record[f"epipolar_px_{gap}"] = float(errors[known].mean()) if some else None
            record[f"epipolar_outliers_{gap}"] = float(outliers[known].mean()) if some else None
            worst = int(np.argmax(np.where(known, outliers, -1))) if some else None
            record[f"worst_epipolar_frame_{gap}"] = worst
        return record


def measure_geometry(video: VideoSource, gaps: tuple[int, ...] = (1, 5, 10)) -> GeometryConsistency:
    """Epipolar consistency of a video's frames with later ones.

    SIFT features (ratio 0.75) of frames t and t + gap, a fundamental matrix by RANSAC (1 px, 0.99),
    and the Sampson distances of the matches to it. Pure rotation fits any such matrix: the measure
    tells bent scenes from rigid ones, not whether there is parallax.

    Args:
        video: usually the result; measure the source too, since moving objects count in both.
        gaps: frames between the two of a pair, rising.

    Raises:
        OptionError: gaps that do not rise from 1 up.
        InputError: the file is missing or holds no video.
    """
    if not gaps or gaps[0] < 1 or list(gaps) != sorted(set(gaps)):
        raise OptionError(f"gaps must be whole numbers that rise from 1 up, got {gaps!r}")
    rows: list[list[tuple[float, float]]] = []
    for row in pipelined(_windows(pipelined(read_luma(video), _small_features), gaps), _residuals):
        rows.append(row)
    table = np.full((len(gaps), len(rows), 2), np.nan)
    for later, row in enumerate(rows):
        for k, gap in enumerate(gaps):
            if later >= gap:
                table[k, later - gap] = row[k]
    return GeometryConsistency(tuple(gaps), table[..., 0], table[..., 1])


def _small_features(frame: LumaFrame) -> tuple[Features, float]:
    gray, _ = to_tracking_size(frame.luma)
    return find_features(gray), LONG_SIDE / max(gray.shape)


_Window = list[tuple[Features, Features, float] | None]


def _windows(
    features: Iterator[tuple[Features, float]], gaps: tuple[int, ...]
) -> Iterator[_Window]:
    """For every frame, itself with the frames `gaps` before it (None before the first)."""
    last: deque[Features] = deque(maxlen=gaps[-1] + 1)
    for found, unit in features:
        last.append(found)
        yield [(last[-1 - gap], found, unit) if len(last) > gap else None for gap in gaps]


def _residuals(window: _Window) -> list[tuple[float, float]]:
    return [(np.nan, np.nan) if pair is None else _epipolar(*pair) for pair in window]


def _epipolar(first: Features, second: Features, unit: float) -> tuple[float, float]:
    """(root mean squared Sampson distance of the inliers in px at 640, part of outliers)."""
    start, end = match_features(first, second, RATIO)
    if len(start) < LEAST_MATCHES:
        return float("nan"), float("nan")
    matrix, _ = cv2.findFundamentalMat(start, end, cv2.FM_RANSAC, INLIER_PX / unit, 0.99)
    if matrix is None or matrix.shape != (3, 3):
        return float("nan"), float("nan")
    distances = sampson_distances(matrix, start, end) * unit
    inliers = distances < INLIER_PX
    if not inliers.any():
        return float("nan"), 1.0
    return float(np.sqrt((distances[inliers] ** 2).mean())), float(1 - inliers.mean())


def sampson_distances(fundamental: Array, start: Array, end: Array) -> Array:
    """First-order distance of matches to an epipolar geometry, `(k,)` px.

    `|x2' F x1| / sqrt((F x1)_1^2 + (F x1)_2^2 + (F' x2)_1^2 + (F' x2)_2^2)`.

    Args:
        fundamental: `(3, 3)`.
        start, end: `(k, 2)` px.
    """
    ones = np.ones((len(start), 1))
    first, second = np.hstack([start, ones]), np.hstack([end, ones])
    lines, back = first @ fundamental.T, second @ fundamental
    slope = lines[:, 0] ** 2 + lines[:, 1] ** 2 + back[:, 0] ** 2 + back[:, 1] ** 2
    return np.asarray(np.abs((second * lines).sum(1)) / np.sqrt(np.maximum(slope, 1e-30)))
