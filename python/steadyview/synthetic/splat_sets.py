"""A street and a room of 3-D Gaussians: painted sheets, cut as finely as the camera sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from .camera import Camera

__all__ = ["Sheet", "SplatSet", "box", "cloud", "sheet_splats"]

#: Pixels between neighbouring splats of a sheet, and their standard deviation as a part of it.
SPACING, WIDTH = 1.9, 0.52


class SplatSet(NamedTuple):
    """N Gaussians, float32.

    Attributes:
        means: `(N, 3)`, scene units.
        quaternions: `(N, 4)`, w x y z.
        scales: `(N, 3)` standard deviations along the axes.
        opacities: `(N,)`.
        colors: `(N, 3)` in [0, 1].
        velocities: `(N, 3)`, scene units a second.
    """

    means: np.ndarray
    quaternions: np.ndarray
    scales: np.ndarray
    opacities: np.ndarray
    colors: np.ndarray
    velocities: np.ndarray

    @staticmethod
    def cat(sets: list[SplatSet]) -> SplatSet:
        columns = zip(*sets, strict=True)
        return SplatSet(*(np.concatenate(column).astype(np.float32) for column in columns))


@dataclass(frozen=True)
class Sheet:
    """A painted parallelogram.

    Attributes:
        corner: its upper left end, scene units.
        right, down: its edges from there.
        paint: `(rows, columns, 3)` RGB in [0, 1].
        repeat: how often the paint is repeated along the two edges.
        light: factor on the paint.
        shadows: `(x, z, radius)` of what darkens it from above.
    """

    corner: tuple[float, float, float]
    right: tuple[float, float, float]
    down: tuple[float, float, float]
    paint: np.ndarray
    repeat: tuple[float, float] = (1.0, 1.0)
    light: float = 1.0
    shadows: tuple[tuple[float, float, float], ...] = ()


def sheet_splats(sheet: Sheet, camera: Camera, poses: np.ndarray) -> SplatSet:
    """Flat Gaussians on a sheet, dense enough for what the camera sees of it.

    Args:
        sheet: what is painted.
        camera: its K and size count.
        poses: `(n, 4, 4)` world to camera, along its way.
    """
    edges = np.array([sheet.right, sheet.down])
    lengths = np.linalg.norm(edges, axis=1)
    low, size = _cells(np.array(sheet.corner), edges, camera, poses)
    middle = low + size / 2
    means = np.array(sheet.corner) + middle @ edges
    axes = edges / lengths[:, None]
    rotation = np.stack([*axes, np.cross(*axes)], axis=1)
    widths = WIDTH * size * lengths
    colors = sheet.light * _painted(sheet, middle, size)
    for x, z, radius in sheet.shadows:
        away = np.square(means[:, [0, 2]] - [x, z]).sum(1) / radius**2
        colors *= (1 - 0.5 * np.exp(-(away**2)))[:, None]
    count = len(means)
    return SplatSet(
        means,
        np.tile(_quaternion(rotation), (count, 1)),
        np.column_stack([widths, 0.05 * widths.min(1)]),
        np.full(count, 0.98),
        colors.clip(0, 1),
        np.zeros((count, 3)),
    )


def _cells(
    corner: np.ndarray, edges: np.ndarray, camera: Camera, poses: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cuts a sheet until every part that is seen is `SPACING` pixels wide and high.

    Returns:
        Lower ends and sizes, `(N, 2)` each, in parts of the edges.
    """
    lengths = np.linalg.norm(edges, axis=1)
    axes = edges / lengths[:, None]
    low, size = np.zeros((1, 2)), np.ones((1, 2))
    done: list[tuple[np.ndarray, np.ndarray]] = []
    while len(low):
        middle = corner + (low + size / 2) @ edges
        reach = np.linalg.norm(size * lengths, axis=1) / 2
        wide = np.zeros_like(size)  # pixels, at most, where it is seen
        seen = np.zeros(len(low), bool)
        for pose in poses:
            at = middle @ pose[:3, :3].T + pose[:3, 3]
            distance = np.linalg.norm(at, axis=1)
            inside = _inside(at, 1.5 * reach, camera)
            nearest = np.maximum(distance - reach, 0.05)
            along = (at / distance[:, None]) @ (axes @ pose[:3, :3].T).T
            pixels = size * lengths * np.sqrt(np.maximum(1 - along**2, 0)) / nearest[:, None]
            coarse = reach > 0.25 * distance  # too large to tell: the longer edge is cut
            longer = size * lengths >= (size * lengths).max(1, keepdims=True)
            pixels = np.where(coarse[:, None], np.where(longer, np.inf, 0), pixels * camera.K[0, 0])
            wide[inside] = np.maximum(wide, pixels)[inside]
            seen |= inside
        cut = wide > SPACING
        ready = seen & ~cut.any(1)
        done.append((low[ready], size[ready]))
        rest = seen & cut.any(1)
        low, size, cut = low[rest], size[rest], cut[rest]
        for axis in (0, 1):
            low, size, cut = _halved(low, size, cut, axis)
    return np.concatenate([a for a, _ in done]), np.concatenate([b for _, b in done])


