"""Gaussian rendering on the CPU, against gsplat's tensor operations.

    python benchmarks/gaussians.py [--quick] [--json FILE]

The scene: means uniform over the view frustum and 5 % beyond its borders, depth 2 to 10, lognormal
scales of about 0.5 px a side, opacity 0.05 to 0.95, black background, 60 degrees. Milliseconds, the
least of the rounds, by the wall's clock and of processor time (which a loaded machine lengthens
less); the stages are projection, harmonics and raster (which sorts, bins and draws). Limits: 13.6
ms forward and 33 ms forward + backward for 100k at 1280x720 on two cores (a 20th and a 10th of
OpenSplat's CPU kernel on a like machine), 35 % of 3.3e9 blends a second on one core in the raster
stage, 1.5 GB for a process that takes gradients of 1M Gaussians at 1920x1080.

What a blend is, in three ways: `drawn` pixels change (alpha at least 1/255); `peers` is the count
that the limit in peers.md was made for (5 M for 100k at 720p), pixels of the square that reaches
ceil(3 sigma) of the longer axis; `evaluated` is what our kernel looks at, blocks of 4 x 4 pixels.

The scene's splats are small, 16 pixels a splat. What they cost beyond their blends is told by sets
of larger ones (2 and 4 times as wide, half and a quarter as many and as opaque, so that no pixel is
done early), and by a frame with next to nothing in it: images have to be written. `net` is the
share without the time of that frame.

Why not 35 %: of 6.3 ms of one thread (the kernel alone, a fast hour), that is 24 % by the peers'
count, 0.85 make the splats, 1.5 sort and deal them out to tiles, and 3.9 draw: of these 0.6 set
tiles up and write them (in the first cache), 2.2 blend, and 1 waits for memory, as the image has 18
MB and the splats 6. A block of 16 pixels takes 13 cycles, what its arithmetic allows (4.4e9 blends
a second); a splat in a tile has 3.2 of them and takes 20 more, for how many blocks come next is
foreseen badly. If blends cost nothing, it were 31 %. What was tried besides stands in the log of
csrc/gaussians/raster_rows.cpp and raster_cpu.cpp.

gsplat (`pip install --no-deps gsplat jaxtyping wadler-lindig`) is asked for its projection and
harmonics in tensor operations only: its rasteriser in them needs a CUDA extension.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from machine import machine_facts
from steadyview import ops

LIMITS = {"forward_ms": 13.6, "both_ms": 33.0, "blends_share": 0.35, "memory_mb": 1500}
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


def least(work: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Milliseconds by the wall's clock and of processor time, each of its best round; the first,
    which warms up, is not counted."""
    work()
    wall = cpu = math.inf
    for _ in range(rounds):
        start, used = time.perf_counter(), time.process_time()
        work()
        wall = min(wall, time.perf_counter() - start)
        cpu = min(cpu, time.process_time() - used)
    return 1e3 * wall, 1e3 * cpu


