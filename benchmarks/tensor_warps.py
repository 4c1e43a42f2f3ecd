"""Tensor warps and splats against OpenCV's remap, grid_sample and a splat in tensor operations.

Part of `python benchmarks/warp.py`. Three channels, the similarity of warp.py as a flow; OpenCV has
its maps ready made and writes into a given picture. "both" is forward and backward by image and
flow (grid_sample: grid), of a given cotangent. kornia, where it is installed (pip install --no-deps
kornia kornia_rs: it would bring a torch of its own choice), must show the same picture.
Milliseconds: processor time with one thread (which is fair on a busy machine), and wall time with
two; the least of interleaved rounds.

Where the memory does not return to the system between calls, which is so here after the first
rounds, nothing is lost on fresh pages; where it does, 2700 first touches add 3 ms to a frame of
11 MB. Advising large pages for results halved that with one thread but not with two, and changed
nothing here: not done. Streaming stores of results gained nothing.

Bilinear gradients: grid_sample works on one image with one thread, so that the ratio at two threads
is that of one (2.8) times what the second gives: a busy machine costs it all. Of our one thread at
720p, 2.6 ms are the forward, 3.5 the gradient by image and 1.9 that by flow, where a picture that
fits the cache takes 1.4, 3.1 and 1.6 for as many pixels; the rest of 10.6 is autograd and memory.
The fastest rounds of the whole benchmark have no page faults either.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

LIMITS = {
    "bilinear": 1.2, "bicubic": 2.0, "lanczos3": 4.0, "gradients": 5.0, "splat": 8.0,
}  # fmt: skip
FLAGS = {
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos3": cv2.INTER_LANCZOS4,  # the nearest it has
}
Work = dict[str, Callable[[], Any]]


def softmax_program(torch: Any, image: Any, flow: Any, metric: Any) -> Any:
    """Softmax splat by index_add: what one writes without a kernel."""
    _, _, height, width = image.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    px, py = x + flow[0, 0], y + flow[0, 1]
    values = torch.cat((image[0], torch.ones(1, height, width))) * metric[0].exp()
    total = torch.zeros(values.shape[0], height * width)
    for i in (0, 1):
        for j in (0, 1):
            left, top = px.floor() + i, py.floor() + j
            share = (1 - (px - left).abs()) * (1 - (py - top).abs())
            inside = (left >= 0) & (left < width) & (top >= 0) & (top < height)
            at = torch.where(inside, top * width + left, 0).long().flatten()
            total = total.index_add(1, at, (values * (share * inside)).flatten(1))
    weight = total[-1:]
    return (total[:-1] / (weight + 1e-7)).reshape(image.shape)


def least_times(work: Work, rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    least = dict.fromkeys(work, float("inf"))
    for _ in range(rounds):
        for name, task in work.items():
            started = clock()
            task()
            least[name] = min(least[name], 1e3 * (clock() - started))
    return {name: round(value, 2) for name, value in least.items()}


def both_ways(torch: Any, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    arguments = tuple(a.clone().requires_grad_() for a in arguments)
    grad = torch.rand(arguments[0].shape)

    def run() -> Any:
        return torch.autograd.grad(function(*arguments), arguments, grad)

    return run


def kornia_work(torch: Any, image: Any, maps: Any, mode: str, matrix: Any, ours: Any) -> Work:
    """kornia's remap and warp_perspective, whose pixel centres are whole numbers."""
    try:
        from kornia.geometry.transform import remap, warp_perspective
    except ImportError:
        return {}
    height, width = image.shape[2:]
    x, y = (torch.from_numpy(m)[None] for m in maps)
    centre = torch.tensor([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]], dtype=torch.float64)
    source_from_output = torch.linalg.inv(centre) @ matrix[0] @ centre
    output_from_source = torch.linalg.inv(source_from_output).float()[None]
    options = {"mode": mode, "padding_mode": "border", "align_corners": True}

    def mapped(image: Any, x: Any, y: Any) -> Any:
        return remap(image, x, y, **options)

    def projected() -> Any:
        return warp_perspective(image, output_from_source, (height, width), **options)

    # Points pass through [-1, 1] in float32: some 1e-4 px, where neighbours differ by up to 1.
    for theirs in (mapped(image, x, y), projected()):
        difference = float((theirs - ours).abs().max())
        if difference > 5e-3:
            raise RuntimeError(f"kornia's {mode} picture differs from ours by {difference}")
    return {
        "kornia remap": lambda: mapped(image, x, y),
        "kornia warp_perspective": projected,
        "kornia both": both_ways(torch, mapped, image, x, y),
    }


