"""Pictures of layers: textured planes at known depths, laid over each other."""

from __future__ import annotations

import cv2
import numpy as np

from ..errors import OptionError
from .camera import Camera, Keep
from .scenes import Layer, Scene
from .textures import holes, picture_of, texture_of

__all__ = ["LayeredView"]

#: Grey of whatever no layer covers; the farthest layer is larger than any view.
SKY = 128.0


class LayeredView:
    """What the camera sees of a scene of layers."""

    def __init__(self, scene: Scene, camera: Camera) -> None:
        self._size, self._K = camera.size, camera.K
        self._layers = [
            _Plane(layer, camera.size[0] / 2, camera.K[0, 0], 100 * scene.seed + i)
            for i, layer in enumerate(scene.layers)
        ]

    def homographies(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """As `View.homographies`, exact on the farthest layer."""
        far = self._layers[0]
        return np.array(
            [
                far.pixels_from_plane(self._K, b) @ np.linalg.inv(far.pixels_from_plane(self._K, a))
                for a, b in zip(first, second, strict=True)
            ]
        )

    def picture(self, time: float, viewmats: np.ndarray, keep: Keep | None) -> np.ndarray:
        """`(H, W, 3)` float32, as `View.picture`."""
        width, height = self._size
        x = (np.arange(width, dtype=np.float32) + 0.5)[None]
        y = (np.arange(height, dtype=np.float32) + 0.5)[:, None]
        picture = np.zeros((height, width, 3), np.float32)
        picture[..., 0] = SKY
        depth = np.full((height, width), np.inf, np.float32)
        hidden = np.zeros((height, width), bool)
        for plane in self._layers:
            to_pixels = np.array([plane.pixels_from_plane(self._K, v) for v in viewmats])
            top, bottom, left, right = plane.box(to_pixels, time, self._size)
            if top >= bottom or left >= right:
                continue
            part = (slice(top, bottom), slice(left, right))
            from_pixels = np.linalg.inv(to_pixels)
            if len(from_pixels) > 1:
                from_pixels = from_pixels[top:bottom]
            u, v = x[:, left:right], y[top:bottom]
            closeness = _affine(from_pixels[:, 2], u, v)  # the last coordinate is 1 / depth
            texels = plane.texels_from_plane(time) @ from_pixels
            at_x = _affine(texels[:, 0], u, v) / closeness - np.float32(0.5)
            at_y = _affine(texels[:, 1], u, v) / closeness - np.float32(0.5)
            seen = cv2.remap(
                plane.texture, at_x, at_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
            )
            inside = closeness > 0
            if plane.layer.size is not None:
                columns, lines = plane.texels - 0.5
                inside &= (at_x >= -0.5) & (at_y >= -0.5) & (at_x <= columns) & (at_y <= lines)
            if plane.layer.cutout:
                cover = np.where(inside, np.clip(seen[..., 3], 0, 1), np.float32(0))
                picture[part] += cover[..., None] * (seen[..., :3] - picture[part])
                inside = cover > 0.5
            else:
                np.copyto(picture[part], seen, where=inside[..., None])
            if keep is not None:
                depth[part][inside] = 1 / closeness[inside]
                hidden[part][inside] = plane.layer.velocity != (0.0, 0.0)
        if keep is not None:
            keep(depth, hidden)
        return picture


class _Plane:
    """A layer with its texture, and where it is."""

    def __init__(self, layer: Layer, half_view: float, focal: float, seed: int) -> None:
        self.layer = layer
        unit = half_view * layer.depth / focal  # scene units of half the view's width at its depth
        extent = layer.size or (5.0, 4.0)
        self.shape = np.array(extent) * unit  # scene units
        self.centre = np.array(layer.centre) * unit
        self.velocity = np.array(layer.velocity) * unit
        # A texel is a pixel where the layer is first seen nearest; more for what slopes there.
        ends = self.centre + self.shape / 2 * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
        nearest = (layer.depth + ends @ layer.slope).min()
        if nearest <= 0:
            raise OptionError(f"slope must leave the layer before the camera, got {layer.slope}")
        steeper = 1 + np.abs(layer.slope) * np.abs(ends).max(axis=0) / nearest
        columns, rows = (max(round(s), 8) for s in self.shape * steeper * focal / nearest)
        if layer.picture is None:
            self.texture = texture_of(rows, columns, seed, layer.contrast)
        else:
            self.texture = picture_of(layer.picture, rows, columns, layer.contrast)
        if layer.cutout:
            self.texture = np.dstack([self.texture, holes(rows, columns, seed)])
        self.texels = np.array([columns, rows])

    def pixels_from_plane(self, K: np.ndarray, viewmat: np.ndarray) -> np.ndarray:
        """Homography from the plane's (x, y), in scene units of the world, to pixels."""
        rotation, shift = viewmat[:3, :3], viewmat[:3, 3]
        right, down = self.layer.slope
        columns = [
            rotation[:, 0] + rotation[:, 2] * right,
            rotation[:, 1] + rotation[:, 2] * down,
            rotation[:, 2] * self.layer.depth + shift,
        ]
        return np.asarray(K @ np.stack(columns, axis=1))

    def box(
        self, to_pixels: np.ndarray, time: float, size: tuple[int, int]
    ) -> tuple[int, int, int, int]:
        """Rows and columns (from, to) that the layer can cover; `to_pixels` `(k, 3, 3)`."""
        width, height = size
        if self.layer.size is None:
            return 0, height, 0, width
        middle = self.centre + self.velocity * time
        signs = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
        corners = np.column_stack([middle + self.shape / 2 * signs, np.ones(4)])
        seen = corners @ to_pixels.transpose(0, 2, 1)
        if seen[..., 2].min() <= 0:  # reaches behind the camera
            return 0, height, 0, width
        places = (seen[..., :2] / seen[..., 2:]).reshape(-1, 2)
        first = np.clip(np.floor(places.min(axis=0)) - 1, 0, size).astype(int)
        last = np.clip(np.ceil(places.max(axis=0)) + 1, 0, size).astype(int)
        return int(first[1]), int(last[1]), int(first[0]), int(last[0])

    def texels_from_plane(self, time: float) -> np.ndarray:
        scale = self.texels / self.shape
        corner = self.centre + self.velocity * time - self.shape / 2
        return np.array(
            [[scale[0], 0, -scale[0] * corner[0]], [0, scale[1], -scale[1] * corner[1]], [0, 0, 1]]
        )


def _affine(row: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`row` (1 or H, 3) times (x, y, 1): `(H, W)` float32."""
    a, b, c = row.astype(np.float32).T[:, :, None]
    return np.asarray(a * x + (b * y + c))
