"""Looking at Gaussians in a notebook or a browser."""

import importlib
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steadyview.report.pictures import data_url
from steadyview.scene.columns import color_of_harmonic
from steadyview.scene.densify import rotate
from steadyview.scene.gaussians import Gaussians
from steadyview.scene.views import orbit

__all__ = ["Orbit", "orbit_gaussians", "view_gaussians"]


@dataclass(frozen=True)
class Orbit:
    """Images from around; in a notebook it turns, without a running kernel too.

    Attributes:
        frames: `(N, H, W, 3)` uint8 RGB.
        seconds: of one turn.
    """

    frames: np.ndarray = field(repr=False)
    seconds: float = 6.0

    def _repr_html_(self) -> str:
        count, height, width = self.frames.shape[:3]
        strip = data_url(self.frames.transpose(1, 0, 2, 3).reshape(height, count * width, 3))
        name = f"orbit-{secrets.token_hex(4)}"
        return (
            f"<style>.{name} {{ width: {width}px; height: {height}px; border-radius: 6px;"
            f" background: url({strip}) 0 0 / {count * width}px {height}px;"
            f" animation: {name} {self.seconds}s steps({count}) infinite; }}"
            f".{name}:hover {{ animation-play-state: paused; }}"
            f"@keyframes {name} {{ to {{ background-position: -{count * width}px 0; }} }}</style>"
            f'<div class="{name}" role="img" aria-label="{count} views from around"></div>'
        )


@torch.no_grad()
def orbit_gaussians(
    gaussians: Gaussians,
    *,
    frames: int = 24,
    width: int = 320,
    height: int = 240,
    elevation: float = 15.0,
    up: Sequence[float] = (0.0, -1.0, 0.0),
    background: Sequence[float] = (1.0, 1.0, 1.0),
) -> Orbit:
    """Renders the set from around, so far away that nine tenths of it are seen.

    Args:
        gaussians: not empty.
        frames: how many views.
        width, height: of each, in pixels.
        elevation: how high the cameras stand, in degrees.
        up: the axis of the turn; the default is for a world whose y points down.
        background: colour behind.

    Raises:
        ValueError: the set is empty.
    """
    centre, radius = _where(gaussians)
    focal = 1.2 * min(width, height)
    viewmats = orbit(centre, 3 * radius, frames, elevation=elevation, up=up)
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    images = [gaussians.render(v, K, width, height, background=background) for v in viewmats]
    stacked = torch.stack(images).clamp(0, 1) * 255
    return Orbit(stacked.round().to(torch.uint8).cpu().numpy())


def _where(gaussians: Gaussians) -> tuple[Tensor, float]:
    """The middle of what can be seen, and the radius that nine tenths of it lie within.

    Raises:
        ValueError: nothing can be seen.
    """
    seen = gaussians.means[gaussians.means.isfinite().all(1) & (gaussians.opacities > 0.05)]
    if not len(seen):
        raise ValueError("gaussians must have one that can be seen")
    centre = seen.median(0).values
    radius = float(torch.quantile((seen - centre).norm(dim=1)[:: len(seen) // 100_000 + 1], 0.9))
    return centre, radius or 1.0


def view_gaussians(gaussians: Gaussians, *, port: int = 8080, **options: Any) -> Any:
    """Shows a set: by viser, in which one moves about, if it is installed (`steadyview[viewer]`).

    Args:
        gaussians: not empty.
        port: where viser listens.
        options: of `orbit_gaussians`, used without viser.

    Returns:
        A `viser.ViserServer`, whose page is to be opened, or an `Orbit`. viser has no view
        dependence.

    Raises:
        ValueError: the set is empty.
    """
    try:
        viser: Any = importlib.import_module("viser")
    except ImportError:
        return orbit_gaussians(gaussians, **options)
    shown = gaussians.detach().to("cpu", torch.float32)
    centre, radius = _where(shown)
    server = viser.ViserServer(port=port)
    server.scene.set_up_direction("-y")
    stand = torch.linalg.inv(orbit(centre, 3 * radius, 1)[0])[:3, 3]
    server.initial_camera.position = stand.numpy()
    server.initial_camera.look_at = centre.numpy()
    server.initial_camera.fov = math.radians(45)
    axes = [  # columns of rotation times scale
        rotate(shown.quaternions, torch.diag_embed(shown.scales)[:, :, i]) for i in range(3)
    ]
    stretched = torch.stack(axes, 2)
    server.scene.add_gaussian_splats(
        "/gaussians",
        centers=shown.means.numpy(),
        covariances=(stretched @ stretched.transpose(1, 2)).numpy(),
        rgbs=color_of_harmonic(shown.harmonics[:, 0].numpy()).clip(0, 1),
        opacities=shown.opacities[:, None].numpy(),
    )
    return server