def warp_work(torch: Any, width: int, height: int, maps: Any, mode: str, matrix: Any) -> Work:
    from steadyview.ops import backward_warp

    image = torch.rand(1, 3, height, width)
    bytes_ = (255 * image).to(torch.uint8)
    pictures = [np.ascontiguousarray(t[0].permute(1, 2, 0).numpy()) for t in (image, bytes_)]
    outputs = [np.empty_like(picture) for picture in pictures]
    y, x = np.indices((height, width), dtype=np.float32)
    flow = torch.from_numpy(np.stack((maps[0] - x, maps[1] - y)))[None]
    grid = torch.from_numpy(
        np.stack([(2 * maps[0] + 1) / width - 1, (2 * maps[1] + 1) / height - 1], -1)
    )[None]
    out = torch.empty_like(image)

    def ours(image: Any, flow: Any) -> Any:
        return backward_warp(image, flow=flow, interpolation=mode)

    def remap(i: int) -> Any:
        return cv2.remap(
            pictures[i], *maps, FLAGS[mode], dst=outputs[i], borderMode=cv2.BORDER_REPLICATE
        )

    def theirs(image: Any, grid: Any) -> Any:
        return torch.nn.functional.grid_sample(
            image, grid, mode=mode, padding_mode="border", align_corners=False
        )

    work = {
        "copy": lambda: out.copy_(image),
        "flow": lambda: ours(image, flow),
        "homography": lambda: backward_warp(image, matrix, interpolation=mode),
        "remap": lambda: remap(0),
        "uint8": lambda: ours(bytes_, flow),
        "remap uint8": lambda: remap(1),
        "both": both_ways(torch, ours, image, flow),
    }
    if mode != "lanczos3":
        work["grid_sample"] = lambda: theirs(image, grid)
        work["grid_sample both"] = both_ways(torch, theirs, image, grid)
        work |= kornia_work(torch, image, maps, mode, matrix, ours(image, flow))
    return work


def splat_work(torch: Any, width: int, height: int, maps: Any) -> Work:
    from steadyview.ops import forward_splat

    image, metric = torch.rand(1, 3, height, width), torch.rand(1, 1, height, width)
    y, x = np.indices((height, width), dtype=np.float32)
    flow = torch.from_numpy(np.stack((maps[0] - x, maps[1] - y)))[None]

    def ours(*arguments: Any) -> Any:
        return forward_splat(*arguments)[0]

    def theirs(*arguments: Any) -> Any:
        return softmax_program(torch, *arguments)

    given = (image, flow, metric)
    return {
        "softmax": lambda: ours(*given),
        "program": lambda: theirs(*given),
        "both": both_ways(torch, ours, *given),
        "program both": both_ways(torch, theirs, *given),
        "nearest_z": lambda: forward_splat(image, flow, metric, mode="nearest_z"),
    }


def ratios_of(times: dict[str, float]) -> dict[str, float]:
    pairs = {
        "remap": ("remap", "flow"), "remap uint8": ("remap uint8", "uint8"),
        "copy bandwidth": ("copy", "flow"), "grid_sample both": ("grid_sample both", "both"),
        "kornia remap": ("kornia remap", "flow"), "kornia both": ("kornia both", "both"),
        "kornia warp_perspective": ("kornia warp_perspective", "homography"),
        "program": ("program", "softmax"), "program both": ("program both", "both"),
    }  # fmt: skip
    return {
        name: round(times[peer] / times[own], 2)
        for name, (peer, own) in pairs.items()
        if peer in times and own in times
    }


def measure_tensors(
    sizes: dict[str, tuple[int, int]], maps_of: Callable[[int, int], Any], quick: bool
) -> list[dict[str, Any]]:
    """maps_of gives OpenCV's maps and the matrix of a size."""
    try:
        import torch

        import steadyview.ops  # noqa: F401
    except ImportError as error:
        print(f"tensor warps not measured: {error}")
        return []
    rows = []
    for name, (width, height) in sizes.items():
        maps, matrix = maps_of(width, height)
        matrix = torch.from_numpy(matrix)[None]
        for mode in (*FLAGS, "splat"):
            for threads, clock in ((1, time.process_time), (2, time.perf_counter)):
                torch.set_num_threads(threads)
                cv2.setNumThreads(threads)
                if mode == "splat":
                    work = splat_work(torch, width, height, maps)
                else:
                    work = warp_work(torch, width, height, maps, mode, matrix)
                times = least_times(work, 2 if quick else 9, clock)
                row = {"size": name, "what": mode, "threads": threads, "ms": times}
                rows.append({**row, "ratios": ratios_of(times)})
    return rows


def show_tensors(rows: list[dict[str, Any]]) -> None:
    print(f"tensors, float32, 3 channels; limits as ratios: {LIMITS}")
    for row in rows:
        what = "processor" if row["threads"] == 1 else "wall, 2 threads"
        print(
            f"{row['size']:5} {row['what']:9} {what:16} ms {row['ms']}\n{'':32} x {row['ratios']}"
        )
