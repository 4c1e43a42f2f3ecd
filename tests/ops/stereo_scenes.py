"""Rendered pictures with known depth, for the tests of the plane sweep."""

import numpy as np

PLANES = 1 / np.linspace(1 / 3, 1 / 12, 32)


def noise(points, seed):
    """A smooth random texture of world points (..., 2): waves up to 0.9 cycles a unit."""
    random = np.random.default_rng(seed)
    value = np.zeros(points.shape[:-1])
    for _ in range(40):
        wave = random.uniform(-1, 1, 2) * 2 * np.pi * 0.9
        value += np.sin(points @ wave + random.uniform(0, 2 * np.pi))
    return value


def camera(x=0.0, y=0.0, z=0.0, turn=0.0):
    """World to camera of a camera at (x, y, z), turned about the vertical (radians)."""
    view = np.eye(4)
    view[:3, :3] = [[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]]
    view[:3, 3] = -view[:3, :3] @ (x, y, z)
    return view


def render(view, k, size, box=(-1.0, 0.5, -0.8, 0.7), near=4.0, far=8.0, slope=0.15):
    """A textured rectangle at z = near before a slanted wall: grey picture, exact depth along z."""
    width, height = size
    y, x = np.mgrid[:height, :width] + 0.5
    rays = np.stack((x, y, np.ones_like(x)), -1) @ np.linalg.inv(k).T @ view[:3, :3]
    centre = -view[:3, :3].T @ view[:3, 3]
    # Wall: z = far + slope * x; rectangle: z = near.
    wall = (far + slope * centre[0] - centre[2]) / (rays[..., 2] - slope * rays[..., 0])
    front = (near - centre[2]) / rays[..., 2]
    at_wall, at_front = (centre + rays * t[..., None] for t in (wall, front))
    inside = (at_front[..., 0] > box[0]) & (at_front[..., 0] < box[1])
    inside &= (at_front[..., 1] > box[2]) & (at_front[..., 1] < box[3])
    value = np.where(inside, noise(1.6 * at_front[..., :2], 1), noise(at_wall[..., :2], 2))
    point = np.where(inside[..., None], at_front, at_wall)
    depth = point @ view[2, :3] + view[2, 3]
    return np.clip(128 + 22 * value, 0, 255).astype(np.uint8), depth


def scene(size=(64, 48), offsets=(-2, -1, 1, 2), baseline=0.25, focal=1.1):
    """Pictures (1 + S, H, W), cameras and the reference's exact depth. Cameras also turn."""
    k = np.array([[focal * size[0], 0, size[0] / 2], [0, focal * size[0], size[1] / 2], [0, 0, 1]])
    views = [camera()]
    views += [camera(baseline * o, 0.03 * o, 0.05 * o, 0.01 * o) for o in offsets]
    rendered = [render(view, k, size) for view in views]
    images = np.stack([image for image, _ in rendered])
    return images, np.stack(views), np.stack([k] * len(views)), rendered[0][1]


def sweep(torch, ops, images, views, ks, depths, **options):
    images = torch.as_tensor(images)[:, None]
    cameras = torch.as_tensor(views), torch.as_tensor(ks)
    depths = torch.as_tensor(np.asarray(depths))
    return ops.plane_sweep(images[0], images[1:], *cameras, depths, **options)
