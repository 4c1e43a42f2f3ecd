"""Cropping, distortion and stability without the flaws of the published script.

What differs from `standard`, and why, is listed in `docs/metrics.md`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from .shake import CUTOFF_HZ, even_grid, highpass, is_known
from .tracking import Array

__all__ = ["Stability", "StrictScores", "distortion_of", "stability_of", "view_of"]

VISIBLE_PX = 0.25
"""Motion below this (root mean square, at a long side of 640) is no shake: it is not seen."""


@dataclass(frozen=True)
class Stability:
    """How much of a video's motion is slow. All scores lie in [0, 1]; 1: nothing shakes.

    Attributes:
        overall: of the displacement of the frame's centre and four corners.
        translation, rotation, zoom: of that displacement's parts.
        shake_px, shake_deg, shake_zoom: root mean square above 1 Hz of the centre's position (px at
            a long side of 640), of the roll (degrees), and of the logarithm of the scale.
        jitter: root mean square of the second time derivative of that displacement, px/s^2.
        path: `(n, 4)` x, y in px, roll in radians, logarithm of scale: summed over frames.
        acceleration: `(n,)` px/s^2, frame by frame; its largest values are the worst jolts.
    """

    overall: float
    translation: float
    rotation: float
    zoom: float
    shake_px: float
    shake_deg: float
    shake_zoom: float
    jitter: float
    path: Array
    acceleration: Array


@dataclass(frozen=True)
class StrictScores:
    """The corrected scores of a result against its source.

    Attributes:
        cropping: `(n,)` square root of the part of the source's area that the result shows; nan
            where the frames could not be matched.
        distortion: `(n,)` smallest over largest stretch of the map from source to result at the
            frame's centre (ratio of singular values); nan likewise.
        stability: of the result's own motion.
        failed: frames that could not be matched; they are left out, never replaced.
        failed_transitions: transitions, likewise; the path runs on at the speed around them.
    """

    cropping: Array
    distortion: Array
    stability: Stability
    failed: tuple[int, ...] = ()
    failed_transitions: tuple[int, ...] = ()

    @property
    def cropping_mean(self) -> float:
        return _over(np.mean, self.cropping)

    @property
    def cropping_min(self) -> float:
        return _over(np.min, self.cropping)

    @property
    def distortion_median(self) -> float:
        return _over(np.median, self.distortion)

    @property
    def distortion_low(self) -> float:
        """The 5th percentile: the worst frames, but not one bad fit."""
        return _over(lambda values: np.percentile(values, 5), self.distortion)

    @property
    def worst_cropping(self) -> int | None:
        return _worst(self.cropping)

    @property
    def worst_distortion(self) -> int | None:
        return _worst(self.distortion)

    @property
    def worst_jolt(self) -> int | None:
        return _worst(-self.stability.acceleration)

    def to_dict(self) -> dict[str, Any]:
        """The scalar values, ready for JSON: None where nothing could be measured."""
        parts = self.stability
        values: dict[str, Any] = {
            "cropping_mean": self.cropping_mean,
            "cropping_min": self.cropping_min,
            "distortion_median": self.distortion_median,
            "distortion_p5": self.distortion_low,
            "stability": parts.overall,
            "stability_translation": parts.translation,
            "stability_rotation": parts.rotation,
            "stability_zoom": parts.zoom,
            "shake_px": parts.shake_px,
            "shake_deg": parts.shake_deg,
            "jitter_px_s2": parts.jitter,
            "worst_cropping_frame": self.worst_cropping,
            "worst_distortion_frame": self.worst_distortion,
            "worst_jolt_frame": self.worst_jolt,
            "failed_frames": len(self.failed),
            "failed_transitions": len(self.failed_transitions),
        }
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }


def _over(measure: Any, values: Array) -> float:
    good = values[np.isfinite(values)]
    return float(measure(good)) if len(good) else float("nan")


def _worst(values: Array) -> int | None:
    """Index of the smallest value that is known."""
    return int(np.nanargmin(values)) if np.isfinite(values).any() else None


def distortion_of(homography: Array) -> float:
    """Smallest over largest stretch at the origin: 1 for shifts, turns and zooms of any size.

    Args:
        homography: `(3, 3)`, in coordinates about the frame's centre.
    """
    stretches = np.linalg.svd(_jacobian(homography), compute_uv=False)
    return float(stretches[1] / stretches[0])


def _jacobian(homography: Array) -> Array:
    """Derivative `(2, 2)` of a homography at the origin."""
    h = homography / homography[2, 2]
    return np.asarray(h[:2, :2] - np.outer(h[:2, 2], h[2, :2]))


def view_of(
    homography: Array, source_half: tuple[float, float], result_half: tuple[float, float]
) -> tuple[float, float]:
    """What a result shows of its source.

    Args:
        homography: `(3, 3)` result from source, about the centres.
        source_half, result_half: half the width and height of each.

    Returns:
        (cropping, outside): square root of the part of the source's area that is seen, and the part
        of the result's area that lies outside the source (black, stale or invented content).
    """
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    corners = np.column_stack([signs * result_half, np.ones(4)]) @ np.linalg.inv(homography).T
    if (corners[:, 2] * corners[0, 2] <= 0).any():
        return float("nan"), float("nan")  # the horizon lies in the frame: not a view of the source
    seen = (corners[:, :2] / corners[:, 2:]).astype(np.float32)
    frame = (signs * source_half).astype(np.float32)
    area, whole = cv2.contourArea(seen), cv2.contourArea(frame)
    if (np.abs(seen) <= np.array(source_half) + 0.5).all():  # half a pixel is nothing
        return min(float(np.sqrt(area / whole)), 1.0), 0.0
    shared, _ = cv2.intersectConvexConvex(frame, seen)
    return float(np.sqrt(shared / whole)), max(float(1 - shared / area), 0.0)


def stability_of(times: Array, transitions: Array, half_size: tuple[float, float]) -> Stability:
    """Stability of a video whose frame-to-frame motion is known.

    The motion is summed over time in signed parts about the frame's centre: summed increments, not
    a product of matrices, which no order of multiplication makes right for long pans. A straight
    line in time is taken off, so that the speed of an even pan counts for nothing. What a smoothing
    spline leaves of the path (`shake.highpass`: above 1 Hz) is shake, the rest is intended:
    `score = (E_slow + f) / (E_slow + E_shake + f)`, f = (0.25 px)^2 for what nobody sees.

    Args:
        times: `(n,)` seconds.
        transitions: `(n-1, 4)` rows (a, b, tx, ty): similarity about the centre, frame t to t+1;
            nan rows are interpolated. Where less than half is known, and for fewer than four
            frames, everything is nan.
        half_size: half the frame's width and height, in the unit of tx, ty (px at 640).
    """
    missing = np.asarray(np.isnan(transitions).any(1))
    if not is_known(missing):
        series = np.full(len(times), np.nan)
        return Stability(*(float("nan"),) * 8, np.stack([series] * 4, axis=1), series)
    path = _summed(times, transitions, missing)
    even_times, even_path = even_grid(times, path)
    rate = (len(even_times) - 1) / even_times[-1]
    straight = np.polynomial.polynomial.polyfit(even_times, even_path, 1)
    even_path = even_path - (straight[0] + np.outer(even_times, straight[1]))
    fast = highpass(even_path, rate, CUTOFF_HZ)
    slow = even_path - fast
    # Five points: the centre and four corners. Mean squared distance from the centre:
    reach = 0.8 * (half_size[0] ** 2 + half_size[1] ** 2)
    weights = np.array([1.0, 1.0, reach, reach])
    parts = {"translation": (0, 1), "rotation": (2,), "zoom": (3,)}
    energies = [(part**2).mean(0) * weights for part in (slow, fast)]
    scores = {
        name: _share(*(float(energy[list(axes)].sum()) for energy in energies))
        for name, axes in parts.items()
    }
    second = np.diff(even_path, 2, axis=0) * rate**2
    bend = np.pad(np.sqrt((second**2) @ weights), 1)
    rms = np.sqrt((fast**2).mean(0))
    seconds = np.asarray(times, float) - times[0]
    return Stability(
        overall=_share(*(float(energy.sum()) for energy in energies)),
        **scores,
        shake_px=float(np.hypot(rms[0], rms[1])),
        shake_deg=float(np.degrees(rms[2])),
        shake_zoom=float(rms[3]),
        jitter=float(np.sqrt((bend[1:-1] ** 2).mean())),
        path=path,
        acceleration=np.interp(seconds, even_times, bend),
    )


def _share(slow: float, fast: float) -> float:
    floor = VISIBLE_PX**2
    return (slow + floor) / (slow + fast + floor)


def _summed(times: Array, transitions: Array, missing: Array) -> Array:
    """Path `(n, 4)` of x, y, roll and log scale; unknown transitions take the speed around them."""
    path = np.zeros((len(times), 4))
    a, b, tx, ty = transitions.T
    steps = np.stack([tx, ty, np.arctan2(b, a), np.log(np.hypot(a, b))], axis=1)
    seconds = np.diff(times)[:, None]
    speed = steps / seconds
    middle = (times[1:] + times[:-1]) / 2
    for column in speed.T:
        column[missing] = np.interp(middle[missing], middle[~missing], column[~missing])
    path[1:] = np.cumsum(speed * seconds, axis=0)
    return path
