"""Global motion: time a pair and accuracy, against LK + RANSAC and DIS + RANSAC in the same run.

The clip is a real frame (or noise at all scales without one) seen through known similarities, with
sensor noise, and in a second version with a textured object over 30 % of the frame.

    python benchmarks/motion.py [--quick] [--json FILE] [--picture FILE]
"""

import argparse
import itertools
import json
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from machine import machine_facts
from steadyview import _core
from steadyview.motion.flow import DisFlow
from steadyview.motion.global_motion import MotionEstimator

SIZES = ((640, 360), (1280, 720), (1920, 1080))
#: Budget in core-milliseconds a frame (issue 3): the tool stays within twice a transcode.
LIMIT = {640: 2.5, 1280: 4.0, 1920: 4.0}


def picture(size: tuple[int, int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.zeros((size[1], size[0]), np.float32)
    for sigma in (1.5, 3, 6, 12, 24, 48):
        small = (max(int(size[0] / sigma), 2), max(int(size[1] / sigma), 2))
        noise = rng.normal(size=small[::-1]).astype(np.float32)
        image += cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 20 * image, 0, 255).astype(np.uint8)


def make_clip(
    size: tuple[int, int], count: int, moving_object: bool, source: np.ndarray | None
) -> tuple[list[np.ndarray], np.ndarray]:
    """Frames, and the centred 3x3 motion between them."""
    w, h = size
    fine = 2  # rendered twice as large, then averaged
    if source is None:
        world = picture((2 * w, 2 * h), 1)
    else:
        world = cv2.resize(source, (2 * w, 2 * h), interpolation=cv2.INTER_CUBIC)
    thing = picture((int(0.6 * w * fine), int(0.5 * h * fine)), 2)
    rng = np.random.default_rng(3)
    t = np.arange(count) / 30
    poses = np.zeros((count, 4))
    for k, size_of in enumerate((0.006, 0.004, 0.0094 * w, 0.0094 * w)):
        for hertz in (0.5, 1.3, 2.7, 4.1, 6.3):
            wave = rng.normal() * np.cos(2 * np.pi * hertz * t + rng.uniform(0, 6.28))
            poses[:, k] += 0.5 * size_of * wave
    frames, matrices = [], []
    for i, (angle, log_scale, tx, ty) in enumerate(poses):
        a, b = np.exp(log_scale) * np.cos(angle), np.exp(log_scale) * np.sin(angle)
        matrix = np.array([[a, -b, tx], [b, a, ty], [0, 0, 1]])
        to_centre = np.array(
            [[1 / fine, 0, 0.5 / fine - w / 2], [0, 1 / fine, 0.5 / fine - h / 2], [0, 0, 1]]
        )
        to_world = np.array([[1, 0, w - 0.5], [0, 1, h - 0.5], [0, 0, 1]])
        image = cv2.warpAffine(
            world,
            (to_world @ matrix @ to_centre)[:2],
            (w * fine, h * fine),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
        if moving_object:  # 12 px a frame at 640 pixels, to and fro
            x = int(fine * (0.2 * w + 0.15 * w * np.sin(8 * t[i] / 0.65)))
            y = int(fine * 0.3 * h)
            image[y : y + thing.shape[0], x : x + thing.shape[1]] = thing
        image = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        image += 2 * rng.normal(size=image.shape)
        frames.append(np.clip(np.round(image), 0, 255).astype(np.uint8))
        matrices.append(matrix)
    pairs = itertools.pairwise(matrices)
    return frames, np.array([np.linalg.inv(after) @ before for before, after in pairs])


def similarity_of(first: np.ndarray, second: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    centre = np.array([size[0] / 2 - 0.5, size[1] / 2 - 0.5])
    found, _ = cv2.estimateAffinePartial2D(
        first - centre, second - centre, method=cv2.RANSAC, ransacReprojThreshold=1.0
    )
    return np.vstack([np.eye(3)[:2] if found is None else found, [0, 0, 1]])


def lk_ransac(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    corners = cv2.goodFeaturesToTrack(first, 1000, 0.01, 8)
    moved, good, _ = cv2.calcOpticalFlowPyrLK(first, second, corners, None)
    keep = good.reshape(-1) > 0
    corners, moved = corners.reshape(-1, 2)[keep], moved.reshape(-1, 2)[keep]
    return similarity_of(corners, moved, first.shape[::-1])


class DisRansac:
    def __init__(self) -> None:
        self.dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        flow = self.dis.calc(first, second, None)
        y, x = np.mgrid[4 : first.shape[0] : 8, 4 : first.shape[1] : 8]
        points = np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)
        return similarity_of(points, points + flow[y, x].reshape(-1, 2), first.shape[::-1])


class Ours:
    """The estimator's pair step, with its parts timed."""

    def __init__(self, size: tuple[int, int], refine: int) -> None:
        self.estimator = MotionEstimator(size, options={"refine_iterations": refine})
        self.factor = self.estimator._factor
        self.flow = DisFlow()
        self.previous: tuple[_core.AnalysisFrame, np.ndarray] | None = None
        self.parts: dict[str, list[float]] = {"reduce": [], "flow": [], "fit": []}

    def add(self, luma: np.ndarray) -> np.ndarray | None:
        start = time.process_time()
        frame = _core.AnalysisFrame(luma, self.factor, 8)
        small = frame.small(self.estimator._flow_factor)
        reduced = time.process_time()
        previous, self.previous = self.previous, (frame, small)
        if previous is None:
            return None
        flow = self.flow.flow(previous[1], small)
        flowed = time.process_time()
        found = self.estimator._pair.estimate(previous[0], frame, flow, self.estimator._flow_factor)
        done = time.process_time()
        for name, spent in (
            ("reduce", reduced - start),
            ("flow", flowed - reduced),
            ("fit", done - flowed),
        ):
            self.parts[name].append(1e3 * spent)
        a, b, tx, ty = found["similarity"] * (1, 1, self.factor, self.factor)
        return np.array([[a, -b, tx], [b, a, ty], [0, 0, 1]])


def error(found: list[np.ndarray], truth: np.ndarray, width: int) -> dict[str, float]:
    """Displacement of the centre and, by rotation, of the side: RMS px at 640 pixels."""
    off = np.array(found) - truth
    centre = np.hypot(off[:, 0, 2], off[:, 1, 2]) * 640 / width
    return {
        "centre_px": float(np.sqrt((centre**2).mean())),
        "centre_median_px": float(np.median(centre)),
        "side_px": float(np.sqrt((off[:, 1, 0] ** 2).mean()) * 320),
    }


def measure(frames: list[np.ndarray], truth: np.ndarray) -> dict[str, dict[str, float]]:
    size = frames[0].shape[::-1]
    ours, rough = Ours(size, 2), Ours(size, 0)
    peers = {"LK 1000 + RANSAC": lk_ransac, "DIS ultrafast + RANSAC": DisRansac()}
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("ours", "ours, flow fit only")}
    found |= {name: [] for name in peers}
    spent: dict[str, list[float]] = {name: [] for name in peers}
    for i, frame in enumerate(frames):  # interleaved: all see the same load
        for name, tool in (("ours", ours), ("ours, flow fit only", rough)):
            motion = tool.add(frame)
            if motion is not None:
                found[name].append(motion)
        if i:
            for name, peer in peers.items():
                start = time.process_time()
                found[name].append(peer(frames[i - 1], frame))
                spent[name].append(1e3 * (time.process_time() - start))
    rows = {name: error(motions, truth, size[0]) for name, motions in found.items()}
    for name, tool in (("ours", ours), ("ours, flow fit only", rough)):
        for part, times in tool.parts.items():
            rows[name][f"{part}_ms"] = statistics.median(times)
        rows[name]["ms"] = statistics.median(map(sum, zip(*tool.parts.values(), strict=True)))
    for name, times in spent.items():
        rows[name]["ms"] = statistics.median(times)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one size, few frames")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--picture", type=Path, help="a picture to look at instead of noise")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    source = None
    if arguments.picture:
        source = cv2.imread(str(arguments.picture), cv2.IMREAD_GRAYSCALE)
    results = []
    for size in SIZES[:1] if arguments.quick else SIZES:
        for moving_object in (False, True):
            clip = make_clip(size, 6 if arguments.quick else 16, moving_object, source)
            rows = measure(*clip)
            results.append({"size": size, "object": moving_object, "rows": rows})
            print(f"\n{size[0]}x{size[1]}, " + ("object on 30 %" if moving_object else "no object"))
            for name, row in rows.items():
                parts = ", ".join(f"{k[:-3]} {v:.2f}" for k, v in row.items() if k[-3:] == "_ms")
                print(
                    f"  {name:24} {row['ms']:6.2f} core-ms  centre {row['centre_px']:.4f} px rms, "
                    f"{row['centre_median_px']:.4f} median, side {row['side_px']:.4f}  {parts}"
                )
            ratio = rows["LK 1000 + RANSAC"]["ms"] / rows["ours"]["ms"]
            print(f"  limit {LIMIT[size[0]]} core-ms a frame; LK takes {ratio:.1f} times ours")
    if arguments.json:
        document = {
            "benchmark": "motion",
            "machine": machine_facts(),
            "instruction_set": _core.active_isa(),
            "results": results,
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
