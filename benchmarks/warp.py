"""The planar warp against OpenCV's remap, and the tensor warp against torch's grid_sample.

    python benchmarks/warp.py [--quick] [--json FILE]

The same frame, the same similarity (zoom 0.95, 0.6 degrees). For OpenCV the maps are ready made,
which favours it. "remap+conversion" is what a stabiliser does with decoded frames: to a packed
picture (BGR for 8-bit 4:2:0, else the planes side by side in each pixel, chroma enlarged where it
is subsampled), remap, and back. "remap of planes" maps each plane by itself without any conversion.
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


FORMATS = {
    ("4:2:0", 8): PixelFormat("yuv420p", 3, 8, (1, 1)),
    ("4:2:2", 8): PixelFormat("yuv422p", 3, 8, (1, 0)),
    ("4:4:4", 8): PixelFormat("yuv444p", 3, 8, (0, 0)),
    ("RGB", 8): PixelFormat("gbrp", 3, 8, (0, 0), is_rgb=True),
    ("4:2:0", 10): PixelFormat("yuv420p10le", 3, 10, (1, 1)),
    ("4:2:2", 10): PixelFormat("yuv422p10le", 3, 10, (1, 0)),
    ("4:4:4", 10): PixelFormat("yuv444p10le", 3, 10, (0, 0)),
    ("RGB", 10): PixelFormat("gbrp10le", 3, 10, (0, 0), is_rgb=True),
}


def picture(width: int, height: int, layout: PixelFormat) -> tuple[np.ndarray, list[np.ndarray]]:
    """Smooth noise in one sheet of memory, as OpenCV wants 4:2:0, and its planes."""
    shapes = [layout.plane_shape(i, width, height) for i in range(layout.planes)]
    rows = sum(rows * columns for rows, columns in shapes) // width
    noise = np.random.default_rng(0).integers(0, 256, (rows, width)).astype(np.uint8)
    sheet = cv2.GaussianBlur(noise, (0, 0), 1.5).astype(np.uint16) << (layout.depth - 8)
    sheet = sheet.astype(layout.dtype)
    ends = np.cumsum([rows * columns for rows, columns in shapes])[:-1]
    planes = [p.reshape(s) for p, s in zip(np.split(sheet.ravel(), ends), shapes, strict=True)]
    return sheet, planes


def remap_maps(
    matrix: np.ndarray, columns: int, rows: int, width: int, height: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels of a plane of (columns, rows) look, for a matrix of the whole frame."""
    across, down = width / columns, height / rows
    x, y = np.meshgrid(across * (np.arange(columns) + 0.5), down * (np.arange(rows) + 0.5))
    source = [row[0] * x + row[1] * y + row[2] for row in matrix[:2]]
    return (
        (source[0] / across - 0.5).astype(np.float32),
        (source[1] / down - 0.5).astype(np.float32),
    )


def contenders(
    width: int, height: int, layout: PixelFormat, interpolation: str
) -> dict[str, Callable[[], Any]]:
    """Name -> one frame's work."""
    sheet, planes = picture(width, height, layout)
    matrix = matrix_from_similarity(ROW, (width, height))
    warper = FrameWarper(width, height, layout, interpolation=interpolation)
    out = warper.warp(planes, matrix)
    displacement = np.random.default_rng(1).normal(0, 0.5, (2, 5, 5))
    flag, edge = FLAGS[interpolation], cv2.BORDER_REPLICATE
    sizes = [plane.shape[::-1] for plane in planes]
    maps = {
        size: remap_maps(matrix_from_similarity(ROW, (width, height)), *size, width, height)
        for size in set(sizes)
    }

    def remap_planes() -> None:
        for plane, size in zip(planes, sizes, strict=True):
            cv2.remap(plane, *maps[size], flag, borderMode=edge)

    def remap_with_conversion() -> None:
        if layout.name == "yuv420p":
            image = cv2.cvtColor(sheet, cv2.COLOR_YUV2BGR_I420)
        else:
            whole = [
                p if s == sizes[0] else cv2.resize(p, sizes[0])
                for p, s in zip(planes, sizes, strict=True)
            ]
            image = cv2.merge(whole)
        warped = cv2.remap(image, *maps[sizes[0]], flag, borderMode=edge)
        if layout.name == "yuv420p":
            cv2.cvtColor(warped, cv2.COLOR_BGR2YUV_I420)
        else:
            for plane, size in zip(cv2.split(warped), sizes, strict=True):
                if size != sizes[0]:
                    cv2.resize(plane, size, interpolation=cv2.INTER_AREA)

    def copy() -> None:
        for target, plane in zip(out, planes, strict=True):
            np.copyto(target, plane)

    return {
        "ours": lambda: warper.warp(planes, matrix, None, out),
        "ours with displacement": lambda: warper.warp(planes, matrix, displacement, out),
        "remap+conversion": remap_with_conversion,
        "remap of planes": remap_planes,
        "copy": copy,
    }


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
    """4:2:0 at all sizes, the other formats at 720p."""
    _core.set_num_threads(1)
    cv2.setNumThreads(1)
    rows = []
    for size in ("360p",) if quick else SIZES:
        for (name, depth), layout in FORMATS.items():
            if name != "4:2:0" and size != ("360p" if quick else "720p"):
                continue
            for interpolation in FLAGS:
                times = measure(contenders(*SIZES[size], layout, interpolation), 3 if quick else 9)
                rows.append(
                    {
                        "size": size, "format": name, "bits": depth, "threads": 1,
                        "interpolation": interpolation,
                        "ms": {k: round(v, 3) for k, v in times.items()},
                        "ratio": round(times["remap+conversion"] / times["ours"], 2),
                        "ratio_to_planes": round(times["remap of planes"] / times["ours"], 2),
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
    maps = remap_maps(matrix[0].numpy(), width, height, width, height)
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
    print("frame format bits interpolation | " + " | ".join(columns) + " | ratio | to planes")
    for row in planar:
        cells = " | ".join(f"{row['ms'][c]:{len(c)}.2f}" for c in columns)
        print(
            f"{row['size']:5} {row['format']:6} {row['bits']:4} {row['interpolation']:13} | "
            f"{cells} | {row['ratio']:5.1f} | {row['ratio_to_planes']:.1f}"
        )
    for row in tensors:
        print(f"tensor {row['size']} float32 {row['interpolation']}: {row['ms']}")
    worst = min(row["ratio"] for row in planar)
    strict = min(row["ratio_to_planes"] for row in planar)
    print(
        f"least ratio to remap+conversion {worst:.1f}, wanted {LIMIT:.1f}; "
        f"to remap of the planes alone {strict:.1f}"
    )


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
