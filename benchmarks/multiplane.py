"""Multi-plane projection and rendering, and the depth splat, against tensor operations and OpenCV.

    python benchmarks/multiplane.py [--quick] [--json FILE] [--posed FOLDER [--pictures FOLDER]]

The scene: three channels, a slope with a wave and blocks before it, a camera 0.07 to the side as a
stereo pair wants it, and a turned one. Milliseconds of wall and of processor time (all threads
together) a view, the least of interleaved rounds. The peers:

- torch: the same projection in tensor operations: a sort of all points from far to near, index_put,
  then each plane's filters by conv2d. On one thread it has to give the same picture.
- remap: OpenCV's, bilinear, one for each plane with alpha by the plane's homography, and the
  composite in NumPy: what a plane costs whose pixels all share a depth.
- grid_sample: torch's, for multiplane_render.

Limit: multiplane_project with 32 planes, 1280x720: 10 views a second on two cores.
--posed predicts each frame of ../shared/data/posed/rgbd_room5 from its neighbour, PSNR where it is
covered.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn import functional

from machine import machine_facts
from steadyview import ops

LIMIT = 10.0  # views a second
SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}


def make_scene(width: int, height: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    y, x = np.mgrid[:height, :width] / height
    depth = 6 - 3 * y + 0.5 * np.sin(9 * x) * np.cos(7 * y)
    for cx, cy, r, z in ((0.4, 0.5, 0.15, 1.5), (0.9, 0.4, 0.2, 2.2), (1.4, 0.7, 0.1, 1.2)):
        depth[np.hypot(x - cx, y - cy) < r] = z
    focal = 0.8 * width
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    side, turned = torch.eye(4), torch.eye(4)
    side[0, 3] = -0.07
    c, s = math.cos(0.03), math.sin(0.03)
    turned[:3, :3] = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    turned[:3, 3] = torch.tensor([-0.07, 0.02, 0.05])
    return {
        "image": torch.rand(1, 3, height, width, generator=generator),
        "depth": torch.from_numpy(depth).float()[None],
        "eye": torch.eye(4)[None], "K": K[None], "side": side[None], "turned": turned[None],
    }  # fmt: skip


def project_in_torch(
    scene: dict[str, torch.Tensor], target: torch.Tensor, planes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Dossier section 8 in tensor operations: image (3, H, W) and mask."""
    image, z, K = scene["image"][0], scene["depth"][0], scene["K"][0]
    height, width = z.shape
    v, u = torch.meshgrid(
        torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij"
    )  # fmt: skip
    rotated = K @ target[0, :3, :3] @ torch.linalg.inv(K)
    q = z.flatten() * (rotated @ torch.stack((u, v, torch.ones_like(u))).flatten(1))
    q = q + (K @ target[0, :3, 3])[:, None]
    x, y = (q[:2] / q[2]).floor().long()
    order = torch.argsort(q[2], descending=True, stable=True)
    order = order[((x >= 0) & (x < width) & (y >= 0) & (y < height) & (q[2] > 0))[order]]
    place = y[order] * width + x[order]
    seen, colours = torch.zeros(height * width), torch.zeros(3, height * width)
    seen[place] = q[2][order]  # on the CPU the last one written stays
    colours[:, place] = image.flatten(1)[:, order]
    valid = seen[seen > 0]
    low, median, high = valid.min(), valid.median(), valid.max()
    edges = torch.cat((
        torch.linspace(float(low), float(median), planes // 2 + 1)[1:],
        torch.linspace(float(median), float(high), planes - planes // 2 + 1)[1:-1],
    ))  # fmt: skip
    label = torch.where(seen > 0, torch.bucketize(seen, edges), -1).reshape(1, 1, height, width)
    colours = colours.reshape(1, 3, height, width)
    gauss = torch.exp(-0.5 * torch.tensor([[2.0, 1, 2], [1, 0, 1], [2, 1, 2]])) / (2 * math.pi)
    box = torch.full((1, 1, 3, 3), 1 / 9)
    result, mask = torch.zeros_like(colours), torch.zeros_like(label, dtype=torch.bool)
    for plane in reversed(range(planes)):
        layer = (label == plane).float()
        mean = functional.conv2d(functional.pad(layer, (1, 1, 1, 1), "reflect"), box)
        layer = layer * (layer * mean > 0.5)
        both = torch.cat((colours * layer, layer), 1)
        blurred = functional.conv2d(
            functional.pad(both, (1, 1, 1, 1), "reflect"), gauss.expand(4, 1, 3, 3), groups=4
        )
        weight = blurred[:, 3:]
        shown = weight > 0.2
        filled = torch.where(layer > 0, colours, blurred[:, :3] / (weight + 1e-6))
        result = torch.where(shown, filled, result)
        mask = mask | shown
    return result[0], mask[0, 0]


def remap_planes(layers: list[np.ndarray], matrices: np.ndarray) -> np.ndarray:
    """Planes (H, W, 4), the farthest first, over each other."""
    height, width = layers[0].shape[:2]
    result = np.zeros((height, width, 3), np.float32)
    for layer, matrix in zip(layers, matrices, strict=True):
        warped = cv2.warpPerspective(
            layer, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        alpha = warped[..., 3:]
        result *= 1 - alpha
        result += alpha * warped[..., :3]
    return result


def render_with_grid_sample(planes: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    height, width = planes.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    rays = torch.stack((x, y, torch.ones_like(x)), -1)
    result = torch.zeros(4, height, width)
    for plane, matrix in zip(planes[0], matrices[0, 0].float(), strict=True):
        q = rays @ matrix.T
        grid = 2 * q[..., :2] / q[..., 2:] / torch.tensor([width, height]) - 1
        layer = functional.grid_sample(plane[None], grid[None], align_corners=False)[0]
        alpha = layer[3:]
        result = alpha * torch.cat((layer[:3], torch.ones_like(alpha))) + (1 - alpha) * result
    return result


def measure(work: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Least milliseconds of each, interleaved: of wall and of processor time."""
    least = {name: [math.inf, math.inf] for name in work}
    for _ in range(rounds + 1):
        for name, task in work.items():
            wall, processor = time.perf_counter(), time.process_time()
            task()
            spent = time.perf_counter() - wall, time.process_time() - processor
            least[name] = [min(a, 1e3 * b) for a, b in zip(least[name], spent, strict=True)]
    return {name: [round(x, 2) for x in times] for name, times in least.items()}


def measure_size(size: str, planes: int, rounds: int) -> dict[str, Any]:
    width, height = SIZES[size]
    scene = make_scene(width, height)
    source = [scene[name] for name in ("image", "depth", "eye", "K")]
    ours = ops.multiplane_project(*source, scene["side"], planes=planes)
    torch.set_num_threads(1)  # with more, the order in which index_put writes is left open
    theirs, mask = project_in_torch(scene, scene["side"], planes)
    torch.set_num_threads(2)
    same = (ours.mask[0, 0] == mask) & ((ours.image[0, 0] - theirs).abs().amax(0) < 1e-4)
    row = torch.stack([scene["side"][0]] * 8)
    row[:, 0, 3] = -torch.linspace(0.01, 0.07, 8)
    label = ours.plane[0, 0].numpy()
    layers = [
        np.dstack((ours.image[0, 0].permute(1, 2, 0).numpy(), (label == i).astype(np.float32)))
        for i in reversed(range(planes))
    ]
    depths = torch.linspace(6, 1.2, planes)
    matrices = ops.plane_homographies(depths, scene["eye"], scene["K"], scene["side"])
    stack = torch.from_numpy(np.stack(layers)).permute(0, 3, 1, 2)[None].contiguous()
    work = {
        "project": lambda: ops.multiplane_project(*source, scene["side"], planes=planes),
        "project, turned": lambda: ops.multiplane_project(*source, scene["turned"], planes=planes),
        "project, row of 8": lambda: ops.multiplane_project(*source, row, planes=planes),
        "project in torch": lambda: project_in_torch(scene, scene["side"], planes),
        "remap of planes": lambda: remap_planes(layers, matrices[0, 0].numpy()),
        "render": lambda: ops.multiplane_render(stack, matrices),
        "render with grid_sample": lambda: render_with_grid_sample(stack, matrices),
        "project_depth": lambda: ops.project_depth(*source, scene["side"]),
        "project_depth, gaussians": lambda: ops.project_depth(
            *source, scene["side"], renderer="gaussians"
        ),
    }
    times = measure(work, rounds)
    times["project, row of 8"] = [round(x / 8, 2) for x in times["project, row of 8"]]
    return {
        "size": size, "planes": planes, "ms": times,
        "views_per_s": round(1e3 / times["project"][0], 1),
        "views_per_s_of_two_free_cores": round(2e3 / times["project"][1], 1),
        "times_as_fast_as_torch": round(times["project in torch"][1] / times["project"][1], 1),
        "same_as_torch": round(float(same.float().mean()), 5),
    }  # fmt: skip


def psnr(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a - b)[:, mask] ** 2)))


def predict_posed(folder: Path, pictures: Path | None) -> list[dict[str, Any]]:
    """Each frame of rgbd_room5 from the one before and the one after it."""
    room = folder / "rgbd_room5"
    facts = json.loads((room / "poses.json").read_text())
    K = torch.tensor([
        [facts["fx"], 0, facts["cx"] + 0.5], [0, facts["fy"], facts["cy"] + 0.5], [0, 0, 1]
    ])[None]  # fmt: skip
    frames = []
    for frame in facts["frames"]:
        color = cv2.cvtColor(cv2.imread(str(room / frame["color"])), cv2.COLOR_BGR2RGB)
        z = cv2.imread(str(room / frame["depth"]), cv2.IMREAD_UNCHANGED) / facts["depth_scale"]
        view = torch.from_numpy(np.linalg.inv(np.array(frame["cam_to_world"])))
        frames.append((color.transpose(2, 0, 1).astype(np.float32) / 255, z, view[None]))
    results = []
    for i in range(len(frames) - 1):
        for source, held_out in ((i, i + 1), (i + 1, i)):
            image, z, view = frames[source]
            truth, _, target = frames[held_out]
            given = torch.from_numpy(image)[None], torch.from_numpy(z)[None], view, K, target
            views = ops.multiplane_project(*given)
            splat = ops.project_depth(*given)
            soft = ops.project_depth(*given, renderer="gaussians")
            predictions = {
                "multiplane before": (views.image, views.mask_before & (views.source_index >= 0)),
                "multiplane": (views.image, views.mask),
                "splat": (splat.image, ~splat.disoccluded),
                "gaussians": (soft.image, ~soft.disoccluded),
            }
            common = (views.mask & ~splat.disoccluded & ~soft.disoccluded)[0, 0].numpy()
            row: dict[str, Any] = {"source": source, "held_out": held_out}
            for name, (picture, mask) in predictions.items():
                shown, covered = picture[0, 0].numpy(), mask[0, 0].numpy()
                row[name] = {
                    "psnr": round(psnr(shown, truth, covered), 2),
                    "psnr_where_all_are": round(psnr(shown, truth, common & covered), 2),
                    "covered": round(float(covered.mean()), 4),
                }
            row["unmoved"] = {"psnr_where_all_are": round(psnr(image, truth, common), 2)}
            results.append(row)
            if pictures:
                pictures.mkdir(parents=True, exist_ok=True)
                shown = [truth, *(p[0, 0].numpy() for p, _ in list(predictions.values())[1:])]
                sheet = np.concatenate(shown, 2).clip(0, 1).transpose(1, 2, 0)[..., ::-1]
                name = str(pictures / f"room_{source}_{held_out}.png")
                cv2.imwrite(name, (255 * sheet).round().astype(np.uint8))
    return results


def show(rows: list[dict[str, Any]], posed: list[dict[str, Any]]) -> None:
    for row in rows:
        print(f"{row['size']}, {row['planes']} planes: ms of wall, of processor")
        for name, (wall, processor) in row["ms"].items():
            print(f"  {name:26} {wall:9.1f} {processor:9.1f}")
        print(
            f"  {row['views_per_s']} views/s as the machine was, "
            f"{row['views_per_s_of_two_free_cores']} of two free cores, wanted {LIMIT}; "
            f"{row['times_as_fast_as_torch']} times as fast as torch (processor time), "
            f"{100 * row['same_as_torch']:.3f} % of the pixels the same"
        )
    for row in posed:
        print(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--posed", type=Path, help="the folder of posed data")
    parser.add_argument("--pictures", type=Path, help="where to write the predictions")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    cases = [("360p", 4)] if arguments.quick else [("720p", 4), ("720p", 32), ("1080p", 32)]
    rows = [measure_size(size, planes, 1 if arguments.quick else 5) for size, planes in cases]
    posed = predict_posed(arguments.posed, arguments.pictures) if arguments.posed else []
    show(rows, posed)
    if arguments.json:
        facts = {**machine_facts(), "opencv": cv2.__version__, "torch": torch.__version__}
        result = {"machine": facts, "limit": LIMIT, "rows": rows, "posed": posed}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
