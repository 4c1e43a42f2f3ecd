"""Images with depth, and cameras to see them from."""

import numpy as np


def turned(yaw=0.0, pitch=0.0, shift=(0, 0, 0)):
    """Camera from world."""
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]]) @ [
        [cy, 0, sy], [0, 1, 0], [-sy, 0, cy]
    ]  # fmt: skip
    matrix[:3, 3] = shift
    return matrix


CAMERAS = {
    "baseline": turned(shift=(-0.3, 0, 0)),
    "turned": turned(0.06, -0.04, (0.2, 0.1, -0.15)),
    "near": turned(0.02, 0.01, (0, 0.05, -0.8)),  # cracks
    "away": turned(shift=(0, 0, 1.2)),  # pixels land on each other
}


def scene(torch, shape=(2, 3, 17, 23), dtype=None, seed=0):
    """A slope with a block before it; pixels of all colours."""
    N, _, H, W = shape
    rng = np.random.default_rng(seed)
    image = torch.from_numpy(rng.random(shape)).to(dtype or torch.float64)
    y, x = np.mgrid[:H, :W]
    depth = 4 + 0.05 * y + 0.03 * x + rng.normal(0, 0.05, (N, H, W))
    depth[:, H // 4 : 3 * H // 4, W // 4 : 2 * W // 3] -= 2.0
    depth[rng.random(depth.shape) < 0.03] = 2.2  # isolated
    K = torch.tensor([[20.0, 0, W / 2 + 0.3], [0, 21.0, H / 2 - 0.2], [0, 0, 1]]).expand(N, 3, 3)
    return image, torch.from_numpy(depth).float(), torch.eye(4).expand(N, 4, 4), K


def rig(torch, *names):
    return torch.from_numpy(np.stack([CAMERAS[name] for name in names]))


def intrinsics(torch, height, width):
    return torch.tensor([[[8.0, 0, width / 2], [0, 8.0, height / 2], [0, 0, 1]]])


def homographies(torch, N, V, D):
    rng = np.random.default_rng(4)
    matrix = np.eye(3) + rng.normal(
        0, [[0.05, 0.05, 0.8]] * 2 + [[4e-3, 4e-3, 0.05]], (N, V, D, 3, 3)
    )
    return torch.from_numpy(matrix)
