"""Holes filled and depth smoothed, against OpenCV; what the filling is worth on held-out views.

    python benchmarks/fill.py [--quick] [--json FILE] [--views] [--posed FOLDER]

Milliseconds of wall time, two threads, the least of interleaved rounds; beside them, how much of
the speed of memory a row reaches: the bytes that it has to read and write at least, by the time
that copying as many takes in the same run. The picture has three channels; its holes (9 %) are what
a camera that moves sideways uncovers: crescents beside discs, a strip at the border, and cracks.

- inpaint: OpenCV's, Telea's and the Navier-Stokes one, radius 3, of bytes (it takes no floats).
- boxFilter: the guided filter of six cv2.boxFilter in float32 and NumPy; ours sums in float64.
- remap: smooth_depth of cv2.remap to the nearest pixel, NumPy and the above.

--views: PSNR of the filled pixels of held-out views, project_depth and multiplane_project from
frames of synthetic scenes with their true depth (moving objects left out); --posed adds
rgbd_room5 of ../shared/data/posed. Holes that touch the picture's border, and those inside, are
counted apart.

Tried for the filling (same views; border, inside, dB): all known pixels as sources, not the rim
alone -0.4, -0.7; a rim of 2 or 3 pixels -0.1, 0; cells of four children, no blend with the coarser
level -0.3, 0; thresholds of 0.5 and 0.8 in place of 0.8 and 0.95 0, -0.8; a relaxation on every
level 0, +0.1. Gaps of 3 across any line, the farther end's colour where its ends differ in depth,
cost 0.3 inside (garden 1.0); only lines with both ends on the farthest surface 0.14 (0.1); lines
between ends of one surface, whichever, 0.16 (0.6); of the farthest surface first 0.6; not as
sources of the pyramid 0.3. What is left is the noise of two pixels where the pyramid has a mean.

8192 x 8192: 10 ns a pixel, 2.5 times a copy into new memory, as at 2048 x 2048.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from machine import machine_facts
from steadyview import ops
from steadyview.synthetic import make_clip, truth_of

SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}
FRAMES = 6
SCENES = ("street", "garden", "room", "walk")
RADIUS, EPSILON = 30, 1e-4


def make_picture(width: int, height: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    y, x = np.mgrid[:height, :width] / height
    depth = 6 - 3 * y + 0.5 * np.sin(9 * x) * np.cos(7 * y)
    holes = x < 0.04
    for cx, cy, r, z in ((0.4, 0.5, 0.15, 1.5), (0.9, 0.4, 0.2, 2.2), (1.4, 0.7, 0.1, 1.2)):
        disc = np.hypot(x - cx, y - cy) < r
        depth[disc] = z
        holes |= (np.hypot(x - cx - 0.15 / z, y - cy) < r) & ~disc
    cracks = torch.rand(height, width, generator=generator).numpy() < 0.02
    small = torch.rand(1, 3, height // 8, width // 8, generator=generator)
    image = torch.nn.functional.interpolate(small, (height, width), mode="bicubic").clamp(0, 1)
    return {
        "image": image.contiguous(),
        "depth": torch.from_numpy(depth).float()[None],
        "holes": torch.from_numpy(holes | cracks)[None],
    }


def make_video(width: int, height: int) -> list[torch.Tensor]:
    """Disparity with noise, frames and flows of a picture that moves two pixels a frame."""
    generator = torch.Generator().manual_seed(1)
    scene = make_picture(width, height)
    noise = 0.02 * torch.randn(FRAMES, height, width, generator=generator)
    steps = range(FRAMES)
    disparity = torch.cat([(1 / scene["depth"]).roll(2 * t, 2) for t in steps]) + noise
    frames = torch.cat([(255 * scene["image"]).byte().roll(2 * t, 3) for t in steps])
    flow = 0.3 * torch.randn(FRAMES - 1, 2, height // 16, width // 16, generator=generator)
    flow = torch.nn.functional.interpolate(flow, (height, width), mode="bilinear")
    flow[:, 0] += 2
    return [disparity.clamp(min=0.01), frames, flow, -flow]


def box_guided(x: np.ndarray, y: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    def mean(values: np.ndarray) -> np.ndarray:
        size = (2 * radius + 1, 2 * radius + 1)
        return cv2.boxFilter(values, -1, size, borderType=cv2.BORDER_REFLECT)

    mean_x, mean_y = mean(x), mean(y)
    slope = (mean(x * y) - mean_x * mean_y) / (mean(x * x) - mean_x * mean_x + epsilon)
    return mean(slope) * x + mean(mean_y - slope * mean_x)


def remap_smooth(disparity: np.ndarray, frames: np.ndarray, flows: list[np.ndarray]) -> np.ndarray:
    """frames (T, H, W, 3) uint8, flows (T - 1, H, W, 2)."""
    height, width = disparity.shape[1:]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    result = np.empty_like(disparity)
    for t, own in enumerate(disparity):
        span = float(own.max() - own.min())
        total, weighted = np.full_like(own, 0.5), 0.5 * own
        for other, flow in ((t - 1, flows[1]), (t + 1, flows[0])):
            if not 0 <= other < len(disparity):
                continue
            to = grid + np.rint(flow[min(t, other)])
            value, colour = (
                cv2.remap(picture[other], to, None, cv2.INTER_NEAREST, borderValue=-1)
                for picture in (disparity, frames)
            )
            far = cv2.absdiff(colour, frames[t]).max(2) > 20
            counts = (value > 0) & ~far & (np.abs(value - own) <= 0.5 * span)
            total += np.where(counts, np.float32(0.25), np.float32(0))
            weighted += np.where(counts, np.float32(0.25) * value, np.float32(0))
        mean = weighted / total
        result[t] = np.maximum(box_guided(own, mean, RADIUS, EPSILON * span * span), 0)
    return result


def measure(work: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Least milliseconds of each, interleaved; quick ones are repeated."""
    least = dict.fromkeys(work, math.inf)
    for _ in range(rounds + 1):
        for name, task in work.items():
            for _ in range(8 if least[name] < 30 else 1):
                start = time.perf_counter()
                task()
                least[name] = min(least[name], 1e3 * (time.perf_counter() - start))
    return {name: round(ms, 2) for name, ms in least.items()}


