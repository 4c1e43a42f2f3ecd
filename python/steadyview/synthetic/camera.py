"""Where the camera of a synthetic clip is: along a smooth way, and shaken by a hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from .scenes import Scene

__all__ = ["Camera", "Keep", "View"]

#: Takes the depth `(H, W)` float32 of one frame, and what moves in it, `(H, W)` bool.
Keep = Callable[[np.ndarray, np.ndarray], None]


class View(Protocol):
    """What a camera sees of a scene."""

    def picture(self, time: float, viewmats: np.ndarray, keep: Keep | None) -> np.ndarray:
        """Draws the world at a time in seconds.

        Args:
            time: of what moves by itself.
            viewmats: world to camera, `(1, 4, 4)`, or `(H, 4, 4)` for each row.
            keep: gets the truth.

        Returns:
            `(H, W, 3)` float32: Y (0 to 255), Cb and Cr (about zero).
        """

    def homographies(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """`(n, 3, 3)` from pixels at one pose each to those at another, for what is farthest."""


class Camera:
    """One scene's camera at one size of the picture.

    Attributes:
        K: `(3, 3)`, in pixels.
        size: (width, height).
    """

    def __init__(self, scene: Scene, size: tuple[int, int]) -> None:
        self._scene, self.size = scene, size
        width, height = size
        focal = 0.9 * width
        self.K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
        self._shake = _Shake(scene)

    def poses(self, times: np.ndarray, *, shaken: bool) -> np.ndarray:
        """World-to-camera matrices `(n, 4, 4)` at these times in seconds."""
        scene = self._scene
        # The whole way takes four seconds: a pan's speed does not depend on the clip's length.
        way = times / 4
        turn = np.radians(scene.turn) * way[:, None]
        shift = np.array(scene.travel) * way[:, None]
        if shaken:
            angles, move = self._shake.at(times)
            turn, shift = turn + np.radians(angles), shift + move
        matrices = np.tile(np.eye(4), (len(times), 1, 1))
        for i, (pan, tilt, roll) in enumerate(turn):
            rotation = _rotation(2, roll) @ _rotation(0, tilt) @ _rotation(1, -pan)
            matrices[i, :3, :3] = rotation
            matrices[i, :3, 3] = -rotation @ shift[i]
        return matrices

    def row_poses(self, time: float, *, shaken: bool) -> np.ndarray:
        """Poses `(height or 1, 4, 4)` as each row of the frame about this time is read; the steady
        camera reads all at once."""
        if not (self._scene.rolling_shutter and shaken):
            return self.poses(np.array([time]), shaken=shaken)
        rows = (np.arange(self.size[1]) + 0.5) / self.size[1] - 0.5  # of the read-out's time
        read_out = self._scene.rolling_shutter / self._scene.frame_rate
        return self.poses(time + rows * read_out, shaken=shaken)


class _Shake:
    """A hand's shake: random sines in a band, weaker the faster, and a walker's steps."""

    def __init__(self, scene: Scene, sines: int = 24) -> None:
        random = np.random.default_rng(scene.seed)
        low, high = scene.band
        self._frequency = np.exp(random.uniform(np.log(low), np.log(high), (sines, 6)))
        self._phase = random.uniform(0, 2 * np.pi, (sines, 6))
        weight = 1 / self._frequency
        self._weight = weight / np.sqrt((weight**2).sum(axis=0) / 2)
        pan, tilt, roll, shift = scene.shake
        self._deviation = np.array([pan, tilt, roll, *[shift / 1000] * 3])
        self._walks = shift > 0

    def at(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pan, tilt and roll `(n, 3)` in degrees, and shift `(n, 3)` in scene units."""
        waves = np.sin(2 * np.pi * self._frequency * times[:, None, None] + self._phase)
        moved = (waves * self._weight).sum(axis=1) * self._deviation
        if self._walks:
            moved[:, 4] += 1.4 * self._deviation[4] * np.sin(2 * np.pi * 1.9 * times)
        return moved[:, :3], moved[:, 3:]


def _rotation(axis: int, angle: float) -> np.ndarray:
    """Turns by an angle in radians about the x, y or z axis."""
    a, b = [i for i in range(3) if i != axis]
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix
