"""What stands where in the Gaussian scenes. The camera begins at 0, 1.6 units above the ground."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .painting import (
    asphalt,
    books,
    facade,
    photograph,
    planks,
    plaster,
    sky,
    slabs,
)  # fmt: skip
from .splat_sets import Sheet, SplatSet, box, cloud

__all__ = ["PLACES"]

Place = tuple[list[Sheet], list[SplatSet]]

GROUND = 1.6
_WALLS = ((0.62, 0.33, 0.25), (0.82, 0.76, 0.62), (0.5, 0.53, 0.56), (0.75, 0.6, 0.45),
          (0.55, 0.28, 0.22), (0.7, 0.74, 0.72))  # fmt: skip


def street() -> Place:
    """Houses with shops, trees, vans, a billboard with a photograph, and three walkers."""
    trees = [(-4.3, 8.0), (4.3, 11.0), (-4.3, 15.0), (4.3, 21.0), (-4.3, 25.0), (4.3, 30.0)]
    vans = [(2.9, 7.6, 0), (2.9, 15.5, 1), (-2.9, 19.5, 2), (2.9, 27.0, 3)]
    shadows = (*((x, z, 1.7) for x, z in trees), *((x, z + 2, 1.6) for x, z, _ in vans))
    sheets = [
        Sheet((-200, -110, 150), (400, 0, 0), (0, 125, 0), sky(256, 512, 1)),
        Sheet((-3.6, GROUND, 60), (7.2, 0, 0), (0, 0, -58), asphalt(512, 640, 2), (1, 9.5),
              shadows=shadows),
        *_houses(-1, 10), *_houses(1, 40),
        Sheet((-16, GROUND - 9, 60), (32, 0, 0), (0, 9, 0), facade(3, 10, 70, _WALLS[1], False)),
    ]  # fmt: skip
    for side in (-1, 1):
        left = 3.6 if side > 0 else -6.0
        sheets += [
            Sheet((left, GROUND - 0.12, 60), (2.4, 0, 0), (0, 0, -58), slabs(512, 256, 3),
                  (1, 12), shadows=shadows),
            Sheet((side * 3.6, GROUND - 0.12, 2), (0, 0, 58), (0, 0.12, 0),
                  plaster(8, 512, 4, (0.6, 0.6, 0.6)), (16, 1), light=0.8),
        ]  # fmt: skip
    others: list[SplatSet] = []
    for i, (x, z) in enumerate(trees):
        bark = plaster(128, 32, 80 + i, (0.32, 0.25, 0.19), 1.0)
        sheets += box((x, GROUND - 1.3, z), (0.22, 2.6, 0.22), bark, bark, bark)
        others += _crown(x, GROUND - 3.4, z, 90 + 10 * i)
    for x, z, i in vans:
        sheets += _van(x, z, i)
    poster = np.pad(photograph(), ((12, 12), (12, 12), (0, 0)), constant_values=0.12)
    metal = plaster(32, 32, 6, (0.3, 0.32, 0.34))
    sheets += box((-4.6, -0.5, 6.4), (2.0, 1.2, 0.1), poster, metal, metal)
    sheets += box((-4.6, 0.85, 6.44), (0.1, 1.5, 0.06), metal, metal, metal)
    for i, (x, z, velocity) in enumerate(
        [
            (-1.6, 9.0, (0.55, 0.0, 0.0)),
            (4.9, 13.0, (0.0, 0.0, -0.9)),
            (0.8, 24.0, (-0.5, 0.0, 0.0)),
        ]
    ):
        others += _walker(x, z, 300 + 10 * i, velocity)
    return sheets, others


def _houses(side: int, seed: int) -> list[Sheet]:
    """A row of them along the street, each with the wall that shows above a lower neighbour."""
    random = np.random.default_rng(seed)
    kinds = []
    for i in range(5):
        floors, bays = int(random.integers(2, 5)), int(random.integers(3, 5))
        color = _WALLS[(i + seed) % len(_WALLS)]
        gable = plaster(128, 128, seed + i, color)
        kinds.append((floors, bays, facade(floors, bays, seed + i, color, i % 2 == 0), gable))
    sheets: list[Sheet] = []
    z, x = 1.0, 6.0 * side
    while z < 60:
        floors, bays, paint, gable = kinds[len(sheets) // 2 % 5]
        width, height = 2.2 * bays, 3.0 * floors
        top = GROUND - height
        if side < 0:
            front = Sheet((x, top, z), (0, 0, width), (0, height, 0), paint, light=1.05)
        else:
            front = Sheet((x, top, z + width), (0, 0, -width), (0, height, 0), paint, light=0.72)
        start = x if side > 0 else x - 8
        sheets += [front, Sheet((start, top, z), (8, 0, 0), (0, height, 0), gable, light=0.85)]
        z += width
    return sheets


def _van(x: float, z: float, seed: int) -> list[Sheet]:
    """With windows, lights and wheels painted on it."""
    color = np.random.default_rng(seed + 60).uniform(0.15, 0.85, 3)
    rows, columns = 210, 460
    side = np.tile(color.astype(np.float32), (rows, columns, 1))
    side *= np.linspace(1.15, 0.7, rows)[:, None, None].astype(np.float32)
    side[30:95, 250:430] = (0.13, 0.16, 0.2)
    side[30:95, 338:342] = side[120:124, :] = color * 0.5
    down, right = np.mgrid[:rows, :columns]
    for middle in (90, 370):
        away = np.hypot(down - 175, right - middle)
        side[away < 42] = 0.07
        side[away < 20] = 0.55
    end = np.tile(color.astype(np.float32), (210, 190, 1))
    end[25:95, 15:175] = np.linspace(0.4, 0.12, 70)[:, None, None]
    end[120:145, 10:40] = end[120:145, 150:180] = (0.7, 0.12, 0.1)
    end[150:170, 65:125] = 0.9
    end[178:] = 0.1
    roof = plaster(64, 64, seed, tuple(color))
    return box((x, GROUND - 1.0, z + 2.3), (1.9, 2.0, 4.6), end, side, roof)


def _crown(x: float, y: float, z: float, seed: int) -> list[SplatSet]:
    random = np.random.default_rng(seed)
    greens = [(0.3, 0.44, 0.16), (0.36, 0.5, 0.2), (0.25, 0.38, 0.15)]
    return [
        cloud(
            tuple(np.add((x, y, z), random.normal(0, 0.42, 3))), tuple(random.uniform(0.6, 1.0, 3)),
            greens[i % 3], count=1100, width=0.055, seed=seed + i,
        )
        for i in range(5)
    ]  # fmt: skip


def _walker(x: float, z: float, seed: int, velocity: tuple[float, float, float]) -> list[SplatSet]:
    random = np.random.default_rng(seed)
    coat, legs = random.uniform(0.15, 0.9, 3), random.uniform(0.1, 0.4, 3)
    parts = [
        ((x, GROUND - 1.62, z), (0.11, 0.14, 0.12), (0.8, 0.6, 0.5), 250),
        ((x, GROUND - 1.7, z + 0.03), (0.12, 0.1, 0.13), (0.2, 0.13, 0.08), 200),
        ((x, GROUND - 1.15, z), (0.24, 0.36, 0.17), tuple(coat), 700),
        ((x - 0.11, GROUND - 0.42, z), (0.1, 0.44, 0.12), tuple(legs), 400),
        ((x + 0.11, GROUND - 0.42, z), (0.1, 0.44, 0.12), tuple(legs), 400),
    ]
    return [
        cloud(centre, radii, color, count=count, width=0.035, seed=seed + i, velocity=velocity,
              variety=0.12)
        for i, (centre, radii, color, count) in enumerate(parts)
    ]  # fmt: skip


def room() -> Place:
    """Shelves of books, a window on the photograph, a table, a sofa, a rug and a plant."""
    wall, wood = (0.8, 0.76, 0.68), plaster(64, 64, 8, (0.45, 0.3, 0.18), 0.8)
    cloth = plaster(256, 256, 9, (0.28, 0.38, 0.5), 0.5)
    shelf, view = books(720, 540, 10, 6), photograph()
    corners = ((-1.5, 3.6, 1.3), (2.4, 4.2, 1.5), (-3.2, 6.0, 1.0))
    sheets = [
        Sheet((-7, -3.4, 11), (14, 0, 0), (0, 7.9, 0), view, light=1.1),  # out of the window
        Sheet((-4, GROUND, 6.5), (8, 0, 0), (0, 0, -6.4), planks(400, 680, 11), (2, 1.6),
              shadows=corners),
        Sheet((-4, -1.3, 0.1), (8, 0, 0), (0, 0, 6.4), plaster(256, 256, 12, (0.9, 0.89, 0.86))),
        *_wall_with_window(plaster(512, 512, 13, wall, 0.5)),
        Sheet((-4, -1.3, 0.1), (0, 0, 6.4), (0, 2.9, 0), plaster(512, 512, 14, wall, 0.5)),
        Sheet((4, -1.3, 6.5), (0, 0, -6.4), (0, 2.9, 0), plaster(512, 512, 15, wall, 0.5),
              light=0.75),
        Sheet((-1.9, GROUND - 0.01, 5.0), (3.4, 0, 0), (0, 0, -2.2), _rug()),
        *box((-3.2, 0.35, 6.2), (1.5, 2.4, 0.5), shelf, wood, wood),
        *box((3.75, 0.35, 4.9), (0.5, 2.4, 1.5), wood, shelf, wood),
        *box((-0.3, 1.12, 4.1), (1.5, 0.06, 0.8), wood, wood, planks(160, 300, 16)),
        *box((2.2, 1.25, 4.4), (1.5, 0.6, 0.8), cloth, cloth, cloth),
        *box((2.2, 0.95, 4.75), (1.5, 1.1, 0.2), cloth, cloth, cloth),
        *box((0.1, 0.98, 4.0), (0.36, 0.2, 0.24), books(64, 110, 17, 1), wood, cloth),
    ]  # fmt: skip
    for x in (-0.95, 0.35):
        for z in (3.8, 4.4):
            sheets += box((x, 1.38, z), (0.07, 0.46, 0.07), wood, wood, wood)
    for x, y, part in ((2.1, -0.6, view[:, :300]), (3.05, -0.5, view[60:, 330:560])):
        framed = np.pad(part, ((14, 14), (14, 14), (0, 0)), constant_values=0.1)
        height = 0.75 * part.shape[0] / part.shape[1]
        sheets.append(Sheet((x - 0.375, y, 6.47), (0.75, 0, 0), (0, height, 0), framed))
    pot = plaster(64, 64, 18, (0.62, 0.34, 0.22))
    sheets += box((-1.6, 1.4, 3.4), (0.34, 0.4, 0.34), pot, pot, pot)
    plant = [
        cloud((-1.6 + dx, 0.85 - dy, 3.4), (0.3, 0.34, 0.3), (0.27, 0.46, 0.18), count=700,
              width=0.035, seed=400 + i)
        for i, (dx, dy) in enumerate(((0.0, 0.0), (-0.16, 0.22), (0.18, 0.3)))
    ]  # fmt: skip
    return sheets, plant


def _wall_with_window(paint: np.ndarray) -> list[Sheet]:
    """The far wall in four parts about a window, and the window's bars."""
    bar = plaster(32, 32, 19, (0.93, 0.92, 0.9))
    parts = [
        ((-4, -1.3), (2.3, 2.9)), ((1.3, -1.3), (2.7, 2.9)),
        ((-1.7, -1.3), (3.0, 0.4)), ((-1.7, 0.7), (3.0, 0.9)),
    ]  # fmt: skip
    walls = [
        Sheet((x, y, 6.5), (w, 0, 0), (0, h, 0), paint, (w / 3, h / 3)) for (x, y), (w, h) in parts
    ]
    frame: list[Sheet] = []
    for x in (-1.7, -0.2, 1.3):
        frame += box((x, -0.1, 6.5), (0.08, 1.6, 0.1), bar, bar, bar)
    for y in (-0.9, 0.7):
        frame += box((-0.2, y, 6.5), (3.0, 0.08, 0.14), bar, bar, bar)
    return [*walls, *frame]


def _rug() -> np.ndarray:
    down, right = np.mgrid[:256, :384]
    rings = np.minimum(np.minimum(down, 255 - down), np.minimum(right, 383 - right)) // 16
    colors = np.array(((0.55, 0.15, 0.13), (0.85, 0.76, 0.6), (0.2, 0.22, 0.36)), np.float32)
    paint = colors[rings % 3]
    paint[((down // 12 + right // 12) % 5 == 0) & (rings > 2)] = colors[1]
    return np.asarray(paint * plaster(256, 384, 20, (1.0, 1.0, 1.0), 0.4), np.float32)


PLACES: dict[str, Callable[[], Place]] = {"street": street, "room": room}