def measure_size(size: str, rounds: int) -> dict[str, Any]:
    width, height = SIZES[size]
    scene = make_picture(width, height)
    image, holes, depth = scene["image"], scene["holes"], scene["depth"]
    picture = np.ascontiguousarray((255 * image[0]).byte().permute(1, 2, 0).numpy())
    mask = holes[0].byte().numpy()
    x, y = depth, depth + 0.1 * torch.rand_like(depth)
    video = make_video(width, height)
    frames = np.ascontiguousarray(video[1].permute(0, 2, 3, 1).numpy())
    flows = [np.ascontiguousarray(flow.permute(0, 2, 3, 1).numpy()) for flow in video[2:]]
    leaf = image.clone().requires_grad_()
    grad = torch.ones_like(image)
    work = {
        "copy": lambda: image.clone(),
        "fill": lambda: ops.fill_holes(image, holes),
        "fill, depth": lambda: ops.fill_holes(image, holes, depth=depth),
        "fill, depth, gap 4": lambda: ops.fill_holes(image, holes, depth=depth, gap=4),
        "fill, depth, both": lambda: torch.autograd.grad(
            ops.fill_holes(leaf, holes, depth=depth), leaf, grad
        ),
        "inpaint Telea": lambda: cv2.inpaint(picture, mask, 3, cv2.INPAINT_TELEA),
        "inpaint Navier-Stokes": lambda: cv2.inpaint(picture, mask, 3, cv2.INPAINT_NS),
        "guided": lambda: ops.guided_filter(x, y, RADIUS, EPSILON),
        "guided of boxFilter": lambda: box_guided(x[0].numpy(), y[0].numpy(), RADIUS, EPSILON),
        "smooth": lambda: ops.smooth_depth(*video, radius=RADIUS, epsilon=EPSILON),
        "smooth with remap": lambda: remap_smooth(video[0].numpy(), frames, flows),
    }
    ms = measure(work, rounds)
    ms = {name: round(t / FRAMES, 2) if "smooth" in name else t for name, t in ms.items()}
    inpaint = min(ms["inpaint Telea"], ms["inpaint Navier-Stokes"])
    pixel = ms["copy"] / 24  # three floats read and written
    least = {"fill": 24 + 1, "fill, depth": 24 + 5, "guided": 12}
    least["smooth"] = 4 + 3 + 16 + 4  # disparity, colours, two flows, result
    return {
        "size": size, "holes": round(float(holes.float().mean()), 3), "ms": ms,
        "bandwidth_share": {name: round(n * pixel / ms[name], 2) for name, n in least.items()},
        "ratios": {  # to the faster peer
            "fill": round(inpaint / ms["fill"], 1),
            "fill, depth": round(inpaint / ms["fill, depth"], 1),
            "guided": round(ms["guided of boxFilter"] / ms["guided"], 1),
            "smooth": round(ms["smooth with remap"] / ms["smooth"], 1),
        },
    }  # fmt: skip


