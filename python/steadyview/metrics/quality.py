"""Compares a stabilised video with its source: shake, cropping, wobble, sharpness, borders."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from ..errors import InputError
from ..video.reader import open_video
from .border import border_pixels
from .shake import Shake, shake_of_transitions
from .sharpness import sharpness_kept, warp_to_result
from .tracking import (
    LONG_SIDE,
    Array,
    LumaFrame,
    VideoSource,
    detect_corners,
    fit_similarity,
    follow,
    match_frames,
    read_luma,
    to_tracking_size,
)
from .wobble import paired_wobble

__all__ = ["QualityReport", "compare_videos"]

FLOOR_PX = 0.01
"""Added to both shakes before their ratio is taken: the tracker sees no less."""


@dataclass(frozen=True)
class QualityReport:
    """A result against its source.

    Lengths are in pixels of the source scaled to a long side of 640, so that a result's zoom
    neither helps nor harms it.

    Attributes:
        source, result: names of the two videos.
        frames: pairs of frames compared.
        unpaired: frames of either video that have no partner within half a frame's time.
        shake_source, shake_result: `Shake` of each (motion of the result divided by its zoom).
        kept: `(frames,)` part of the source's width that the result shows (square root of the area
            ratio of view and source, by the similarity between the two frames); nan where unknown.
        outside: `(frames,)` part of the result's area that lies outside the source frame: black,
            stale or invented content.
        wobble_source, wobble_result: `(frames-1,)` px, on the same scene points (`wobble`).
        sharpness: `(k,)` part of the source's fine detail kept (`sharpness`), on sampled frames.
        sharpness_frames: `(k,)` indices of those.
        border: `(frames,)` black border pixels.
        unmatched: frames whose place in the source could not be measured.
    """

    source: str
    result: str
    times: Array
    unpaired: int
    shake_source: Shake
    shake_result: Shake
    kept: Array
    outside: Array
    wobble_source: Array
    wobble_result: Array
    sharpness: Array
    sharpness_frames: Array
    border: Array
    unmatched: int

    @property
    def frames(self) -> int:
        return len(self.times)

    @property
    def shake_removed_db(self) -> float:
        """`10 log10(E_source / E_result)` of the energies above 1 Hz, 0.01 px of floor on each."""
        floor = FLOOR_PX**2
        ratio = (self.shake_source.energy + floor) / (self.shake_result.energy + floor)
        return float(10 * np.log10(ratio))

    @property
    def kept_mean(self) -> float:
        return _mean(self.kept)

    @property
    def kept_min(self) -> float:
        return float(np.nanmin(self.kept)) if np.isfinite(self.kept).any() else float("nan")

    @property
    def outside_mean(self) -> float:
        return _mean(self.outside)

    @property
    def wobble_before(self) -> float:
        return _mean(self.wobble_source)

    @property
    def wobble_after(self) -> float:
        return _mean(self.wobble_result)

    @property
    def sharpness_kept(self) -> float:
        """Median over the sampled frames."""
        good = self.sharpness[np.isfinite(self.sharpness)]
        return float(np.median(good)) if len(good) else float("nan")

    @property
    def border_pixels(self) -> int:
        return int(self.border.sum())

    def to_dict(self) -> dict[str, Any]:
        """The scalar values, ready for JSON: None where nothing could be measured."""
        values = {
            "source": self.source,
            "result": self.result,
            "frames": self.frames,
            "shake_source_px": self.shake_source.rms,
            "shake_result_px": self.shake_result.rms,
            "shake_removed_db": self.shake_removed_db,
            "steady_share_source": self.shake_source.steady_share,
            "steady_share_result": self.shake_result.steady_share,
            "kept_mean": self.kept_mean,
            "kept_min": self.kept_min,
            "outside_mean": self.outside_mean,
            "wobble_source_px": self.wobble_before,
            "wobble_result_px": self.wobble_after,
            "sharpness_kept": self.sharpness_kept,
            "border_pixels": self.border_pixels,
            "unpaired_frames": self.unpaired,
            "unmatched_frames": self.unmatched,
            "failed_transitions_source": self.shake_source.failed,
            "failed_transitions_result": self.shake_result.failed,
        }
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }


def _mean(values: Array) -> float:
    good = values[np.isfinite(values)]
    return float(good.mean()) if len(good) else float("nan")


def compare_videos(
    source: VideoSource,
    result: VideoSource,
    progress: Callable[[int, int | None], None] | None = None,
) -> QualityReport:
    """Measures a stabilised video against its source.

    One set of corners a frame serves all: found in the source, followed to the source's next frame,
    carried into the result by the similarity between the two, refined there, and followed to the
    result's next frame. Source and result are thus measured on the same scene points.

    Args:
        source, result: files, or frames from memory; frames are paired by time.
        progress: called with the frames of the source done, and how many there are (or None).

    Returns:
        The report; see `QualityReport` for units.

    Raises:
        InputError: a file is missing, holds no video, or no frames pair up.
    """
    comparison = _Comparison()
    unpaired = done = 0
    total = _count(source) if progress else None
    for first, second in _pairs(read_luma(source), read_luma(result)):
        if first is None or second is None:
            unpaired += 1
        else:
            comparison.add(first, second)
        if progress and first is not None:
            done += 1
            progress(done, total)
    if not comparison.times:
        raise InputError(f"result: {_name(result)} has no frame in common with {_name(source)}")
    return comparison.report(_name(source), _name(result), unpaired)


def _count(video: VideoSource) -> int | None:
    if isinstance(video, (str, os.PathLike)):
        with open_video(video) as reader:
            return reader.info.frames
    return len(video) if isinstance(video, Sized) else None


def _name(video: VideoSource) -> str:
    return os.fspath(video) if isinstance(video, (str, os.PathLike)) else "frames"


def _pairs(
    source: Iterator[LumaFrame], result: Iterator[LumaFrame]
) -> Iterator[tuple[LumaFrame | None, LumaFrame | None]]:
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


@dataclass
class _View:
    """One frame ready for tracking: lengths in pixels at a long side of 640, about its centre."""

    luma: Array
    gray: Array
    unit: float  # of those pixels a pixel of `gray`
    scale: float  # full-size pixels a pixel of `gray`

    @classmethod
    def of(cls, luma: Array) -> _View:
        gray, scale = to_tracking_size(luma)
        return cls(luma, gray, LONG_SIDE / max(gray.shape), scale)

    @property
    def size(self) -> tuple[int, int]:
        return self.gray.shape[1], self.gray.shape[0]

    @property
    def half_size(self) -> tuple[float, float]:
        return self.size[0] * self.unit / 2, self.size[1] * self.unit / 2

    def centred(self, points: Array) -> Array:
        return (points + 0.5 - np.array(self.size) / 2) * self.unit

    def pixels(self, centred: Array) -> Array:
        return (centred / self.unit + np.array(self.size) / 2 - 0.5).astype(np.float32)


@dataclass
class _Comparison:
    """The state carried from pair to pair, and the series that grow."""

    times: list[float] = field(default_factory=list)
    source_rows: list[Array] = field(default_factory=list)
    result_rows: list[Array] = field(default_factory=list)
    zooms: list[float] = field(default_factory=list)
    kept: list[float] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)
    wobbles: list[tuple[float, float]] = field(default_factory=list)
    sharpness: list[tuple[int, float]] = field(default_factory=list)
    border: list[int] = field(default_factory=list)
    half_size: tuple[float, float] = (0.0, 0.0)
    previous: tuple[_View, _View, Array | None, Array, Array] | None = None
    unmatched: int = 0

    def add(self, first: LumaFrame, second: LumaFrame) -> None:
        source, result = _View.of(first.luma), _View.of(second.luma)
        self.half_size = source.half_size
        index = len(self.times)
        self.times.append(first.time)
        guess = self._follow_pair(source, result) if self.previous is not None else None
        link = None if guess is None else self._refine_link(source, result, guess)
        if link is None:
            link = self._match(source, result)
        row, points, found = link if link is not None else (None, *(_NO_POINTS,) * 2)
        if row is None:
            self.unmatched += 1
            points = found = source.pixels(_NO_POINTS)
        self._view_measures(index, source, result, row)
        self.previous = (source, result, row, points, found)

    def _follow_pair(self, source: _View, result: _View) -> Array | None:
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
        return _compose(result_row, _compose(row, _invert(source_row)))

    def _refine_link(
        self, source: _View, result: _View, guess: Array
    ) -> tuple[Array, Array, Array] | None:
        """Follows the source's corners into the result: (similarity, corners, where they are)."""
        points = detect_corners(source.gray)
        expected = result.pixels(_apply(guess, source.centred(points)))
        size = np.array(result.size)
        inside = ((expected > 4) & (expected < size - 5)).all(1)
        if inside.sum() < 20:
            return None
        # The source is warped first, so that LK compares images of one scale.
        warp = _pixel_matrix(source, result, guess, full=False)
        warped = warp_to_result(source.gray, warp, result.size, cv2.INTER_LINEAR)
        found, ok = follow(warped, result.gray, expected, check=False, levels=3)
        ok &= inside
        if ok.sum() < 20:
            return None
        row = fit_similarity(source.centred(points[ok]), result.centred(found[ok]))
        if row is None:
            return None
        miss = np.hypot(*(_apply(row, source.centred(points)) - result.centred(found)).T)
        good = ok & (miss < 6)
        if good.sum() < max(20, 0.4 * inside.sum()):
            return None
        # Corners outside the result's view still serve the source's own motion.
        found[~good] = -1e4
        return row, points, found

    def _match(self, source: _View, result: _View) -> tuple[Array, Array, Array] | None:
        row = match_frames(source.gray, result.gray)
        if row is None:
            return None
        corners = np.array([[0.0, 0.0], [100.0, 0.0]])
        mapped = result.centred(_apply(row, source.pixels(corners).astype(float)))
        turn = (mapped[1] - mapped[0]) / 100
        guess = np.array([turn[0], turn[1], *mapped[0]])
        return self._refine_link(source, result, guess)

    def _view_measures(self, index: int, source: _View, result: _View, row: Array | None) -> None:
        matrix = None if row is None else _pixel_matrix(source, result, row, full=True)
        self.border.append(border_pixels(source.luma, result.luma, matrix))
        if row is None or matrix is None:
            self.zooms.append(np.nan)
            self.kept.append(np.nan)
            self.outside.append(np.nan)
            return
        zoom = float(np.hypot(row[0], row[1]))
        self.zooms.append(zoom)
        area = np.prod(result.half_size) / np.prod(source.half_size)
        self.kept.append(float(np.sqrt(area)) / zoom)
        self.outside.append(_outside(row, source.half_size, result.half_size))
        pixels = source.luma.size + result.luma.size
        if index % min(max(round(pixels / 120_000), 2), 30) == 0:
            self.sharpness.append((index, sharpness_kept(source.luma, result.luma, matrix)))

    def report(self, source: str, result: str, unpaired: int) -> QualityReport:
        times = np.array(self.times)
        zooms = np.array(self.zooms)
        known = np.isfinite(zooms)
        order = np.arange(len(zooms))
        zooms = np.interp(order, order[known], zooms[known]) if known.any() else np.ones(len(order))
        result_rows = np.array(self.result_rows).reshape(-1, 4)
        result_rows[:, 2:] /= zooms[:-1, None]
        wobbles = np.array(self.wobbles).reshape(-1, 2)
        return QualityReport(
            source=source,
            result=result,
            times=times,
            unpaired=unpaired,
            shake_source=shake_of_transitions(
                times, np.array(self.source_rows).reshape(-1, 4), self.half_size
            ),
            shake_result=shake_of_transitions(times, result_rows, self.half_size),
            kept=np.array(self.kept),
            outside=np.array(self.outside),
            wobble_source=wobbles[:, 0],
            wobble_result=wobbles[:, 1],
            sharpness=np.array([value for _, value in self.sharpness]),
            sharpness_frames=np.array([index for index, _ in self.sharpness], int),
            border=np.array(self.border),
            unmatched=self.unmatched,
        )


