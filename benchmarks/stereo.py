"""Plane sweep: speed, and depth against known depth, beside OpenCV's StereoSGBM.

    python benchmarks/stereo.py [--quick] [--json FILE] [--data DIR] [--pictures DIR]

Speed: 640x360, 64 planes, 4 sources, wall and processor time of interleaved rounds; StereoSGBM
matches one rectified pair with 64 disparities (a smaller task: one source, no warps). Limit: 2
frames/s on two cores.

Depth: a rendered scene (exact depth), and from DIR (the project's data/posed) RGB-D frames of a
dark room, whose cameras are estimated again (the given ones miss by 1 to 9 pixels), and a clip
with reconstructed cameras and points (no ground truth). Complete: share of the pixels with known
depth that get a valid one. Error: median of |depth / truth - 1| over these; bad: share beyond 5 %.
StereoSGBM sees one pair, rectified with the same cameras; its points are turned back into the
reference view. It can do nothing with the room and the clip, where the camera walks forward.
Right by confidence: of the pixels whose confidence is 0 to 0.2, 0.2 to 0.4, ... 0.8 to 1, the share
with a depth within 5 % of the truth, or a plane; it should be 0.1, 0.3, ... 0.9.
Tried: valid only where a neighbour in time with a depth of its own agrees: at the same completeness
5 points less bad on the clip, nothing on synthetic ones.
Tried: valid only where half of the 5x5 window is, too, at planes within 5 %. This drops of the
right and wrong valid pixels (5 %, or a plane): rooms 9 and 25 %, clip 12 and 19 %, rooms with the
given cameras 26 and 30 %, rendered 0.1 and 64 % (which has hardly any). For 5 % of the right ones:
rooms 17 %, clip 9 %, given cameras 8 %; windows of 3x3 and 9x9 and the size of connected parts do
no better by more than 3 points. What wrong cameras make wrong is coherent: of the valid pixels 5 to
63 % are right to 10 % before, 4 to 68 % after.
`--pictures` writes depth maps as PNG: picture, truth, StereoSGBM, then census and zncc, each whole
and valid.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from machine import ROOT, machine_facts
from steadyview import _core
from steadyview.ops import inverse_depth_planes, plane_sweep

LIMIT = 2.0  # frames a second
BAD = 0.05  # relative error


def texture(points: np.ndarray, seed: int) -> np.ndarray:
    """Smooth noise over points (..., 2)."""
    random = np.random.default_rng(seed)
    value = np.zeros(points.shape[:-1], np.float32)
    points = points.astype(np.float32)
    for octave in (0.5, 1.5, 4, 10):
        for _ in range(10):
            wave = random.normal(0, 2 * np.pi * octave, 2).astype(np.float32)
            value += np.sin(points @ wave + np.float32(random.uniform(0, 7))) / 2
    return value


def render(view: np.ndarray, k: np.ndarray, width: int, height: int) -> tuple[np.ndarray, ...]:
    """Three textured cards at depths 3, 4.5 and 7 and a slanted wall: grey picture, depth."""
    y, x = np.mgrid[:height, :width] + 0.5
    rays = np.stack((x, y, np.ones_like(x)), -1) @ np.linalg.inv(k).T @ view[:3, :3]
    centre = -view[:3, :3].T @ view[:3, 3]
    distance = (9 + 0.3 * centre[0] - centre[2]) / (rays[..., 2] - 0.3 * rays[..., 0])
    point = centre + rays * distance[..., None]
    value = texture(point[..., :2], 0)
    boxes = ((7.0, -2.5, 1.8, -1.2, 0.2), (4.5, 0.0, 1.9, -0.9, 0.8), (3.0, -1.2, -0.2, -0.3, 0.9))
    for seed, (z, left, right, top, bottom) in enumerate(boxes, 1):
        t = (z - centre[2]) / rays[..., 2]
        on = centre + rays * t[..., None]
        inside = (on[..., 0] > left) & (on[..., 0] < right)
        inside &= (on[..., 1] > top) & (on[..., 1] < bottom)
        value = np.where(inside, texture(on[..., :2], seed), value)
        point = np.where(inside[..., None], on, point)
    noise = np.random.default_rng(abs(int(1e4 * centre[0]))).normal(0, 2, value.shape)
    grey = np.clip(128 + 28 * value + noise, 0, 255).astype(np.uint8)
    return grey, point @ view[2, :3] + view[2, 3]


def rendered_scene(width: int, height: int) -> dict[str, Any]:
    k = np.array([[0.9 * width, 0, width / 2], [0, 0.9 * width, height / 2], [0, 0, 1]])
    views = []
    for offset in (0, -2, -1, 1, 2):
        view = np.eye(4)
        view[0, 3] = -0.12 * offset
        views.append(view)
    pictures = [render(view, k, width, height) for view in views]
    return {
        "images": np.stack([grey for grey, _ in pictures])[..., None], "views": np.stack(views),
        "ks": np.stack([k] * 5), "truth": pictures[0][1], "pair": 3, "range": (2.5, 20),
    }  # fmt: skip


def room(folder: Path, reference: int) -> dict[str, Any]:
    """One of the RGB-D frames and the others that see most of it, the closest first."""
    facts = json.loads((folder / "poses.json").read_text())
    order = {2: (2, 3, 4, 1), 3: (3, 4, 2, 1), 4: (4, 3, 2, 1)}[reference]
    frames = [facts["frames"][i] for i in order]
    k = np.array([[facts["fx"], 0, facts["cx"]], [0, facts["fy"], facts["cy"]], [0, 0, 1]])
    raw = cv2.imread(str(folder / frames[0]["depth"]), cv2.IMREAD_UNCHANGED)
    truth = raw / facts["depth_scale"]
    images = [cv2.imread(str(folder / frame["color"]))[..., ::-1] for frame in frames]
    views = [np.eye(4), *(resected(images[0], truth, image, k) for image in images[1:])]
    k[:2, 2] += 0.5  # its pixel centres are whole numbers
    return {
        "images": np.stack(images), "views": np.stack(views), "ks": np.stack([k] * len(order)),
        "truth": truth, "pair": 1, "range": (0.7, 12),
    }  # fmt: skip


def street(folder: Path, frame: int) -> dict[str, Any]:
    """A frame of the reconstructed clip, four neighbours in time, and depth where points project.

    No ground truth: points hidden in the frame and errors of the cameras count against the methods.
    """
    facts = json.loads((folder / "plaza_sfm/plaza_sfm.json").read_text())
    camera, offsets = facts["camera"], (0, 30, -30, 15, -15)
    k = np.array([[camera["f"], 0, camera["cx"]], [0, camera["f"], camera["cy"]], [0, 0, 1]])
    centred = k - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    video = cv2.VideoCapture(str(folder.parent / facts["clip"]))
    read = [video.read()[1] for _ in range(frame + max(offsets) + 1)]
    views = [np.array(facts["frames"][frame + offset]["world_to_camera"]) for offset in offsets]
    distortion = np.array([camera["k1"], 0, 0, 0])
    images = [cv2.undistort(read[frame + offset], centred, distortion) for offset in offsets]
    with np.load(folder / "plaza_sfm/plaza_sfm_points.npz") as points:
        xyz = points["xyz"][(points["error"] < 1) & (points["track_length"] >= 10)]
    seen = xyz @ views[0][:3, :3].T + views[0][:3, 3]
    seen = seen[seen[:, 2] > 0]
    x, y = (seen @ k.T)[:, :2].T / seen[:, 2]
    inside = (x >= 0) & (x < camera["w"]) & (y >= 0) & (y < camera["h"])
    truth = np.full((camera["h"], camera["w"]), np.inf)
    np.minimum.at(truth, (y[inside].astype(int), x[inside].astype(int)), seen[inside, 2])
    truth = np.where(np.isfinite(truth), truth, 0)
    near, far = np.percentile(truth[truth > 0], (1, 99))
    return {
        "images": np.stack(images)[..., ::-1], "views": np.stack(views), "ks": np.stack([k] * 5),
        "truth": truth, "pair": 1, "range": (0.6 * near, 2 * far),
    }  # fmt: skip


def resected(
    reference: np.ndarray, depth: np.ndarray, image: np.ndarray, k: np.ndarray
) -> np.ndarray:
    """Camera of `image` from matched features: the given poses miss these by 1 to 9 pixels."""
    sift = cv2.SIFT_create(6000, contrastThreshold=0.01)
    (near, a), (far, b) = (sift.detectAndCompute(np.ascontiguousarray(i), None)
                           for i in (reference[..., ::-1], image[..., ::-1]))  # fmt: skip
    pairs = [m for m, n in cv2.BFMatcher().knnMatch(a, b, 2) if m.distance < 0.75 * n.distance]
    first = np.array([near[m.queryIdx].pt for m in pairs])
    second = np.array([far[m.trainIdx].pt for m in pairs])
    z = cv2.remap(depth, *(first.astype(np.float32).T[..., None]), cv2.INTER_NEAREST)[:, 0]
    points = np.c_[first, np.ones(len(first))] @ np.linalg.inv(k).T * z[:, None]
    known = z > 0
    cv2.setRNGSeed(0)
    _, turn, shift, inliers = cv2.solvePnPRansac(
        points[known], second[known], k, None, reprojectionError=3, iterationsCount=5000
    )
    kept = inliers[:, 0]
    turn, shift = cv2.solvePnPRefineLM(
        points[known][kept], second[known][kept], k, None, turn, shift
    )
    view = np.eye(4)
    view[:3, :3], view[:3, 3] = cv2.Rodrigues(turn)[0], shift[:, 0]
    return view


def ours(scene: dict[str, Any], planes: int, **options: Any) -> tuple[np.ndarray, ...]:
    images = torch.as_tensor(np.ascontiguousarray(scene["images"])).permute(0, 3, 1, 2)
    cameras = (torch.as_tensor(scene[name]) for name in ("views", "ks"))
    depths = inverse_depth_planes(*scene["range"], planes)
    sweep = plane_sweep(images[0], images[1:], *cameras, depths, **options)
    return tuple(part.numpy() for part in sweep)


def matcher(disparities: int) -> cv2.StereoSGBM:
    """Its usual settings, all eight directions."""
    return cv2.StereoSGBM_create(
        0, disparities, 5, 8 * 25, 32 * 25, 1, 31, 10, 100, 2, cv2.STEREO_SGBM_MODE_HH
    )


def theirs(scene: dict[str, Any]) -> np.ndarray:
    """StereoSGBM's depth in the reference view, 0 where it has none."""
    first, second = scene["images"][0], scene["images"][scene["pair"]]
    views, k = scene["views"], scene["ks"][0].copy()
    k[:2, 2] -= 0.5  # OpenCV's centres are whole numbers
    relative = views[scene["pair"]] @ np.linalg.inv(views[0])
    height, width = first.shape[:2]
    swapped = np.linalg.inv(relative) if relative[0, 3] > 0 else relative
    left, right = (second, first) if relative[0, 3] > 0 else (first, second)
    r1, r2, p1, p2, q, _, _ = cv2.stereoRectify(
        k, None, k, None, (width, height), swapped[:3, :3].copy(), swapped[:3, 3:].copy(),
        flags=cv2.CALIB_ZERO_DISPARITY, alpha=-1,
    )  # fmt: skip
    rectified = [
        cv2.remap(image, *cv2.initUndistortRectifyMap(k, None, r, p[:, :3], (width, height), 5),
                  cv2.INTER_LINEAR)
        for image, r, p in ((left, r1, p1), (right, r2, p2))
    ]  # fmt: skip
    most = abs(p2[0, 3]) / scene["range"][0]
    disparity = matcher(max(int(np.ceil(most / 16)), 1) * 16).compute(*rectified) / 16
    points = cv2.reprojectImageTo3D(disparity.astype(np.float32), q)[disparity > 0] @ r1
    if relative[0, 3] > 0:  # points are in the second camera
        back = np.linalg.inv(relative)
        points = points @ back[:3, :3].T + back[:3, 3]
    result = np.full((height, width), np.inf)
    pixel = np.rint((points @ k.T)[:, :2] / points[:, 2:]).astype(int)
    inside = ((pixel >= 0) & (pixel < (width, height))).all(1) & (points[:, 2] > 0)
    np.minimum.at(result, (pixel[inside, 1], pixel[inside, 0]), points[inside, 2])
    return np.where(np.isfinite(result), result, 0)