View = tuple[str, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def views_of(
    name: str, image: torch.Tensor, depth: torch.Tensor, cameras: tuple[torch.Tensor, ...],
    truth: torch.Tensor, usable: torch.Tensor,
) -> list[View]:  # fmt: skip
    """(name, image, depth, holes, truth, where it holds) of a frame seen from another's camera."""
    given = (image[None], depth[None], *(camera[None] for camera in cameras))
    splat, planes = ops.project_depth(*given), ops.multiplane_project(*given)
    return [
        (name, splat.image[0], splat.depth[0], splat.disoccluded[0], truth, usable),
        (name, planes.image[0], planes.depth[0], ~planes.mask[0], truth, usable),
    ]


def synthetic_views(scene: str) -> list[View]:
    clip = make_clip(scene, Path(tempfile.mkdtemp()), size=(480, 270), seconds=1.2)
    truth = truth_of(clip)
    cameras, K = torch.from_numpy(truth["shaky_viewmats"]), torch.from_numpy(truth["K"])
    video = cv2.VideoCapture(str(clip.shaky))
    frames = [
        torch.from_numpy(video.read()[1][..., ::-1].copy()).permute(2, 0, 1) / 255 for _ in cameras
    ]
    depth = torch.from_numpy(truth["depth"].astype(np.float32)).nan_to_num(posinf=1e4)
    still = torch.from_numpy(~truth["moving"])
    last = len(frames) - 5
    return [
        view
        for a, b in ((5, last), (last, 5), (10, 22), (22, 10))
        for view in views_of(
            scene, frames[a], depth[a], (cameras[a], K, cameras[b]), frames[b], still[b]
        )
    ]


def posed_views(folder: Path) -> list[View]:
    room = folder / "rgbd_room5"
    facts = json.loads((room / "poses.json").read_text())
    K = torch.tensor([
        [facts["fx"], 0, facts["cx"] + 0.5], [0, facts["fy"], facts["cy"] + 0.5], [0, 0, 1]
    ])  # fmt: skip
    frames = []
    for frame in facts["frames"]:
        color = cv2.cvtColor(cv2.imread(str(room / frame["color"])), cv2.COLOR_BGR2RGB)
        z = cv2.imread(str(room / frame["depth"]), cv2.IMREAD_UNCHANGED) / facts["depth_scale"]
        view = torch.from_numpy(np.linalg.inv(np.array(frame["cam_to_world"])))
        frames.append((torch.from_numpy(color).permute(2, 0, 1) / 255, torch.from_numpy(z), view))
    everywhere = torch.ones(facts["h"], facts["w"], dtype=torch.bool)
    return [
        view
        for i in range(len(frames) - 1)
        for (image, z, a), (truth, _, b) in (frames[i : i + 2], frames[i : i + 2][::-1])
        for view in views_of("rgbd_room5", image, z.float(), (a, K, b), truth, everywhere)
    ]


def at_border(holes: np.ndarray) -> np.ndarray:
    _, label = cv2.connectedComponents(holes.astype(np.uint8), connectivity=4)
    edge = np.concatenate((label[0], label[-1], label[:, 0], label[:, -1]))
    return holes & np.isin(label, edge)


def inpainted(image: torch.Tensor, holes: torch.Tensor, method: int) -> torch.Tensor:
    picture = (255 * image[0].clamp(0, 1)).byte().permute(1, 2, 0).numpy()
    filled = cv2.inpaint(np.ascontiguousarray(picture), holes[0].byte().numpy(), 3, method)
    return torch.from_numpy(filled).permute(2, 0, 1)[None] / 255


def judge(views: list[View]) -> list[dict[str, Any]]:
    """Mean PSNR of the filled pixels, at the border and inside, by scene and method."""
    methods: dict[str, Callable[..., torch.Tensor]] = {
        "fill": lambda i, z, h: ops.fill_holes(i, h),
        "fill, depth": lambda i, z, h: ops.fill_holes(i, h, depth=z),
        "fill, depth, gap 3": lambda i, z, h: ops.fill_holes(i, h, depth=z, gap=3),
        "inpaint Telea": lambda i, z, h: inpainted(i, h, cv2.INPAINT_TELEA),
        "inpaint Navier-Stokes": lambda i, z, h: inpainted(i, h, cv2.INPAINT_NS),
    }
    scores: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for scene, image, depth, holes, truth, usable in views:
        hole = (holes[0] & usable).numpy()
        border = at_border(holes[0].numpy())
        for name, method in methods.items():
            error = ((method(image, depth, holes)[0] - truth) ** 2).numpy()
            score = tuple(
                float(-10 * np.log10(error[:, where].mean())) if where.sum() > 20 else math.nan
                for where in (hole & border, hole & ~border)
            )
            for group in (scene, "mean"):
                scores.setdefault((group, name), []).append((score[0], score[1]))
    rows = []
    for (scene, name), values in scores.items():
        border, inside = (np.array(values)[:, k] for k in range(2))
        row: dict[str, Any] = {"scene": scene, "method": name, "views": len(values)}
        for label, column in (("border_db", border), ("inside_db", inside)):
            row[label] = None if np.isnan(column).all() else round(float(np.nanmean(column)), 2)
        rows.append(row)
    return sorted(rows, key=lambda row: str(row["scene"]))


def show(rows: list[dict[str, Any]], quality: list[dict[str, Any]]) -> None:
    for row in rows:
        print(f"{row['size']}, {100 * row['holes']:.0f} % holes: ms, share of the bandwidth")
        for name, ms in row["ms"].items():
            print(f"  {name:24} {ms:9.2f} {row['bandwidth_share'].get(name, '')}")
        print("  peers take times as long:", row["ratios"])
    for row in quality:
        print(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--views", action="store_true", help="judge the filling on synthetic views")
    parser.add_argument("--posed", type=Path, help="the folder of posed data")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    cv2.setNumThreads(2)
    cases = ["360p"] if arguments.quick else ["360p", "720p", "1080p"]
    rows = [measure_size(size, 1 if arguments.quick else 3) for size in cases]
    views = [view for scene in SCENES for view in synthetic_views(scene)] if arguments.views else []
    views += posed_views(arguments.posed) if arguments.posed else []
    quality = judge(views)
    show(rows, quality)
    if arguments.json:
        facts = {**machine_facts(), "opencv": cv2.__version__, "torch": torch.__version__}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        result = {"machine": facts, "rows": rows, "quality": quality}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
