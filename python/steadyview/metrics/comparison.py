"""One pass over paired frames: what a comparison carries from pair to pair, and its series."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from .border import border_pixels
from .matching import find_features, fit_homography, match_features
from .sharpness import sharpness_kept, warp_to_result
from .strict import view_of
from .tracking import Array, LumaFrame, detect_corners, fit_similarity, follow, match_frames
from .views import View, apply, compose, invert, pixel_matrix
from .wobble import paired_wobble

__all__ = ["Comparison"]

_NO_POINTS = np.zeros((0, 2))
_LOST = -1e4  # coordinates of corners that the result does not show


@dataclass
class Comparison:
    """The state carried from pair to pair, and the series that grow."""

    times: list[float] = field(default_factory=list)  # of the source's frames
    result_times: list[float] = field(default_factory=list)
    source_rows: list[Array] = field(default_factory=list)
    result_rows: list[Array] = field(default_factory=list)
    zooms: list[float] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)
    wobbles: list[tuple[float, float]] = field(default_factory=list)
    sharpness: list[tuple[int, float]] = field(default_factory=list)
    border: list[int] = field(default_factory=list)
    homographies: list[Array] = field(default_factory=list)  # result from source; nan where unknown
    half_size: tuple[float, float] = (0.0, 0.0)
    result_half_size: tuple[float, float] = (0.0, 0.0)
    previous: tuple[View, View, Array | None, Array, Array] | None = None
    unmatched: int = 0

    def add(self, first: LumaFrame, second: LumaFrame) -> None:
        source, result = View.of(first.luma), View.of(second.luma)
        self.half_size, self.result_half_size = source.half_size, result.half_size
        index = len(self.times)
        self.times.append(first.time)
        self.result_times.append(second.time)
        guess = self._follow_pair(source, result) if self.previous is not None else None
        link = None if guess is None else self._refine_link(source, result, guess)
        if link is None:
            link = self._match(source, result)
        row, points, found = link if link is not None else (None, *(_NO_POINTS,) * 2)
        if row is None:
            self.unmatched += 1
            points = found = source.pixels(_NO_POINTS)
        self.homographies.append(_homography(source, result, points, found))
        self._view_measures(index, source, result, row)
        self.previous = (source, result, row, points, found)

    def _follow_pair(self, source: View, result: View) -> Array | None:
        """Measures the transition into this pair; returns the link it predicts."""
        assert self.previous is not None
        last_source, last_result, row, points, found = self.previous
        extra = detect_corners(last_source.gray) if row is None else points
        moved, ok = follow(last_source.gray, source.gray, extra)
        source_row = fit_similarity(last_source.centred(extra[ok]), source.centred(moved[ok]))
        starts = detect_corners(last_result.gray) if row is None else found
        ends, fine = follow(last_result.gray, result.gray, starts)
        result_row = fit_similarity(last_result.centred(starts[fine]), result.centred(ends[fine]))
        self.source_rows.append(_or_nan(source_row))
        self.result_rows.append(_or_nan(result_row))
        if row is None:
            self.wobbles.append((np.nan, np.nan))
            return None
        both = ok & fine
        self.wobbles.append(
            paired_wobble(
                (last_source.centred(points[both]), source.centred(moved[both])),
                (last_result.centred(found[both]), result.centred(ends[both])),
                float(np.hypot(row[0], row[1])),
            )
        )
        if source_row is None or result_row is None:
            return row
        return compose(result_row, compose(row, invert(source_row)))

    def _refine_link(
        self, source: View, result: View, guess: Array
    ) -> tuple[Array, Array, Array] | None:
        """Follows the source's corners into the result: (similarity, corners, where they are)."""
        points = detect_corners(source.gray)
        expected = result.pixels(apply(guess, source.centred(points)))
        size = np.array(result.size)
        inside = ((expected > 4) & (expected < size - 5)).all(1)
        if inside.sum() < 20:
            return None
        # The source is warped first, so that LK compares images of one scale.
        warp = pixel_matrix(source, result, guess, full=False)
        warped = warp_to_result(source.gray, warp, result.size, cv2.INTER_LINEAR)
        found, ok = follow(warped, result.gray, expected, check=False, levels=3)
        ok &= inside
        if ok.sum() < 20:
            return None
        row = fit_similarity(source.centred(points[ok]), result.centred(found[ok]))
        if row is None:
            return None
        miss = np.hypot(*(apply(row, source.centred(points)) - result.centred(found)).T)
        good = ok & (miss < 6)
        if good.sum() < max(20, 0.4 * inside.sum()):
            return None
        # Corners outside the result's view still serve the source's own motion.
        found[~good] = _LOST
        return row, points, found

    def _match(self, source: View, result: View) -> tuple[Array, Array, Array] | None:
        row = match_frames(source.gray, result.gray)
        if row is None:
            return None
        corners = np.array([[0.0, 0.0], [100.0, 0.0]])
        mapped = result.centred(apply(row, source.pixels(corners).astype(float)))
        turn = (mapped[1] - mapped[0]) / 100
        guess = np.array([turn[0], turn[1], *mapped[0]])
        return self._refine_link(source, result, guess)

    def _view_measures(self, index: int, source: View, result: View, row: Array | None) -> None:
        matrix = None if row is None else pixel_matrix(source, result, row, full=True)
        self.border.append(border_pixels(source.luma, result.luma, matrix))
        if row is None or matrix is None:
            self.zooms.append(np.nan)
            self.kept.append(np.nan)
            self.outside.append(np.nan)
            return
        self.zooms.append(float(np.hypot(row[0], row[1])))
        similarity = np.array([[row[0], -row[1], row[2]], [row[1], row[0], row[3]], [0, 0, 1.0]])
        kept, outside = view_of(similarity, source.half_size, result.half_size)
        self.kept.append(kept)
        self.outside.append(outside)
        pixels = source.luma.size + result.luma.size
        if index % min(max(round(pixels / 120_000), 2), 30) == 0:
            self.sharpness.append((index, sharpness_kept(source.luma, result.luma, matrix)))


def _homography(source: View, result: View, points: Array, found: Array) -> Array:
    """Result from source, about the centres (RANSAC, 3 px); nan where there is none.

    The corners found again are used; where no similarity led to any, SIFT features.
    """
    seen = found[:, 0] > _LOST / 2
    start, end = points[seen], found[seen]
    if len(start) == 0:
        features = find_features(source.gray), find_features(result.gray)
        start, end = match_features(*features, ratio=0.7, mutual=True)
    start, end = source.centred(start), result.centred(end)
    matrix = fit_homography(start.astype(np.float32), end.astype(np.float32), 3.0, 20)
    return np.full((3, 3), np.nan) if matrix is None else matrix


def _or_nan(row: Array | None) -> Array:
    return np.full(4, np.nan) if row is None else row
