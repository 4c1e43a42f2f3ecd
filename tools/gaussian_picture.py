"""Makes the README's picture of Gaussians: views of a scan, held out, beside what is fitted.

Usage: python tools/gaussian_picture.py SCAN.ply [steps]

The README's is PLAYBOT by Stephane Agullo (sa3d.fr, CC-BY-4.0), from PlayCanvas's examples: 60
views of it are photographs to the fit, which begins with 4,000 rough grey points.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from steadyview import Gaussians, fit_gaussians
from steadyview.scene.views import orbit

TARGET = Path(__file__).resolve().parents[1] / "docs" / "images" / "gaussians.png"
WIDTH, HEIGHT, WHITE = 360, 300, (1.0, 1.0, 1.0)


def main(scan: str, steps: int = 1000) -> None:
    truth = Gaussians.read(scan)
    draw = np.random.default_rng(0)
    centre = torch.tensor([0.0, -0.35, 0.0])
    rings = [orbit(centre, 3.1, 20, elevation=e) for e in (5, 20, 40)]
    viewmats = torch.cat([*rings, orbit(centre, 3.1, 9, elevation=12)])
    K = torch.tensor([[420.0, 0, WIDTH / 2], [0, 420, HEIGHT / 2], [0, 0, 1]])
    Ks = K.expand(len(viewmats), 3, 3)
    with torch.no_grad():
        images = [truth.render(v, K, WIDTH, HEIGHT, background=WHITE) for v in viewmats]
    photos = torch.stack(images).clamp(0, 1).permute(0, 3, 1, 2)
    rough = truth.means[draw.choice(len(truth), 4000, replace=False)].numpy()
    rough = rough + draw.normal(scale=0.02, size=rough.shape)
    init = Gaussians.from_points(rough, np.full(rough.shape, 0.5))

    def tell(step: int, of: int, loss: float, count: int) -> None:
        if step % 100 == 0:
            print(f"{step} of {of}: loss {loss:.4f}, {count} Gaussians", flush=True)

    result = fit_gaussians(
        photos[:60], viewmats[:60], Ks[:60], init, steps=steps, sh_degree=2, background=WHITE,
        lr_harmonics=0.01, progress=tell,
    )  # fmt: skip
    psnr = result.psnr(photos[60:], viewmats[60:], Ks[60:])
    print(
        f"{result.gaussians}, {steps / result.seconds:.1f} steps/s, held out {psnr.mean():.1f} dB "
        f"({psnr.min():.1f} to {psnr.max():.1f})"
    )
    shown = [2, 8]
    views = viewmats[60:][shown]
    found = result.gaussians.render(views, Ks[:2], WIDTH, HEIGHT, background=WHITE).clamp(0, 1)
    held = photos[60:][shown].permute(0, 2, 3, 1)
    row = torch.cat([held[0], found[0], held[1], found[1]], 1)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((row * 255).round().byte().numpy()).save(TARGET, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
