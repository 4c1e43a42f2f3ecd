"""Gaussians in front of a camera, for the tests of the C++ room `gaussians`."""

import pytest

pytest.importorskip("torch")
WIDTH, HEIGHT = 70, 45  # neither a whole number of tiles nor of blocks
NAMES = ("means", "quats", "scales", "opacities", "colors", "viewmats", "Ks", "backgrounds")


def scene(torch, count=60, seed=1, channels=3, size=0.2, dtype=None):
    """Gaussians in front of a camera that is turned and shifted."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    z = 1 + 4 * uniform(count, 1)
    turn = torch.tensor([[1.0, 0.02, -0.03], [-0.02, 1.0, 0.04], [0.03, -0.04, 1.0]])
    viewmat = torch.eye(4, dtype=torch.float64)
    viewmat[:3, :3] = torch.linalg.qr(turn.double())[0]
    viewmat[:3, :3] *= torch.diagonal(viewmat[:3, :3]).sign()
    viewmat[:3, 3] = torch.tensor([0.1, -0.05, 0.2])
    values = {
        "means": torch.cat([(uniform(count, 2) - 0.5) * z * 1.2, z], 1),
        "quats": torch.randn((count, 4), generator=generator, dtype=torch.float64),
        "scales": 0.02 + size * uniform(count, 3),
        "opacities": uniform(count),
        "colors": uniform(count, channels),
        "viewmats": viewmat[None],
        "Ks": torch.tensor([[[60.0, 0, 36], [0, 55, 22], [0, 0, 1]]], dtype=torch.float64),
        "backgrounds": uniform(1, channels),
    }
    return {name: value.to(dtype or torch.float64) for name, value in values.items()}


def camera(values, index=0):
    names = ("means", "quats", "scales", "opacities", "colors")
    return [*(values[name] for name in names), values["viewmats"][index], values["Ks"][index]]


def assert_images_close(result, expected, atol):
    """Rounding may carry a pixel over a border, alpha = 1/255 or transmittance 1e-4: few may be
    off, and by no more than such a step."""
    error = (result.double() - expected).abs()
    scale = expected.abs().max().clamp(min=1)
    assert error.max() <= 1.1 / 255 * scale
    assert (error > atol * scale).double().mean() < 3e-3
