"""Frames at tracking size about their centre, and similarities between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .tracking import LONG_SIDE, Array, to_tracking_size

__all__ = ["View", "apply", "compose", "invert", "pixel_matrix"]


@dataclass
class View:
    """One frame ready for tracking: lengths in pixels at a long side of 640, about its centre."""

    luma: Array
    gray: Array
    unit: float  # of those pixels a pixel of `gray`
    scale: float  # full-size pixels a pixel of `gray`

    @classmethod
    def of(cls, luma: Array) -> View:
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


def apply(row: Array, points: Array) -> Array:
    a, b, tx, ty = row
    x, y = points[:, 0], points[:, 1]
    return np.stack([a * x - b * y + tx, b * x + a * y + ty], axis=1)


def compose(second: Array, first: Array) -> Array:
    m = complex(*second[:2]) * complex(*first[:2])
    c = complex(*second[:2]) * complex(*first[2:]) + complex(*second[2:])
    return np.array([m.real, m.imag, c.real, c.imag])


def invert(row: Array) -> Array:
    m = 1 / complex(*row[:2])
    c = -m * complex(*row[2:])
    return np.array([m.real, m.imag, c.real, c.imag])


def pixel_matrix(source: View, result: View, row: Array, full: bool) -> Array:
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
