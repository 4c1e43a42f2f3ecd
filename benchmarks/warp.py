"""The planar warp against OpenCV's remap, and the tensor warp against torch's grid_sample.

    python benchmarks/warp.py [--quick] [--json FILE]

The same frame, the same similarity (zoom 0.95, 0.6 degrees). For OpenCV the maps are ready made,
which favours it. "remap+conversion" is what a stabiliser does with decoded YUV: to BGR, remap, back
to YUV; "remap of planes" maps each plane by itself, without conversions (10 bit: the only way).
Milliseconds of processor time a frame (all threads together), the least of interleaved rounds: wall
time would favour the shorter task on a busy machine. Limit: at least
twice as fast as remap+conversion. The floor is copying the planes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from machine import machine_facts
from steadyview import _core
from steadyview.render.frames import FrameWarper, matrix_from_similarity
from steadyview.video.info import PixelFormat

LIMIT = 2.0
SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}
FLAGS = {
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos3": cv2.INTER_LANCZOS4,  # the nearest it has
}
ROW = (0.95, 0.01, 3.3, -1.7)


def picture(width: int, height: int, depth: int) -> list[np.ndarray]:
    """Smooth noise as the planes of a 4:2:0 frame; one buffer, as OpenCV wants it."""
    noise = np.random.default_rng(0).integers(0, 256, (height * 3 // 2, width)).astype(np.uint8)
    sheet = cv2.GaussianBlur(noise, (0, 0), 1.5).astype(np.uint16) << (depth - 8)
    sheet = sheet.astype(np.uint8 if depth == 8 else np.uint16)
    half = (height // 2, width // 2)
    chroma = sheet[height:].reshape(2, *half)
    return [sheet, sheet[:height], chroma[0], chroma[1]]


def remap_maps(matrix: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    source = [row[0] * x + row[1] * y + row[2] - 0.5 for row in matrix[:2]]
    return source[0].astype(np.float32), source[1].astype(np.float32)


def contenders(
    width: int, height: int, depth: int, interpolation: str
) -> dict[str, Callable[[], Any]]:
    """Name -> one frame's work."""
    sheet, *planes = picture(width, height, depth)
    matrix = matrix_from_similarity(ROW, (width, height))
    layout = PixelFormat("yuv420p" if depth == 8 else "yuv420p10le", 3, depth, (1, 1))
    warper = FrameWarper(width, height, layout, interpolation=interpolation)
    out = warper.warp(planes, matrix)
    displacement = np.random.default_rng(1).normal(0, 0.5, (2, 5, 5))
    luma, chroma = (
        remap_maps(matrix, width, height),
        remap_maps(matrix_from_similarity(ROW, (width // 2, height // 2)), width // 2, height // 2),
    )
    flag, edge = FLAGS[interpolation], cv2.BORDER_REPLICATE

    def remap_planes() -> None:
        for plane, maps in zip(planes, (luma, chroma, chroma), strict=True):
            cv2.remap(plane, *maps, flag, borderMode=edge)

    def remap_with_conversion() -> None:
        image = cv2.cvtColor(sheet, cv2.COLOR_YUV2BGR_I420)
        warped = cv2.remap(image, *luma, flag, borderMode=edge)
        cv2.cvtColor(warped, cv2.COLOR_BGR2YUV_I420)

    def copy() -> None:
        for target, plane in zip(out, planes, strict=True):
            np.copyto(target, plane)

    work = {
        "ours": lambda: warper.warp(planes, matrix, None, out),
        "ours with displacement": lambda: warper.warp(planes, matrix, displacement, out),
        "remap of planes": remap_planes,
        "copy": copy,
    }
    if depth == 8:
        work["remap+conversion"] = remap_with_conversion
    return work


def measure(work: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Least milliseconds of processor time of each, interleaved: all threads together."""
    least = dict.fromkeys(work, float("inf"))
    for _ in range(rounds):
        for name, task in work.items():
            started = time.process_time()
            task()
            least[name] = min(least[name], 1e3 * (time.process_time() - started))
    return least


def measure_planar(quick: bool) -> list[dict[str, Any]]:
    rows = []
    for size in ("360p",) if quick else SIZES:
        for depth in (8, 10):
            for interpolation in FLAGS:
                work = contenders(*SIZES[size], depth, interpolation)
                for threads in (1,):
                    _core.set_num_threads(threads)
                    cv2.setNumThreads(threads)
                    times = measure(work, 3 if quick else 5)
                    peer = times.get("remap+conversion", times["remap of planes"])
                    rows.append(
                        {
                            "size": size, "bits": depth, "interpolation": interpolation,
                            "threads": threads, "ms": {k: round(v, 3) for k, v in times.items()},
                            "ratio": round(peer / times["ours"], 2),
                        }
                    )  # fmt: skip
    return rows


def measure_tensors(quick: bool) -> list[dict[str, Any]]:
    """float32, 3 channels: forward, and forward with backward by the image."""
    try:
        import torch

        from steadyview.ops import backward_warp
    except ImportError as error:
        print(f"tensor warp not measured: {error}")
        return []
    width, height = SIZES["360p" if quick else "720p"]
    image = torch.rand(1, 3, height, width)
    matrix = torch.from_numpy(matrix_from_similarity(ROW, (width, height)))[None]
    maps = remap_maps(matrix[0].numpy(), width, height)
    grid = torch.from_numpy(
        np.stack([(2 * maps[0] + 1) / width - 1, (2 * maps[1] + 1) / height - 1], -1)
    )[None]
    rows = []
    for mode in ("bilinear", "bicubic"):

        def ours(source: torch.Tensor, mode: str = mode) -> torch.Tensor:
            return backward_warp(source, matrix, interpolation=mode)

        def theirs(source: torch.Tensor, mode: str = mode) -> torch.Tensor:
            return torch.nn.functional.grid_sample(
                source, grid, mode=mode, padding_mode="border", align_corners=False
            )

        def both_ways(warp: Callable[[torch.Tensor], torch.Tensor]) -> None:
            source = image.clone().requires_grad_()
            warp(source).sum().backward()

        work = {
            "ours": lambda ours=ours: ours(image),
            "grid_sample": lambda theirs=theirs: theirs(image),
            "ours+backward": lambda ours=ours: both_ways(ours),
            "grid_sample+backward": lambda theirs=theirs: both_ways(theirs),
        }
        times = measure(work, 2 if quick else 5)
        rows.append(
            {
                "size": f"{width}x{height}", "interpolation": mode,
                "threads": torch.get_num_threads(),
                "ms": {k: round(v, 2) for k, v in times.items()},
            }
        )  # fmt: skip
    return rows


def show(planar: list[dict[str, Any]], tensors: list[dict[str, Any]]) -> None:
    columns = (
        "ours", "ours with displacement", "remap+conversion", "remap of planes", "copy"
    )  # fmt: skip
    print("frame  bits interpolation threads | " + " | ".join(columns) + " | ratio")
    for row in planar:
        cells = " | ".join(
            f"{row['ms'][c]:{len(c)}.2f}" if c in row["ms"] else " " * len(c) for c in columns
        )
        print(
            f"{row['size']:6} {row['bits']:4} {row['interpolation']:13} {row['threads']:7} | "
            f"{cells} | {row['ratio']:.1f}"
        )
    for row in tensors:
        print(f"tensor {row['size']} float32 {row['interpolation']}: {row['ms']}")
    worst = min(row["ratio"] for row in planar if row["bits"] == 8)
    print(f"least ratio to remap+conversion {worst:.1f}, wanted {LIMIT:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    planar, tensors = measure_planar(arguments.quick), measure_tensors(arguments.quick)
    show(planar, tensors)
    if arguments.json:
        facts = {**machine_facts(), "opencv": cv2.__version__, "isa": _core.active_isa()}
        result = {"machine": facts, "limit": LIMIT, "planar": planar, "tensors": tensors}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
