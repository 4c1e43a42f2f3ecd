"""The planar warp against OpenCV's remap, and the tensor warps of tensor_warps.py.

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
from tensor_warps import measure_tensors, show_tensors

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


def maps_of(width: int, height: int) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    matrix = matrix_from_similarity(ROW, (width, height))
    return remap_maps(matrix, width, height, width, height), matrix


def tensors_of(quick: bool) -> list[dict[str, Any]]:
    names = ("360p",) if quick else ("720p", "1080p")
    return measure_tensors({name: SIZES[name] for name in names}, maps_of, quick)


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
    show_tensors(tensors)
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
    planar, tensors = measure_planar(arguments.quick), tensors_of(arguments.quick)
    show(planar, tensors)
    if arguments.json:
        facts = {**machine_facts(), "opencv": cv2.__version__, "isa": _core.active_isa()}
        result = {"machine": facts, "limit": LIMIT, "planar": planar, "tensors": tensors}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
