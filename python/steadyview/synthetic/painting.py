"""What the walls, floors and things of the Gaussian scenes are painted with: RGB in [0, 1]."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from .textures import texture_of

__all__ = [
    "asphalt",
    "books",
    "bricks",
    "facade",
    "photograph",
    "planks",
    "plaster",
    "sky",
    "slabs",
]

Color = tuple[float, float, float]

#: A frame of examples/handheld.mp4 (GoPro, Inc., Apache-2.0 or MIT: examples/README.md).
_PHOTOGRAPH = Path(__file__).with_name("photograph.jpg")


def _grain(rows: int, columns: int, seed: int) -> np.ndarray:
    """Detail at all scales about 0, `(rows, columns)`."""
    return (texture_of(rows, columns, seed, 1.0)[..., 0] - 128) / 255


def photograph() -> np.ndarray:
    return np.asarray(cv2.imread(str(_PHOTOGRAPH), cv2.IMREAD_COLOR), np.float32)[..., ::-1] / 255


def plaster(rows: int, columns: int, seed: int, color: Color, contrast: float = 0.3) -> np.ndarray:
    soft = np.asarray(cv2.GaussianBlur(_grain(rows, columns, seed), (0, 0), 1.0))[..., None]
    return np.asarray((np.array(color) * (1 + contrast * soft)).clip(0, 1), np.float32)


def asphalt(rows: int, columns: int, seed: int) -> np.ndarray:
    paint = plaster(rows, columns, seed, (0.34, 0.34, 0.36), 0.8)
    speck = np.random.default_rng(seed).normal(0, 0.035, (rows, columns, 1))
    paint += speck.astype(np.float32)
    lane = slice(columns // 2 - columns // 80, columns // 2 + columns // 80)
    paint[: rows // 2, lane] = 0.85 + paint[: rows // 2, lane] * 0.1
    return paint.clip(0, 1)


def _joints(
    paint: np.ndarray, height: int, width: int, joint: int, seed: int, color: Color, variety: float
) -> np.ndarray:
    """Rows of stones, each of its own tint, every other row shifted by half, with joints."""
    random = np.random.default_rng(seed)
    rows, columns = paint.shape[:2]
    for i, top in enumerate(range(0, rows, height)):
        for left in range(-(i % 2) * width // 2, columns, width):
            stone = slice(top, top + height), slice(max(left, 0), max(left + width, 0))
            paint[stone] *= 1 + random.normal(0, variety) + random.normal(0, variety / 4, 3)
            paint[top : top + height, max(left, 0) : max(left + joint, 0)] = color
        paint[top : top + joint] = color
    return paint.clip(0, 1)


def bricks(rows: int, columns: int, seed: int, color: Color) -> np.ndarray:
    return _joints(plaster(rows, columns, seed, color, 0.4), 8, 20, 2, seed, (0.6, 0.57, 0.52), 0.1)


def slabs(rows: int, columns: int, seed: int) -> np.ndarray:
    paint = plaster(rows, columns, seed, (0.58, 0.56, 0.52), 0.45)
    return _joints(paint, 64, 64, 3, seed, (0.33, 0.32, 0.3), 0.07)


def planks(rows: int, columns: int, seed: int) -> np.ndarray:
    fibres = cv2.resize(_grain(rows, columns // 12 + 8, seed), (columns, rows))[..., None]
    paint = np.array((0.55, 0.38, 0.24)) * (1 + 0.5 * fibres)
    return _joints(paint.astype(np.float32), 40, 340, 2, seed, (0.25, 0.17, 0.1), 0.09)


def books(rows: int, columns: int, seed: int, shelves: int) -> np.ndarray:
    """Boards with spines of all colours between them."""
    random = np.random.default_rng(seed)
    paint = plaster(rows, columns, seed, (0.14, 0.1, 0.07))
    height = rows // shelves
    for top in range(0, height * shelves, height):
        left = 6
        while left < columns - 16:
            width, high = int(random.integers(7, 20)), int(height * random.uniform(0.55, 0.86))
            spine = paint[top + height - 6 - high : top + height - 6, left : left + width]
            shade = 1 - 0.5 * np.abs(np.linspace(-1, 1, spine.shape[1])) ** 3
            spine[:] = random.uniform(0.1, 0.75, 3) * shade[:, None]
            spine[high // 8 : high // 8 + 3] = random.uniform(0.4, 0.9)
            spine[high // 2 : high // 2 + high // 6, 2:-2] *= random.uniform(0.5, 1.8)
            left += width + (random.random() < 0.12) * 14
        paint[top + height - 6 : top + height] = (0.42, 0.28, 0.17)
    paint[:, :5] = paint[:, -5:] = (0.42, 0.28, 0.17)
    return paint.clip(0, 1)


def sky(rows: int, columns: int, seed: int) -> np.ndarray:
    clouds = cv2.GaussianBlur(_grain(rows, columns, seed), (0, 0), 3)[..., None]
    cover = (0.5 + 4.5 * clouds).clip(0, 1)
    height = np.linspace(0, 1, rows)[:, None, None]
    blue = np.array((0.36, 0.56, 0.86)) * (1 - height) + np.array((0.8, 0.88, 0.95)) * height
    return np.asarray(blue + cover * (np.array((0.96, 0.96, 0.97)) - blue), np.float32)


def facade(floors: int, bays: int, seed: int, color: Color, brick: bool) -> np.ndarray:
    """Windows in rows above a shop, 150 texels a floor and 110 a bay."""
    random = np.random.default_rng(seed)
    rows, columns = 150 * floors, 110 * bays
    wall = bricks if brick else plaster
    paint = wall(rows, columns, seed, color)
    paint *= (0.9 + 0.2 * np.linspace(1, 0, rows))[:, None, None].astype(np.float32)
    trim = np.array(color) * 0.45 + 0.45
    for top in range(0, rows - 150, 150):
        paint[top : top + 8] = trim
        paint[top + 8 : top + 11] *= 0.55
        for left in range(0, columns, 110):
            _window(paint[top + 30 : top + 125, left + 27 : left + 82], trim, random)
            paint[top + 125 : top + 131, left + 21 : left + 89] = trim
            paint[top + 131 : top + 135, left + 23 : left + 87] *= 0.5
    _shop(paint[-150:], random)
    return paint.clip(0, 1)


def _window(part: np.ndarray, trim: np.ndarray, random: np.random.Generator) -> None:
    part[:] = trim * 0.95
    for left in (4, 29):
        for top, bottom in ((4, 31), (35, 90)):
            pane = part[top:bottom, left : left + 22]
            slope = np.linspace(1, 0.3, pane.shape[0])[:, None, None]
            pane[:] = slope * np.array((0.3, 0.4, 0.5)) * random.uniform(0.5, 1.2)
    if random.random() < 0.6:  # curtains
        width = int(random.integers(6, 17))
        folds = (0.7 + 0.15 * np.sin(np.arange(width) * 1.8))[:, None] * (0.9, 0.87, 0.8)
        part[35:90, 4 : 4 + width] = folds
        part[35:90, 51 - width : 51] = folds[::-1]


def _shop(part: np.ndarray, random: np.random.Generator) -> None:
    """Glass, a door and a striped awning."""
    columns = part.shape[1]
    color = random.uniform(0.1, 0.6, 3)
    part[20:] = color * 0.5
    glass = part[45:131, 12 : columns - 65]
    glass[:] = np.linspace(0.5, 0.12, len(glass))[:, None, None] * np.array((0.8, 0.95, 1.0))
    for left in range(0, glass.shape[1] - 20, 23):  # wares
        glass[-int(random.integers(10, 45)) :, left + 3 : left + 19] = random.uniform(0.15, 0.85, 3)
    glass[:, ::50] = color
    door = part[42:148, columns - 56 : columns - 12]
    door[:] = color * 1.3
    door[7:60, 6:-6] = (0.16, 0.2, 0.24)
    door[62:66, 4:10] = (0.85, 0.75, 0.4)
    stripe = (np.arange(columns) // 11) % 2 == 0
    part[20:44][:, stripe] = 0.92
    part[20:44][:, ~stripe] = random.uniform(0.1, 0.8, 3)
    part[44:48] *= 0.4