def count_blends(meta: dict[str, Any], width: int, height: int) -> dict[str, int]:
    """Pixels that count as blended, over all splats, in the three ways; estimated from some 5,000
    splats, that is to 1 or 2 %."""
    seen = (meta["radii"] > 0).all(-1).nonzero(as_tuple=True)
    step = max(1, len(seen[0]) // 5000)
    seen = tuple(index[::step] for index in seen)
    means, conics, opacities = (meta[k][seen] for k in ("means2d", "conics", "opacities"))
    a, b, c = conics.unbind(-1)
    # Squared distances: to where alpha falls to 1/255, and three standard deviations.
    cut = 2 * (255 * opacities).log()
    det = a * c - b * b
    reach_x, reach_y = (cut * c / det).sqrt(), (cut * a / det).sqrt()
    blocks = torch.ones_like(a)
    for k, (reach, size) in enumerate(((reach_x, width), (reach_y, height))):
        low = (means[:, k] - reach + 0.5).floor().clamp(0, size - 1)
        high = (means[:, k] + reach - 0.5).floor().clamp(0, size - 1)
        blocks = blocks * ((high / 4).floor() - (low / 4).floor() + 1).clamp(min=0)
    middle = (a + c) / 2
    smallest = middle - (middle**2 - det).clamp(min=0).sqrt()  # of the conic: 1 / sigma^2
    radius = (3 / smallest.sqrt()).ceil()
    square = torch.ones_like(a)
    for k, size in enumerate((width, height)):
        low = (means[:, k] - radius).floor().clamp(0, size)
        high = (means[:, k] + radius + 1).floor().clamp(0, size)
        square = square * (high - low)
    drawn = 0
    furthest = int(torch.maximum(reach_x, reach_y).max()) + 1
    for y in range(-furthest, furthest + 1):
        for x in range(-furthest, furthest + 1):
            pixel = means.floor() + torch.tensor([x + 0.5, y + 0.5])
            dx, dy = (pixel - means).unbind(-1)
            inside = (pixel > 0).all(-1) & (pixel[:, 0] < width) & (pixel[:, 1] < height)
            inside &= a * dx * dx + c * dy * dy + 2 * b * dx * dy <= cut
            drawn += int(inside.sum())
    peers = int(square.sum())
    counts = {"drawn": drawn, "peers": peers, "evaluated": 16 * int(blocks.sum())}
    return {name: step * count for name, count in counts.items()}


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
    harmonics = lambda: ops.spherical_harmonics(degree, scene["means"], scene["colors"])  # noqa: E731
    raster_ms, raster_cpu_ms = least(raster, rounds)
    return {
        "project_ms": least(project, rounds)[0],
        "harmonics_ms": least(harmonics, rounds)[0],
        "raster_ms": raster_ms,
        "raster_cpu_ms": raster_cpu_ms,
    }


def measure_sizes(rounds: int) -> list[dict[str, float]]:
    """The raster stage on one thread at 720p, by how wide splats are."""
    torch.set_num_threads(1)
    width, height = SIZES["720p"]
    rows: list[dict[str, float]] = []
    with torch.no_grad():
        for spread, count in ((1, 10), (1, 100_000), (2, 50_000), (4, 25_000)):
            scene = make_scene(count, width, height, 0)
            scene["scales"] *= spread
            scene["opacities"] /= spread
            options: dict[str, Any] = {"width": width, "height": height, "sh_degree": 0}
            _, _, meta = ops.rasterization(**scene, **options, packed=False)
            blends = count_blends(meta, width, height)
            ms = measure_stages(scene, (width, height), 0, meta, rounds)["raster_cpu_ms"]
            row = {"spread": spread, "count": count, "raster_cpu_ms": ms}
            if count > 10:
                empty = rows[0]["raster_cpu_ms"]
                row["pixels_a_splat"] = blends["drawn"] / count
                row["drawn_share"] = blends["drawn"] / (FASTEST * ms / 1e3)
                row["evaluated_share"] = blends["evaluated"] / (FASTEST * ms / 1e3)
                row["net_drawn_share"] = blends["drawn"] / (FASTEST * (ms - empty) / 1e3)
                row["net_evaluated_share"] = blends["evaluated"] / (FASTEST * (ms - empty) / 1e3)
            rows.append(row)
    return rows


def measure_gsplat(
    scene: dict[str, torch.Tensor], size: tuple[int, int], degree: int, rounds: int
) -> dict[str, float]:
    """Milliseconds of gsplat's tensor operations; nothing where it is not installed."""
    try:
        from gsplat.cuda._torch_impl import (
            _fully_fused_projection,
            _quat_scale_to_covar_preci,
            _spherical_harmonics,
        )
    except ImportError:
        return {}

    def project() -> Any:
        covars, _ = _quat_scale_to_covar_preci(scene["quats"], scene["scales"], True, False)
        return _fully_fused_projection(
            scene["means"], covars, scene["viewmats"], scene["Ks"], *size
        )

    return {
        "gsplat_project_ms": least(project, rounds)[0],
        "gsplat_harmonics_ms": least(
            lambda: _spherical_harmonics(degree, scene["means"], scene["colors"]), rounds
        )[0],
    }


def measure_memory(count: int, name: str) -> dict[str, float]:
    """Peak memory in MB of a process of its own that takes gradients once."""
    command = [sys.executable, os.path.abspath(__file__), "--memory", str(count), name]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(output)
    return result


def take_gradients_once(count: int, name: str) -> None:
    def peak() -> float:  # getrusage() would also count the parent's, before exec
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    width, height = SIZES[name]
    scene = make_scene(count, width, height, 0)
    before = peak()
    leaves = {k: v.requires_grad_(k not in ("viewmats", "Ks")) for k, v in scene.items()}
    with torch.no_grad():
        ops.rasterization(**scene, width=width, height=height, sh_degree=0)
    forward = peak()
    image, _, _ = ops.rasterization(**leaves, width=width, height=height, sh_degree=0)
    image.square().sum().backward()
    print(json.dumps({"with_scene": before, "forward": forward, "gradients": peak()}))


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
        forward_ms, forward_cpu_ms = least(forward, rounds)
        theirs = measure_gsplat(scene, (width, height), degree, max(2, rounds // 4))

    def both() -> None:
        for leaf in leaves.values():
            leaf.grad = None
        image, _, _ = ops.rasterization(**leaves, **options, packed=False)
        image.backward(weights)

    blends = count_blends(meta, width, height)
    both_ms, both_cpu_ms = least(both, rounds)
    possible = FASTEST * stages["raster_cpu_ms"] / 1e3  # of one core
    return {
        "count": count, "size": name, "degree": degree, "threads": threads,
        "forward_ms": forward_ms, "forward_cpu_ms": forward_cpu_ms, "both_ms": both_ms,
        "both_cpu_ms": both_cpu_ms, **stages, **theirs, "blends": blends,
        "blends_share": {k: v / possible for k, v in blends.items()},
        "load": os.getloadavg()[0],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        take_gradients_once(int(arguments.memory[0]), arguments.memory[1])
        return
    threads = torch.get_num_threads()
    cases = [(n, size, degree) for n in (100_000, 10_000, 500_000, 1_000_000)
             for size in ("720p", "360p", "1080p") for degree in (0, 3)]  # fmt: skip
    if arguments.quick:
        cases = [(10_000, "360p", 0)]
    print(
        "      N  size SH threads | wall (cpu): forward, both (limits 13.6, 33 on two cores) |"
        " project, harmonics, raster (cpu) | share of 3.3e9 blends/s a core: drawn, peers',"
        " evaluated | gsplat: project, harmonics | load"
    )
    results = []
    for count, size, degree in cases:
        rounds = 2 if arguments.quick else min(20, max(2, 1_000_000 // count))
        for used in sorted({1, threads}) if (count, size) == (100_000, "720p") else [1]:
            row = measure(count, size, degree, used, rounds)
            results.append(row)
            share, blends = row["blends_share"], row["blends"]
            print(
                f"{count:8d} {size:>5s} {degree:2d} {used:6d}  | "
                f"{row['forward_ms']:.1f} ({row['forward_cpu_ms']:.1f}), "
                f"{row['both_ms']:.1f} ({row['both_cpu_ms']:.1f}) | {row['project_ms']:.2f}, "
                f"{row['harmonics_ms']:.2f}, {row['raster_ms']:.2f} ({row['raster_cpu_ms']:.2f}) | "
                + ", ".join(f"{share[k]:.3f} ({blends[k] / 1e6:.2f} M)" for k in share)
                + f" | {row.get('gsplat_project_ms', math.nan):.0f}, "
                f"{row.get('gsplat_harmonics_ms', math.nan):.0f} | {row['load']:.1f}",
                flush=True,
            )
            write(arguments.json, results, [], {})
    sizes = [] if arguments.quick else measure_sizes(20)
    for row in sizes:
        print("raster on one thread:", ", ".join(f"{k} {v:.3g}" for k, v in row.items()))
    memory = {}
    for count, size in [(10_000, "360p")] if arguments.quick else [(1_000_000, "1080p")]:
        memory[f"{count} {size}"] = found = measure_memory(count, size)
        print(f"peak memory of {count} at {size}: {found} MB (limit {LIMITS['memory_mb']})")
    write(arguments.json, results, sizes, memory)


def write(
    path: Path | None,
    results: list[dict[str, Any]],
    sizes: list[dict[str, float]],
    memory: dict[str, Any],
) -> None:
    if path is None:
        return
    result = {
        "machine": machine_facts(),
        "limits": LIMITS,
        "results": results,
        "sizes": sizes,
        "memory_mb": memory,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
