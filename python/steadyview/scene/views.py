"""Where cameras look: the extent of a scene, points they see, and cameras around a point."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["look_at", "orbit", "scene_extent", "visible_points"]


def look_at(
    eye: Sequence[float] | Tensor,
    target: Sequence[float] | Tensor,
    up: Sequence[float] | Tensor = (0.0, -1.0, 0.0),
) -> Tensor:
    """A camera at one point that looks at another.

    Args:
        eye, target: `(3,)`, scene units.
        up: `(3,)`; the default is for a world whose y points down, as a camera's.

    Returns:
        `(4, 4)` camera from world, float32.

    Raises:
        ValueError: the points are the same, or up is along the line between them.
    """
    eye, target, up = (torch.as_tensor(x, dtype=torch.float64).cpu() for x in (eye, target, up))
    forward = target - eye
    right = torch.linalg.cross(forward, up)
    if not right.norm() > 1e-9 * forward.norm() * up.norm():
        raise ValueError(f"up {up.tolist()} is along the view from {eye.tolist()}, or that has no"
                         f" length: target {target.tolist()}")  # fmt: skip
    forward, right = forward / forward.norm(), right / right.norm()
    rotation = torch.stack([right, torch.linalg.cross(forward, right), forward])
    camera_from_world = torch.eye(4, dtype=torch.float64)
    camera_from_world[:3, :3] = rotation
    camera_from_world[:3, 3] = -rotation @ eye
    return camera_from_world.float()


def orbit(
    target: Sequence[float] | Tensor,
    radius: float,
    count: int,
    *,
    elevation: float = 15.0,
    up: Sequence[float] | Tensor = (0.0, -1.0, 0.0),
) -> Tensor:
    """Cameras on a circle that look at its inside.

    Args:
        target: `(3,)` what they look at.
        radius: their distance from it, scene units.
        count: how many, evenly around.
        elevation: how high they stand, in degrees.
        up: `(3,)`, the circle's axis.

    Returns:
        `(count, 4, 4)` camera from world, float32.
    """
    centre = torch.as_tensor(target, dtype=torch.float64).cpu()
    axis = torch.as_tensor(up, dtype=torch.float64).cpu()
    axis = axis / axis.norm()
    side = torch.eye(3, dtype=torch.float64)[int(axis.abs().argmin())]
    first = torch.linalg.cross(axis, side)
    first = first / first.norm()
    second = torch.linalg.cross(axis, first)
    height, distance = (f(math.radians(elevation)) for f in (math.sin, math.cos))
    cameras = []
    for index in range(count):
        angle = 2 * math.pi * index / count
        outwards = math.cos(angle) * first + math.sin(angle) * second
        eye = centre + radius * (distance * outwards + height * axis)
        cameras.append(look_at(eye, centre, axis))
    return torch.stack(cameras)


def scene_extent(viewmats: Tensor, points: Tensor) -> float:
    """The size that steps and thresholds are measured in, scene units.

    1.1 times the farthest camera's distance from the mean of all, as is usual; at least a tenth of
    the median distance of the points from the first camera, for cameras that hardly move.
    """
    centres = camera_centres(viewmats)
    spread = 1.1 * float((centres - centres.mean(0)).norm(dim=1).max())
    distances = (points - centres[:1].to(points)).norm(dim=1)
    far = 0.1 * float(distances.nanmedian())
    return max(spread, far if math.isfinite(far) else 0.0) or 1.0


def visible_points(
    images: Tensor, viewmats: Tensor, Ks: Tensor, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Points at random in what the cameras see, with the colours of the pixels they lie behind.

    Pixels are drawn evenly, inverse depths evenly between 0.2 and 1.8 times that of the point which
    the cameras look at.

    Args:
        images: `(C, 3, H, W)` uint8, or floating in [0, 1].
        viewmats: `(C, 4, 4)` camera from world.
        Ks: `(C, 3, 3)`.
        count: how many.
        generator: on the CPU.

    Returns:
        `(count, 3)` points and colours in [0, 1].
    """
    C, _, height, width = images.shape
    viewmats, Ks = viewmats.cpu().double(), Ks.cpu().double()
    camera = torch.randint(C, (count,), generator=generator)
    row = torch.randint(height, (count,), generator=generator)
    column = torch.randint(width, (count,), generator=generator)
    inverse = 0.2 + 1.6 * torch.rand(count, generator=generator, dtype=torch.float64)
    depth = _focus_distance(viewmats) / inverse
    pixels = torch.stack([column + 0.5, row + 0.5, torch.ones(count)], 1).double()
    rays = (torch.linalg.inv(Ks)[camera] @ pixels[:, :, None])[:, :, 0]
    inside = rays * depth[:, None]
    rotations = viewmats[camera, :3, :3]
    shifted = (inside - viewmats[camera, :3, 3])[:, :, None]
    points = (rotations.transpose(1, 2) @ shifted)[:, :, 0]
    place = images.device
    colors = images[camera.to(place), :, row.to(place), column.to(place)].cpu().double()
    return points.float(), (colors / 255 if images.dtype == torch.uint8 else colors).float()


def camera_centres(viewmats: Tensor) -> Tensor:
    """`(C, 3)` in the world."""
    return -(viewmats[:, :3, :3].transpose(1, 2) @ viewmats[:, :3, 3:])[:, :, 0]


def _focus_distance(viewmats: Tensor) -> float:
    """How far in front of the cameras, at the median, the point lies that they look at: that with
    the least squared distances from their optical axes. Cameras that look the same way have none;
    then it is three times their spread, or 1 if they stand in one place."""
    centres, axes = camera_centres(viewmats), viewmats[:, 2, :3]
    spread = float((centres - centres.mean(0)).norm(dim=1).max())
    across = torch.eye(3, dtype=axes.dtype) - axes[:, :, None] * axes[:, None, :]
    normal = across.mean(0)
    if float(torch.linalg.eigvalsh(normal)[0]) > 1e-3:
        focus = torch.linalg.solve(normal, (across @ centres[:, :, None])[:, :, 0].mean(0))
        distance = float(((focus - centres) * axes).sum(1).median())
        if distance > 0:
            return distance
    return 3 * spread if spread > 0 else 1.0
