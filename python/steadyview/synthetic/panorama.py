"""A picture of all directions, seen from inside."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from .camera import Camera, Keep
from .textures import whole_picture

__all__ = ["PanoramaView", "turned_pixels"]


class PanoramaView:
    """What the camera sees of an equirectangular image, which is infinitely far.

    Args:
        path: the image; its middle is straight ahead, its left and right ends meet behind.
        camera: turns in it.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, path: str | Path, camera: Camera) -> None:
        image = whole_picture(path)
        # A texel should not be smaller than a pixel: it would flicker.
        columns = round(2 * np.pi * camera.K[0, 0])
        if columns < image.shape[1]:
            rows = round(image.shape[0] * columns / image.shape[1])
            image = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
        self._image = np.concatenate([image, image[:, :1]], axis=1)  # across where the ends meet
        self._camera = camera
        width, height = camera.size
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        self._rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(camera.K).T

    def picture(self, time: float, viewmats: np.ndarray, keep: Keep | None) -> np.ndarray:
        """`(H, W, 3)` float32, as `View.picture`."""
        world = np.einsum("hwi,hij->hwj", self._rays, np.broadcast_to(
            viewmats[:, :3, :3], (len(self._rays), 3, 3)))  # fmt: skip
        right, down, ahead = np.moveaxis(world, -1, 0)
        rows, columns = self._image.shape[0], self._image.shape[1] - 1
        around = (np.arctan2(right, ahead) / (2 * np.pi) + 0.5) * columns - 0.5
        below = (np.arctan2(down, np.hypot(right, ahead)) / np.pi + 0.5) * rows - 0.5
        seen = cv2.remap(
            self._image, (around % columns).astype(np.float32), below.astype(np.float32),
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        if keep is not None:
            shape = seen.shape[:2]
            keep(np.full(shape, np.inf, np.float32), np.zeros(shape, bool))
        return np.asarray(seen, np.float32)

    def homographies(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return turned_pixels(self._camera.K, first, second)


def turned_pixels(K: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`(n, 3, 3)`: from pixels at one pose each to those at another, for what is infinitely far."""
    turn = second[:, :3, :3] @ first[:, :3, :3].transpose(0, 2, 1)
    return np.asarray(K @ turn @ np.linalg.inv(K))
