"""Flicker: how much a frame differs from the next one moved back along the optical flow."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from .matching import pipelined
from .tracking import Array, LumaFrame, VideoSource, read_luma, to_tracking_size

__all__ = ["TemporalError", "measure_temporal_error"]

_FULL_RANGE = 255 / 219  # limited-range luma to grey levels of 0 to 255


@dataclass(frozen=True)
class TemporalError:
    """Flow-warp error of a video at a long side of at most 640.

    Attributes:
        times: `(n-1,)` seconds of the earlier frame.
        squared_error: `(n-1,)` mean squared grey difference (of 255) where both frames show the
            same; nan where that is less than a tenth of the frame.
        covered: `(n-1,)` that part of the frame.
    """

    times: Array
    squared_error: Array
    covered: Array

    @property
    def mean(self) -> float:
        """Mean squared error of all transitions, grey levels squared."""
        known = self.squared_error[np.isfinite(self.squared_error)]
        return float(known.mean()) if len(known) else float("nan")

    @property
    def worst(self) -> int | None:
        """The frame that differs most from its successor."""
        known = np.isfinite(self.squared_error).any()
        return int(np.nanargmax(self.squared_error)) if known else None

    def to_dict(self) -> dict[str, Any]:
        """The scalar values, ready for JSON: None where nothing could be measured."""
        mean = self.mean
        return {
            "warp_error": mean if np.isfinite(mean) else None,
            "worst_warp_frame": self.worst,
            "covered": float(self.covered.mean()) if len(self.covered) else None,
        }


def measure_temporal_error(video: VideoSource) -> TemporalError:
    """Flow-warp temporal error: each frame against the next one, warped back onto it.

    Optical flow is Farneback's, both ways, so that nothing of the stabiliser's own motion counts.
    Pixels are left out where the two flows contradict each other (occlusions) or lead outside.

    Source:
        Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018 (measure); Ruder et al.,
        "Artistic Style Transfer for Videos", 2016 (occlusion test).
    """
    rows = list(pipelined(itertools.pairwise(read_luma(video)), _transition))
    table = np.array(rows).reshape(-1, 3)
    return TemporalError(table[:, 0], table[:, 1], table[:, 2])


def _flow(first: Array, second: Array) -> Array:
    return np.asarray(cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 3, 15, 3, 5, 1.2, 0))  # type: ignore[call-overload]


def _transition(pair: tuple[LumaFrame, LumaFrame]) -> tuple[float, float, float]:
    first, second = (to_tracking_size(frame.luma)[0] for frame in pair)
    if (first == second).all():
        return pair[0].time, 0.0, 1.0  # Farneback's flow between equal frames is not quite zero
    height, width = first.shape
    forward, backward = _flow(first, second), _flow(second, first)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    there_x, there_y = x + forward[..., 0], y + forward[..., 1]
    warped = cv2.remap(second.astype(np.float32), there_x, there_y, cv2.INTER_LINEAR)
    returning = cv2.remap(backward, there_x, there_y, cv2.INTER_LINEAR)
    miss = ((forward + returning) ** 2).sum(-1)
    allowed = 0.01 * ((forward**2).sum(-1) + (returning**2).sum(-1)) + 0.5
    good = miss < allowed
    good &= (there_x >= 0) & (there_x <= width - 1) & (there_y >= 0) & (there_y <= height - 1)
    covered = float(good.mean())
    if covered < 0.1:
        return pair[0].time, float("nan"), covered
    difference = (warped - first)[good] * _FULL_RANGE
    return pair[0].time, float((difference**2).mean()), covered