def right_by_confidence(
    depth: np.ndarray, confidence: np.ndarray, truth: np.ndarray, planes: int, span: tuple
) -> list[float | None]:
    known = (truth > span[0]) & (truth < span[1]) & (depth > 0)
    depth, confidence, truth = depth[known], confidence[known], truth[known]
    step = (1 / span[0] - 1 / span[1]) / (planes - 1)
    right = (np.abs(depth / truth - 1) <= BAD) | (np.abs(1 / depth - 1 / truth) <= step)
    bins = [right[(5 * confidence).astype(int).clip(0, 4) == k] for k in range(5)]
    return [round(float(part.mean()), 2) if part.size > 50 else None for part in bins]


def score(depth: np.ndarray, valid: np.ndarray, truth: np.ndarray, span: tuple) -> dict[str, float]:
    known = (truth > span[0]) & (truth < span[1])
    good = known & valid & (depth > 0)
    error = np.abs(depth[good] / truth[good] - 1)
    return {
        "complete": round(float(good.sum() / known.sum()), 3),
        "error": round(float(np.median(error)), 4) if error.size else float("nan"),
        "bad": round(float((error > BAD).mean()), 3) if error.size else float("nan"),
    }


def colours(depth: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    inverse = np.where(depth > 0, 1 / np.maximum(depth, 1e-6), 0)
    level = np.clip((inverse - 1 / span[1]) / (1 / span[0] - 1 / span[1]), 0, 1)
    picture = cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_TURBO)
    return np.where(depth[..., None] > 0, picture, 0)


