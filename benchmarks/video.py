"""Reading and writing video: ours against PyAV's plain loop and the ffmpeg program.

    python benchmarks/video.py [--quick] [--json FILE] [--clip FILE]

Rates are frames a second of wall time, the best of interleaved rounds; "per CPU second" is more
telling on a busy machine. Limits: decoding at least 0.9 of PyAV's bare loop, transcoding at least
as fast as `ffmpeg -c:v libx264 -preset veryfast -crf 18`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

from machine import ROOT, machine_facts
from steadyview.video.pipeline import Prefetch
from steadyview.video.reader import open_video
from steadyview.video.writer import VideoWriter

FFMPEG = ["ffmpeg", "-v", "error", "-nostdin", "-y"]
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18"]
DECODE_LIMIT, TRANSCODE_LIMIT = 0.9, 1.0


def cpu_seconds() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def run(*arguments: object) -> None:
    subprocess.run([*FFMPEG, *map(str, arguments)], check=True)


def decode_ours(clip: Path, **options: Any) -> None:
    with open_video(clip, **options) as reader:
        for _ in reader:
            pass


def decode_pyav(clip: Path) -> None:
    with av.open(str(clip)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for _ in container.decode(video=0):
            pass


def encode_ours(clip: Path, frames: list[Any], output: Path) -> None:
    with open_video(clip) as reader:
        info = reader.info
    with VideoWriter(output, info, overwrite=True) as writer:
        for frame in frames:
            target = writer.frame()  # as a warp does: into the encoder's memory
            for to, plane in zip(target.planes, frame.planes, strict=True):
                np.copyto(to, plane)
            writer.write(target, frame.pts)


def transcode_ours(clip: Path, output: Path, *, threads: int = 0) -> None:
    with (
        open_video(clip) as reader,
        VideoWriter(
            output, reader.info, template=clip, crf=18, threads=threads, overwrite=True
        ) as writer,
        Prefetch(reader) as frames,
    ):
        for frame in frames:
            writer.write(frame)


def cases(clip: Path, folder: Path, frames: list[Any], size: str) -> dict[str, Callable[[], None]]:
    """What is timed at one size; the name says stage and program."""
    raw = folder / f"{size}.yuv"
    with raw.open("wb") as file:
        for frame in frames:
            for plane in frame.planes:
                file.write(np.ascontiguousarray(plane).tobytes())
    ours, theirs = folder / f"ours_{size}.mp4", folder / f"ffmpeg_{size}.mp4"
    raw_input = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", size, "-r", "30", "-i", raw]
    return {
        "decode ours": lambda: decode_ours(clip),
        "decode PyAV": lambda: decode_pyav(clip),
        "decode ffmpeg": lambda: run("-i", clip, "-an", "-f", "null", "-"),
        "encode ours": lambda: encode_ours(clip, frames, folder / "encoded.mp4"),
        "encode ffmpeg": lambda: run(*raw_input, *X264, folder / "encoded_ffmpeg.mp4"),
        "transcode ours": lambda: transcode_ours(clip, ours),
        "transcode ours, 2 threads": lambda: transcode_ours(clip, folder / "t2.mp4", threads=2),
        "transcode ours, 4 threads": lambda: transcode_ours(clip, folder / "t4.mp4", threads=4),
        "transcode ffmpeg": lambda: run("-i", clip, *X264, "-c:a", "copy", theirs),
    }


def bench_size(clip: Path, size: str, rounds: int, folder: Path, kept: int) -> dict[str, Any]:
    scaled = folder / f"clip_{size}.mp4"
    width, height = size.split("x")
    run("-i", clip, "-vf", f"scale={width}:{height}:flags=lanczos", *X264, "-c:a", "copy", scaled)
    with open_video(scaled) as reader:
        total = sum(1 for _ in reader)
        frames = [frame for _, frame in zip(range(kept), reader, strict=False)]
    jobs = cases(scaled, folder, frames, size)
    wall: dict[str, float] = {}
    cpu: dict[str, float] = {}
    for _ in range(rounds):  # interleaved, so that all see the same load
        for name, job in jobs.items():
            used, start = cpu_seconds(), time.perf_counter()
            job()
            wall[name] = min(wall.get(name, 1e9), time.perf_counter() - start)
            cpu[name] = min(cpu.get(name, 1e9), cpu_seconds() - used)
    counts = {name: len(frames) if name.startswith("encode") else total for name in jobs}
    result: dict[str, Any] = {
        "size": size,
        "frames": total,
        "fps": {name: counts[name] / wall[name] for name in jobs},
        "frames_per_cpu_second": {name: counts[name] / cpu[name] for name in jobs},
        "bytes": {
            "ours": (folder / f"ours_{size}.mp4").stat().st_size,
            "ffmpeg": (folder / f"ffmpeg_{size}.mp4").stat().st_size,
        },
    }
    for stage, peer in (("decode", "PyAV"), ("encode", "ffmpeg"), ("transcode", "ffmpeg")):
        for unit in ("fps", "frames_per_cpu_second"):
            rates = result[unit]
            result[f"{stage}_ratio_{unit}"] = rates[f"{stage} ours"] / rates[f"{stage} {peer}"]
    return result


def show(result: dict[str, Any]) -> None:
    print(f"\n{result['size']}, {result['frames']} frames{'':14} frames/s   per CPU second")
    for name, rate in result["fps"].items():
        print(f"  {name:28} {rate:12.1f} {result['frames_per_cpu_second'][name]:12.1f}")
    for stage, limit in (("decode", DECODE_LIMIT), ("transcode", TRANSCODE_LIMIT)):
        ratio = result[f"{stage}_ratio_fps"]
        per_cpu = result[f"{stage}_ratio_frames_per_cpu_second"]
        verdict = "reached" if ratio >= limit else "MISSED"
        print(
            f"  {stage}: {ratio:.2f} of the peer (per CPU {per_cpu:.2f}), limit {limit}: {verdict}"
        )
    print(f"  bytes: ours {result['bytes']['ours']}, ffmpeg {result['bytes']['ffmpeg']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one size, two rounds")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--clip", type=Path, default=ROOT / "examples" / "handheld.mp4")
    options = parser.parse_args()
    sizes = ["640x360"] if options.quick else ["640x360", "1280x720", "1920x1080"]
    facts = machine_facts()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            rounds = 2 if options.quick else 3
            results.append(bench_size(options.clip, size, rounds, Path(folder), kept=60))
            show(results[-1])
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        report = {"machine": facts, "libraries": av.library_versions, "results": results}
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
