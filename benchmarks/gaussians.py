"""Gaussian rendering on the CPU, against gsplat's tensor operations.

    python benchmarks/gaussians.py [--quick] [--json FILE]

The scene: means uniform over the view frustum and 5 % beyond its borders, depth 2 to 10, lognormal
scales of about 0.5 px a side, opacity 0.05 to 0.95, black background, 60 degrees. Wall
milliseconds, the least of the rounds, with one thread and with all; the stages are projection,
harmonics and raster (which sorts, bins and draws). A blend is a pixel that a splat changes: alpha
at least 1/255. Limits: 13 ms forward and 33 ms forward + backward for 100k at 1280x720 on two cores
(a 20th and a 10th of OpenSplat's CPU kernel on a like machine), and 35 % of 3.3e9 blends a second
on one core in the raster stage. gsplat (`pip install --no-deps gsplat jaxtyping`) is asked for its
projection in tensor operations only: its rasteriser in them needs a CUDA extension.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from machine import machine_facts
from steadyview import ops

LIMITS = {"forward_ms": 13.0, "both_ms": 33.0, "blends_share": 0.35}
FASTEST = 3.3e9  # blends a second on one core
SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}


def make_scene(count: int, width: int, height: int, degree: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    focal = width / 2 / math.tan(math.pi / 6)
    z = 2 + 8 * uniform(count, 1)
    size = torch.tensor([width, height])
    pixels = (uniform(count, 2) * 1.1 - 0.05) * size
    means = torch.cat([(pixels - size / 2) / focal * z, z], 1)
    scales = 0.5 * z / focal * torch.exp(0.5 * torch.randn((count, 3), generator=generator))
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    terms = (degree + 1) ** 2
    return {
        "means": means,
        "quats": torch.randn((count, 4), generator=generator),
        "scales": scales,
        "opacities": 0.05 + 0.9 * uniform(count),
        "colors": uniform(count, terms, 3) - 0.5,
        "viewmats": torch.eye(4)[None],
        "Ks": K[None],
    }


def least(work: Callable[[], Any], rounds: int) -> float:
    """Milliseconds of the fastest round; the first, which warms up, is not counted."""
    work()
    best = math.inf
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return 1e3 * best


def count_blends(meta: dict[str, Any], width: int, height: int) -> int:
    """Pixels at which alpha is at least 1/255, over all splats."""
    seen = (meta["radii"] > 0).all(-1)
    radii, means = meta["radii"][seen], meta["means2d"][seen]
    conics, opacities = meta["conics"][seen], meta["opacities"][seen]
    reach = int(radii.max())
    total = 0
    base = means.floor()
    for y in range(-reach, reach + 1):
        for x in range(-reach, reach + 1):
            pixel = base + torch.tensor([x + 0.5, y + 0.5])
            dx, dy = (pixel - means).unbind(-1)
            a, b, c = conics.unbind(-1)
            alpha = opacities * torch.exp(-(a * dx * dx + c * dy * dy) / 2 - b * dx * dy)
            inside = (pixel > 0).all(-1) & (pixel[:, 0] < width) & (pixel[:, 1] < height)
            total += int((inside & (alpha >= 1 / 255)).sum())
    return total


def measure_stages(scene: dict[str, torch.Tensor], size: tuple[int, int], degree: int,
                   meta: dict[str, Any], rounds: int) -> dict[str, float]:  # fmt: skip
    names = ("quats", "scales", "viewmats", "Ks")
    project = lambda: ops.fully_fused_projection(  # noqa: E731
        scene["means"], None, *(scene[n] for n in names), *size, opacities=scene["opacities"]
    )
    colors = ops.spherical_harmonics(degree, scene["means"], scene["colors"])
    flat = [meta[k].flatten(0, 1) for k in ("means2d", "conics", "opacities", "depths", "radii")]
    means2d, conics, opacities, depths, radii = flat
    first = torch.tensor([0, len(radii)])
    raster = lambda: torch.ops.steadyview.rasterize_gaussians(  # noqa: E731
        means2d,
        None,
        conics,
        colors,
        opacities,
        depths,
        radii,
        None,
        first,
        None,
        None,
        None,
        16,
        *size,
    )
    return {
        "project_ms": least(project, rounds),
        "harmonics_ms": least(
            lambda: ops.spherical_harmonics(degree, scene["means"], scene["colors"]), rounds
        ),
        "raster_ms": least(raster, rounds),
    }


def gsplat_projection(scene: dict[str, torch.Tensor], size: tuple[int, int], rounds: int) -> float:
    """Milliseconds of gsplat's projection in tensor operations; NaN where it is not installed."""
    try:
        from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci
    except ImportError:
        return math.nan

    def project() -> Any:
        covars, _ = _quat_scale_to_covar_preci(scene["quats"], scene["scales"], True, False)
        return _fully_fused_projection(
            scene["means"], covars, scene["viewmats"], scene["Ks"], *size
        )

    return least(project, rounds)


def measure(count: int, name: str, degree: int, threads: int, rounds: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    width, height = SIZES[name]
    scene = make_scene(count, width, height, degree)
    options: dict[str, Any] = {"width": width, "height": height, "sh_degree": degree}
    leaves = {k: v.clone().requires_grad_(k not in ("viewmats", "Ks")) for k, v in scene.items()}
    weights = torch.randn((1, height, width, 3), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        _, _, meta = ops.rasterization(**scene, **options, packed=False)

        def forward() -> Any:
            return ops.rasterization(**scene, **options, packed=False)

        stages = measure_stages(scene, (width, height), degree, meta, rounds)
        forward_ms = least(forward, rounds)
        theirs = gsplat_projection(scene, (width, height), max(2, rounds // 4))

    def both() -> None:
        for leaf in leaves.values():
            leaf.grad = None
        image, _, _ = ops.rasterization(**leaves, **options, packed=False)
        image.backward(weights)

    blends = count_blends(meta, width, height)
    rate = blends / stages["raster_ms"] * 1e3
    return {
        "count": count, "size": name, "degree": degree, "threads": threads,
        "forward_ms": forward_ms, "both_ms": least(both, rounds), **stages,
        "gsplat_project_ms": theirs, "blends": blends, "blends_per_second": rate,
        "blends_share": rate / FASTEST / threads,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    threads = torch.get_num_threads()
    cases = [(100_000, "720p", 0), (100_000, "720p", 3)]
    if arguments.quick:
        cases = [(10_000, "360p", 0)]
    else:
        cases += [(n, size, 0) for n in (10_000, 100_000, 500_000, 1_000_000) for size in SIZES
                  if (n, size) != (100_000, "720p")]  # fmt: skip
    print(
        "      N  size   SH threads | forward    both  (limits 13, 33) | project harmonics raster |"
        " share of 3.3e9 blends/s | gsplat's projection"
    )
    results = []
    for count, size, degree in cases:
        rounds = 2 if arguments.quick else max(3, 3_000_000 // count)
        for used in sorted({1, threads}):
            row = measure(count, size, degree, used, rounds)
            results.append(row)
            print(
                f"{count:8d} {size:>5s} {degree:3d} {used:6d}  | {row['forward_ms']:7.1f} "
                f"{row['both_ms']:7.1f}                   | {row['project_ms']:7.2f} "
                f"{row['harmonics_ms']:8.2f} {row['raster_ms']:7.2f} | {row['blends_share']:.3f} "
                f"({row['blends'] / 1e6:.2f} M blends) | {row['gsplat_project_ms']:.1f}"
            )
    if arguments.json:
        result = {"machine": machine_facts(), "limits": LIMITS, "results": results}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