def measure_depth(name: str, scene: dict[str, Any], quick: bool, pictures: Path | None) -> Any:
    truth, span, planes = scene["truth"], scene["range"], 64 if quick else 128
    peer = theirs(scene)
    rows = [{"scene": name, "method": "StereoSGBM", **score(peer, peer > 0, truth, span)}]
    shown = [scene["images"][0][..., ::-1], colours(truth, span), colours(peer, span)]
    pair = {key: scene[key][[0, scene["pair"]]] for key in ("images", "views", "ks")}
    for cost in ("census", "zncc"):
        for label, part in (("", scene), (", one source", {**scene, **pair})):
            depth, confidence, valid = ours(part, planes, cost=cost)
            rows.append({"scene": name, "method": cost + label, **score(depth, valid, truth, span)})
            rows[-1]["right_by_confidence"] = right_by_confidence(
                depth, confidence, truth, planes, span
            )
            if label == "":
                shown += [colours(depth, span), colours(np.where(valid, depth, 0), span)]
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
        shown = [np.broadcast_to(picture, (*truth.shape, 3)) for picture in shown]
        cv2.imwrite(str(pictures / f"{name}.png"), np.hstack(shown))
    return rows


def measure_speed(quick: bool) -> list[dict[str, Any]]:
    width, height = (320, 180) if quick else (640, 360)
    scene = rendered_scene(width, height)
    work = {
        f"{cost}, {paths} paths": lambda cost=cost, paths=paths: ours(
            scene, 64, cost=cost, paths=paths
        )
        for cost in ("census", "zncc")
        for paths in (8, 4)
    }
    grey = [np.ascontiguousarray(scene["images"][i, ..., 0]) for i in (0, 3)]
    work["StereoSGBM, one pair"] = lambda: matcher(64).compute(*grey)
    wall = dict.fromkeys(work, float("inf"))
    processor = dict(wall)
    for _ in range(2 if quick else 7):
        for name, task in work.items():
            started = time.perf_counter(), time.process_time()
            task()
            wall[name] = min(wall[name], time.perf_counter() - started[0])
            processor[name] = min(processor[name], time.process_time() - started[1])
    return [
        {"task": name, "size": f"{width}x{height}", "threads": torch.get_num_threads(),
         "frames_per_second": round(1 / wall[name], 2),
         "processor_seconds": round(processor[name], 3)}
        for name in work
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/posed")
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    scenes = {"rendered": rendered_scene(*((320, 180) if arguments.quick else (640, 360)))}
    if (arguments.data / "rgbd_room5").is_dir():
        for reference in (2, 3, 4):
            scenes[f"room {reference}"] = room(arguments.data / "rgbd_room5", reference)
    else:
        print(f"no RGB-D frames in {arguments.data}: only the rendered scene")
    if (arguments.data / "plaza_sfm").is_dir():
        for frame in (60, 180, 280):
            scenes[f"street {frame}"] = street(arguments.data, frame)
    depth = []
    for name, scene in scenes.items():
        for row in measure_depth(name, scene, arguments.quick, arguments.pictures):
            depth.append(row)
            print(f"{row['scene']:10} {row['method']:20} complete {row['complete']:.3f}, "
                  f"median error {row['error']:.4f}, bad {row['bad']:.3f}, right by confidence "
                  f"{row.get('right_by_confidence', '-')}")  # fmt: skip
    speed = measure_speed(arguments.quick)
    for row in speed:
        print(f"{row['size']} {row['task']:22} {row['frames_per_second']:6.2f} frames/s, "
              f"{row['processor_seconds']:.3f} s of processor time")  # fmt: skip
    print(f"wanted {LIMIT} frames/s, 640x360, 64 planes, 4 sources")
    if arguments.json:
        facts = {**machine_facts(), "opencv": cv2.__version__, "isa": _core.active_isa()}
        result = {"machine": facts, "limit": LIMIT, "speed": speed, "depth": depth}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