def _inside(at: np.ndarray, reach: np.ndarray, camera: Camera) -> np.ndarray:
    """Whether balls about these places reach into a view with a margin for the shake."""
    (width, height), focal = camera.size, camera.K[0, 0]
    return np.asarray(
        (at[:, 2] + reach > 0.05)
        & (np.abs(at[:, 0]) < (0.65 * width / focal) * np.maximum(at[:, 2], 0) + 2 * reach)
        & (np.abs(at[:, 1]) < (0.7 * height / focal) * np.maximum(at[:, 2], 0) + 2 * reach)
    )


def _halved(
    low: np.ndarray, size: np.ndarray, cut: np.ndarray, axis: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cuts those that are to be cut along one edge."""
    size = np.where(cut[:, [axis]] & (np.arange(2) == axis), size / 2, size)
    more = cut[:, axis]
    second = low[more] + size[more] * (np.arange(2) == axis)
    return np.concatenate([low, second]), np.concatenate([size, size[more]]), np.concatenate(
        [cut, cut[more]]
    )  # fmt: skip


def _painted(sheet: Sheet, middle: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The paint's mean over each part: `(N, 3)`."""
    rows, columns = sheet.paint.shape[:2]
    texels = size * sheet.repeat * [columns, rows]
    levels = np.floor(np.log2(np.maximum(texels, 1)) + 0.5).astype(int)
    levels = np.minimum(levels, [int(np.log2(columns)), int(np.log2(rows))])
    colors = np.zeros((len(middle), 3))
    for level in np.unique(levels, axis=0):
        mine = (levels == level).all(1)
        shape = (max(columns >> level[0], 1), max(rows >> level[1], 1))
        small = cv2.resize(sheet.paint, shape, interpolation=cv2.INTER_AREA)
        at = middle[mine] * sheet.repeat * shape - 0.5
        first = np.floor(at).astype(int)
        part = at - first
        for step in np.array([[0, 0], [1, 0], [0, 1], [1, 1]]):
            weight = np.abs(1 - step - part).prod(1)
            i, j = (first + step).T
            colors[mine] += weight[:, None] * small[j % shape[1], i % shape[0]]
    return colors


def box(
    centre: tuple[float, float, float],
    size: tuple[float, float, float],
    front: np.ndarray,
    side: np.ndarray,
    top: np.ndarray,
) -> list[Sheet]:
    """The faces of an upright box but the one behind and the one below."""
    x, y, z = np.array(centre) - np.array(size) / 2
    w, h, d = size
    return [
        Sheet((x, y, z), (w, 0, 0), (0, h, 0), front),
        Sheet((x, y, z + d), (0, 0, -d), (0, h, 0), side, light=0.7),
        Sheet((x + w, y, z), (0, 0, d), (0, h, 0), side, light=0.85),
        Sheet((x, y, z + d), (w, 0, 0), (0, 0, -d), top, light=1.1),
    ]


def cloud(
    centre: tuple[float, float, float],
    radii: tuple[float, float, float],
    color: tuple[float, float, float],
    *,
    count: int,
    width: float,
    seed: int,
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0),
    variety: float = 0.25,
) -> SplatSet:
    """A ball of leaves (or of cloth, where `width` is large), lighter above and to the left."""
    random = np.random.default_rng(seed)
    ways = random.standard_normal((count, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    out = random.uniform(0.3, 1, (count, 1)) ** (1 / 3)
    light = 0.75 - 0.3 * ways[:, [1]] - 0.15 * ways[:, [0]] + 0.5 * (out - 0.9)
    tints = random.normal(1, variety, (count, 1)) + random.normal(0, 0.2 * variety, (count, 3))
    scales = width * np.exp(random.normal(0, 0.3, (count, 3))) * [1.0, 0.6, 0.25]
    return SplatSet(
        np.array(centre) + ways * out * radii,
        random.standard_normal((count, 4)),
        scales,
        np.full(count, 0.95),
        (np.array(color) * light * tints).clip(0, 1),
        np.tile(velocity, (count, 1)),
    )


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    """w x y z of a rotation matrix."""
    m = rotation
    squares = 1 + np.array(
        [np.trace(m), *(2 * m[i, i] - np.trace(m) for i in range(3))]
    )  # four times each component squared
    largest = int(np.argmax(squares))
    w = np.array([squares[0], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    x = np.array([w[1], squares[1], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]])
    y = np.array([w[2], x[2], squares[2], m[1, 2] + m[2, 1]])
    z = np.array([w[3], x[3], y[3], squares[3]])
    chosen = (w, x, y, z)[largest]
    return np.asarray(chosen / np.linalg.norm(chosen))