_NO_POINTS = np.zeros((0, 2))


def _or_nan(row: Array | None) -> Array:
    return np.full(4, np.nan) if row is None else row


def _apply(row: Array, points: Array) -> Array:
    a, b, tx, ty = row
    x, y = points[:, 0], points[:, 1]
    return np.stack([a * x - b * y + tx, b * x + a * y + ty], axis=1)


def _compose(second: Array, first: Array) -> Array:
    m = complex(*second[:2]) * complex(*first[:2])
    c = complex(*second[:2]) * complex(*first[2:]) + complex(*second[2:])
    return np.array([m.real, m.imag, c.real, c.imag])


def _invert(row: Array) -> Array:
    m = 1 / complex(*row[:2])
    c = -m * complex(*row[2:])
    return np.array([m.real, m.imag, c.real, c.imag])


def _pixel_matrix(source: _View, result: _View, row: Array, full: bool) -> Array:
    """The similarity as a 2x3 matrix on pixel indices of the tracking-size or full-size frames."""
    sizes = []
    for view in (source, result):
        scale = view.scale if full else 1.0
        height, width = view.luma.shape if full else view.gray.shape
        sizes.append((view.unit / scale, np.array([width, height]) / 2 - 0.5))
    (unit, centre), (result_unit, result_centre) = sizes
    a, b, tx, ty = row
    turn = np.array([[a, -b], [b, a]]) * unit / result_unit
    shift = result_centre + np.array([tx, ty]) / result_unit - turn @ centre
    return np.concatenate([turn, shift[:, None]], axis=1)


def _outside(row: Array, half_size: tuple[float, float], result_half: tuple[float, float]) -> float:
    """Part of the result's area that shows points outside the source frame."""
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    seen = _apply(_invert(row), signs * np.array(result_half)).astype(np.float32)
    if (np.abs(seen) <= np.array(half_size) + 0.5).all():
        return 0.0
    frame = (signs * np.array(half_size)).astype(np.float32)
    shared, _ = cv2.intersectConvexConvex(frame, seen)
    return float(max(1 - shared / cv2.contourArea(seen), 0.0))
