"""Time of the standard scores, against the published script's algorithm, at the same values.

The script is tests/reference/standard_metrics.py: features found three times a frame, OpenCV's
matcher, every match a Python object. It is given frames in memory; the script itself also reads
three PNG files a frame, which is not counted. Both sides run in turn, the least time counts.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from machine import ROOT, machine_facts

sys.path.insert(0, str(ROOT / "tests"))

from reference.standard_metrics import standard_metrics
from steadyview import _core
from steadyview.metrics import compare_videos, standard_scores
from steadyview.metrics.standard import read_script_grey

LIMIT = 10.0
NAMES = {
    "cropping_avg": "cropping_mean",
    "cropping_min": "cropping_min",
    "distortion": "distortion",
    "stability": "stability",
    "stability_translation": "stability_translation",
    "stability_rotation": "stability_rotation",
}


def synthetic_pair(count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A shaky clip of a textured plane and a steadier, zoomed one, 640x360 grey."""
    rng = np.random.default_rng(0)
    plane = np.zeros((720, 1280), np.float32)
    for scale in (8, 20, 60):
        noise = rng.normal(size=(720 // scale, 1280 // scale)).astype(np.float32)
        plane += cv2.resize(noise, (1280, 720), interpolation=cv2.INTER_CUBIC)
    plane = np.clip(128 + 30 * plane, 0, 255)
    clips = []
    for sigma, zoom in ((4.0, 1.0), (0.7, 1.1)):
        frames = []
        for index in range(count):
            x, y = sigma * rng.normal(size=2) + (300 + index, 180)
            view = np.array([[1 / zoom, 0, x], [0, 1 / zoom, y]])
            flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            shown = cv2.warpAffine(plane, view, (640, 360), flags=flags)
            frames.append(np.clip(shown + rng.normal(size=shown.shape), 0, 255).astype(np.uint8))
        clips.append(frames)
    return clips[0], clips[1]


def load_pairs(folder: Path, count: int) -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
    pairs = {}
    for source in sorted(folder.glob("*.shaky.mp4")):
        name = source.name.removesuffix(".shaky.mp4")
        for result in sorted(folder.glob(f"{name}.*.mp4")):
            if result != source:
                clips = [list(read_script_grey(path))[:count] for path in (source, result)]
                pairs[f"{source.name} -> {result.name}"] = (clips[0], clips[1])
    return pairs


def measure(source: list[np.ndarray], result: list[np.ndarray], rounds: int) -> dict[str, float]:
    """Least wall and processor time a frame of each, run in turn, and how far values differ."""
    tools = {
        "script": lambda: standard_metrics(source, result),
        "ours": lambda: standard_scores(source, result).to_dict(),
        "exact": lambda: standard_scores(source, result, exact=True).to_dict(),
        "report": lambda: compare_videos(source, result).to_dict(),
    }
    row: dict[str, float] = {}
    values: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for name, tool in tools.items():
            wall, cpu = time.perf_counter(), time.process_time()
            values[name] = tool()
            spent = {"ms": time.perf_counter() - wall, "cpu_ms": time.process_time() - cpu}
            for unit, seconds in spent.items():
                key = f"{name}_{unit}"
                row[key] = min(row.get(key, np.inf), 1e3 * seconds / len(source))
    row["ratio"] = row["script_ms"] / row["ours_ms"]
    row["cpu_ratio"] = row["script_cpu_ms"] / row["ours_cpu_ms"]
    row["largest_difference"] = max(
        abs(values["ours"][ours] - values["script"][name]) for name, ours in NAMES.items()
    )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few frames, once")
    parser.add_argument("--frames", type=int, help="of each pair (30, quick 8)")
    parser.add_argument("--rounds", type=int, help="of which the least time counts (3, quick 1)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--pairs", type=Path, help="folder of NAME.shaky.mp4 and NAME.*.mp4")
    arguments = parser.parse_args()
    count, rounds = (8, 1) if arguments.quick else (30, 3)
    count, rounds = arguments.frames or count, arguments.rounds or rounds
    pairs = {"synthetic 640x360": synthetic_pair(count)}
    if arguments.pairs:
        pairs |= load_pairs(arguments.pairs, count)
    rows = {}
    for name, clips in pairs.items():
        row = rows[name] = measure(*clips, rounds)
        print(
            f"{name}\n  script {row['script_ms']:.0f} ms a frame ({row['script_cpu_ms']:.0f} of a "
            f"core), ours {row['ours_ms']:.0f} ({row['ours_cpu_ms']:.0f}), with OpenCV's SIFT "
            f"{row['exact_ms']:.0f} ({row['exact_cpu_ms']:.0f})\n  ratio {row['ratio']:.1f} "
            f"({row['cpu_ratio']:.1f} of processor time), wanted {LIMIT:.0f}; values differ by at "
            f"most {row['largest_difference']:.1e}\n  strict scores and the whole report: "
            f"{row['report_ms']:.0f} ms ({row['report_cpu_ms']:.0f})"
        )
    if arguments.json:
        document = {
            "benchmark": "metrics",
            "machine": machine_facts(),
            "instruction_set": _core.active_isa(),
            "opencv_threads": cv2.getNumThreads(),
            "limit": {"ratio": LIMIT},
            "frames": count,
            "rounds": rounds,
            "results": rows,
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
