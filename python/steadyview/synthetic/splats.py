"""Pictures of a set of 3-D Gaussians, by our own renderer. Importing this needs torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, OptionError
from ..ops import rasterization
from ..scene.columns import harmonic_of_color, logit
from ..scene.gaussians import Gaussians
from ..scene.views import look_at
from .camera import Camera, Keep
from .panorama import turned_pixels
from .places import PLACES
from .scenes import GAUSSIAN_SETS, Splats
from .splat_sets import SplatSet, sheet_splats
from .textures import luma_and_chroma

__all__ = ["SplatView"]

#: Behind everything.
SKY = (0.5, 0.5, 0.5)
#: Scene units between the camera and what it looks at in a file of Gaussians.
DISTANCE = 6.0
#: A rolling shutter is drawn in so many bands of rows, each with its own pose.
BANDS = 12


class SplatView:
    """What the camera sees of a set of Gaussians.

    Raises:
        InputError: the file cannot be read, or holds nothing.
        OptionError: an unknown set, or a camera that looks nowhere.
    """

    def __init__(self, splats: Splats, camera: Camera, seconds: float) -> None:
        self._camera = camera
        self._camera_of_file, self._scale = np.eye(4), 1.0
        if splats.source in GAUSSIAN_SETS:
            self._keep(*_made(str(splats.source), camera, seconds))
        else:
            found = Gaussians.read(splats.source)
            if not len(found):
                raise InputError(f"{splats.source}: has no Gaussians")
            self._keep(found, torch.zeros_like(found.means))
            self._camera_of_file, self._scale = _first_view(splats, found, camera)

    def _keep(self, found: Gaussians, velocities: Tensor) -> None:
        self._set, self._velocities = found, velocities
        self._moves = (self._velocities != 0).any(1)
        self._scales, self._opacities = self._set.scales, self._set.opacities
        self._reach = self._scales.amax(1)

    def picture(self, time: float, viewmats: np.ndarray, keep: Keep | None) -> np.ndarray:
        """`(H, W, 3)` float32, as `View.picture`."""
        means = self._set.means + self._velocities * time if self._moves.any() else self._set.means
        mode = "RGB" if keep is None else "RGB+ED"
        image, alphas = self._draw(means, viewmats, mode, self._set.harmonics, self._set.sh_degree)
        if keep is not None:
            depth = image[..., 3] * self._scale
            depth[alphas <= 0.5] = np.inf
            moving = np.zeros(depth.shape, bool)
            if self._moves.any():
                marks = self._moves[:, None].float().expand(-1, 3)
                moving = self._draw(means, viewmats, "RGB", marks, None)[0][..., 0] > 0.5
            keep(depth, moving)
        return luma_and_chroma(255 * image[..., :3].clip(0, 1))

    def homographies(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return turned_pixels(self._camera.K, first, second)

    def _draw(
        self, means: Tensor, viewmats: np.ndarray, mode: str, colors: Tensor, degree: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Image `(H, W, X)` and alphas `(H, W)`; a rolling shutter band by band."""
        # A camera of the scene, in the file's units: what it sees is the same.
        scaled = viewmats.copy()
        scaled[:, :3, 3] /= self._scale
        poses = torch.tensor(scaled @ self._camera_of_file, dtype=torch.float32)
        height = self._camera.size[1]
        rows = height if len(poses) == 1 else -(-height // BANDS)
        images, covers = [], []
        for first in range(0, height, rows):
            count = min(rows, height - first)
            pose = poses[(first + count // 2) % len(poses)]
            near = slice(None) if rows == height else self._near_rows(means, pose, first, count)
            image, alphas = self._draw_rows(means, pose, mode, colors, degree, near, first, count)
            images.append(image)
            covers.append(alphas[..., 0])
        return torch.cat(images).numpy(), torch.cat(covers).numpy()

    def _near_rows(self, means: Tensor, pose: Tensor, first: int, count: int) -> Tensor:
        """Which Gaussians can touch some rows; a rolling shutter would draw all many times."""
        K = self._camera.K
        down, ahead = (means @ pose[1:3, :3].T + pose[1:3, 3]).unbind(1)
        reach = 4 * self._reach * float(max(K[0, 0], K[1, 1])) / ahead.clamp(min=1e-6) + 4
        away = (K[1, 1] * down / ahead + K[1, 2] - (first + count / 2)).abs()
        return ((away < count / 2 + 2 * reach) | (ahead < 2 * self._reach)).nonzero()[:, 0]

    def _draw_rows(
        self, means: Tensor, pose: Tensor, mode: str, colors: Tensor, degree: int | None,
        near: Any, first: int, count: int,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        K = torch.tensor(self._camera.K, dtype=torch.float32)
        K[1, 2] -= first
        found, sky = self._set, torch.tensor(SKY if degree is not None else (0.0,) * 3)[None]
        with torch.no_grad():
            image, alphas, _ = rasterization(
                means[near], found.quaternions[near], self._scales[near], self._opacities[near],
                colors[near], pose[None], K[None], self._camera.size[0], count, render_mode=mode,
                packed=False, sh_degree=degree, backgrounds=sky,
            )  # fmt: skip
        return image[0], alphas[0]


def _made(name: str, camera: Camera, seconds: float) -> tuple[Gaussians, Tensor]:
    """A set of ours as this camera needs it for so long, and its velocities `(N, 3)`."""
    sheets, others = PLACES[name]()
    poses = camera.poses(np.linspace(0, seconds, 5), shaken=False)
    walls = SplatSet.cat([sheet_splats(sheet, camera, poses) for sheet in sheets])
    made = SplatSet.cat([walls, *others])
    harmonics = harmonic_of_color(made.colors[:, None])
    columns = (made.means, made.quaternions, np.log(made.scales), logit(made.opacities), harmonics)
    found = Gaussians(*(torch.tensor(column, dtype=torch.float32) for column in columns))
    velocities = torch.tensor(made.velocities)
    poses = camera.poses(np.linspace(0, seconds, 7), shaken=False)
    seen = torch.ones(len(found), dtype=torch.bool)
    seen[: len(walls.means)] = _not_hidden(found[: len(walls.means)], camera, poses)
    return found[seen], velocities[seen]


def _not_hidden(found: Gaussians, camera: Camera, poses: np.ndarray) -> Tensor:
    """`(N,)`: half of all walls always are, behind houses and furniture, and would cost time."""
    width, height = camera.size
    K = camera.K * [[0.75, 1, 1], [1, 0.75, 1], [1, 1, 1]]  # wide enough for the shake
    viewmats = torch.tensor(poses, dtype=torch.float32)
    Ks = torch.tensor(K, dtype=torch.float32)[None]
    seen = torch.zeros(len(found), dtype=torch.bool)
    for viewmat in viewmats:
        depth, alphas, _ = rasterization(
            found.means, found.quaternions, found.scales, found.opacities, found.means,
            viewmat[None], Ks, width, height, render_mode="ED", packed=False,
        )  # fmt: skip
        depth[alphas < 0.9] = torch.inf
        farthest = torch.nn.functional.max_pool2d(depth[0, ..., 0][None], 7, 1, 3)[0]
        x, y, z = (found.means @ viewmat[:3, :3].T + viewmat[:3, 3]).unbind(1)
        column = (K[0, 0] * x / z + K[0, 2]).long().clamp(0, width - 1)
        row = (K[1, 1] * y / z + K[1, 2]).long().clamp(0, height - 1)
        # Generous: along the ground a pixel can be an eighth of the way.
        seen |= (z > 0) & (z < 1.3 * farthest[row, column] + 0.3)
    return seen


def _first_view(splats: Splats, found: Gaussians, camera: Camera) -> tuple[np.ndarray, float]:
    """`(4, 4)` camera from the file's world when the clip begins, and scene units in its unit."""
    means = found.means.numpy().astype(np.float64)
    means = means[np.isfinite(means).all(1)]
    if not len(means):
        raise InputError(f"{splats.source}: has no Gaussian at a finite place")
    low, high = np.percentile(means, [5, 95], axis=0)
    target = (low + high) / 2 if splats.target is None else np.array(splats.target)
    if splats.eye is None:
        reach = np.percentile(np.abs(means - target), 95, axis=0) + 1e-6
        field = np.array(camera.size) / 2 / camera.K[0, 0]
        away = max(reach[0] / field[0], reach[1] / field[1]) + reach[2]
        eye = target - [0, 0, away]
    else:
        eye = np.array(splats.eye, np.float64)
    try:
        view = look_at(torch.as_tensor(eye), torch.as_tensor(target), splats.up)
    except ValueError as error:
        raise OptionError(f"splats: eye, target and up must span a view, got {splats}") from error
    return np.asarray(view.double()), DISTANCE / float(np.linalg.norm(target - eye))
