"""steadyview against the stabilisers people use: quality, speed and memory, all from one run.

    python benchmarks/stabilize.py [quality] [speed] [memory] [--quick] [--json FILE]

quality  Every clip and peer: the peer's mean cropping is measured, steadyview runs with it as its
         crop limit, and both results are measured against the source by `steadyview.metrics`,
         which shares nothing with our own motion estimator. Wanted: more shake removed on every
         clip, 2 dB on average, no border pixel, sharper, wobble not above the source's.
speed    A minute of real footage, file to file, interleaved runs, medians. Wanted: faster than
         vidstab's two passes, at most 1.5 times mere transcoding (2 times at 640x360).
memory   Peak resident memory of ten minutes of 1080p against twenty seconds. Wanted: within 10 %,
         under 700 MB.

All tools encode with libx264 veryfast crf 18.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from machine import ROOT, Run, machine_facts, measure
from steadyview.benchmark.tools import (
    FFMPEG,
    TRANSCODE,
    VIDSTAB,
    VIDSTAB_30,
    Tool,
    ours,
    quality_peers,
)
from steadyview.metrics import compare_videos

CLIPS = [folder / "shared" / "data" / "clips" for folder in ROOT.parents]
EXAMPLES = ROOT / "examples"
SIZES = ((640, 360, 2.0), (1280, 720, 1.5), (1920, 1080, 1.5))

Facts = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help="quality, speed, memory; all when none is named")
    parser.add_argument("--clips", type=Path, help="folder of shaky clips")
    parser.add_argument("--only", help="only clips whose name holds this text")
    parser.add_argument("--quick", action="store_true", help="a smoke test: short and small")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved runs a tool (speed)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="add the figures to this file")
    parser.add_argument("--options", default="", help="further options for steadyview")
    parser.add_argument(
        "--program",
        default=f"{shlex.quote(sys.executable)} -m steadyview",
        help="our command; anything that takes `stabilize IN -o OUT --crop-limit X`",
    )
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {sorted(unknown)[0]!r}; known: {', '.join(PARTS)}")
    results: Facts = {}
    if arguments.json and arguments.json.exists():
        results = json.loads(arguments.json.read_text())
    for name in arguments.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="steadyview_bench_") as folder:
            machine = machine_facts()
            results[name] = {"machine": machine, **PARTS[name](arguments, Path(folder))}
        if arguments.json:
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps(results, indent=1) + "\n")


def clips_of(arguments: argparse.Namespace) -> list[Path]:
    folder = arguments.clips or next((path for path in CLIPS if path.is_dir()), EXAMPLES)
    kinds = {".mp4", ".mov", ".mkv", ".avi", ".webm"}
    clips = sorted(path for path in folder.iterdir() if path.suffix.lower() in kinds)
    clips = [path for path in clips if not arguments.only or arguments.only in path.name]
    if not clips:
        raise SystemExit(f"no clips in {folder}")
    return clips[:1] if arguments.quick else clips


def run_tool(tool: Tool, source: Path, result: Path, folder: Path) -> Run:
    result.unlink(missing_ok=True)
    return measure(tool.command(source, result), folder)


# --- quality ------------------------------------------------------------------------------------


def quality(arguments: argparse.Namespace, folder: Path) -> Facts:
    peers, missing = quality_peers()
    for name, reason in missing.items():
        print(f"left out: {name}: {reason}")
    print("Quality at the peer's mean cropping; shake in dB removed above 1 Hz, lengths in pixels")
    print(
        "of a 640-pixel source. detail: fine detail kept. wins: more shake removed than the peer.\n"
    )
    head = (
        f"{'clip':<24}{'tool':<14}{'removed':>9}{'kept':>7}{'min':>7}{'wobble':>8}{'(source)':>9}"
    )
    print(f"{head}{'detail':>8}{'border':>8}  advantage")
    rows: list[Facts] = []
    for clip in clips_of(arguments):
        source = _cut(clip, folder) if arguments.quick else clip
        floor = _measured(TRANSCODE, source, clip.stem, folder)
        print(_quality_line(floor))
        rows.append(floor)
        for peer in peers[:1] if arguments.quick else peers:
            theirs = _measured(peer, source, clip.stem, folder)
            limit = min(max(theirs["kept_mean"], 0.1), 1.0)
            tool = ours(limit, arguments.options, arguments.program)
            mine = _measured(tool, source, clip.stem, folder)
            mine["peer"] = peer.name
            mine["crop_limit"] = limit
            mine["advantage_db"] = mine["shake_removed_db"] - theirs["shake_removed_db"]
            mine["misses"] = _misses(mine, theirs, floor)
            print(_quality_line(theirs))
            print(_quality_line(mine), flush=True)
            rows += [theirs, mine]
    summary = _quality_summary(rows)
    return {"rows": rows, "summary": summary, "left_out": missing}


def _cut(clip: Path, folder: Path) -> Path:
    short = folder / f"short_{clip.stem}.mp4"
    measure(f"{FFMPEG} -i {shlex.quote(str(clip))} -t 2 -an -crf 12 {short}", folder)
    return short


def _measured(tool: Tool, source: Path, clip: str, folder: Path) -> Facts:
    result = folder / "result.mp4"
    run_tool(tool, source, result, folder)
    facts = compare_videos(source, result).to_dict()
    return {"clip": clip, "tool": tool.name, **facts, "source": source.name, "result": ""}


def _misses(mine: Facts, theirs: Facts, floor: Facts) -> list[str]:
    """What of the wanted is not reached. Encoding alone adds to wobble: that is allowed for."""
    misses = []
    if mine["advantage_db"] <= 0:
        misses.append("less shake removed")
    if mine["kept_mean"] < theirs["kept_mean"] - 0.002:
        misses.append("cropped more")
    if mine["border_pixels"]:
        misses.append("border")
    if mine["sharpness_kept"] < theirs["sharpness_kept"]:
        misses.append("less sharp")
    encoding = floor["wobble_result_px"] / max(floor["wobble_source_px"], 1e-6)
    if mine["wobble_result_px"] > mine["wobble_source_px"] * max(encoding, 1.0) * 1.005:
        misses.append("wobble")
    return misses


def _quality_line(row: Facts) -> str:
    line = (
        f"{row['clip'][:23]:<24}{row['tool']:<14}{row['shake_removed_db']:>6.2f} dB"
        f"{row['kept_mean']:>7.3f}{row['kept_min']:>7.3f}{row['wobble_result_px']:>8.3f}"
        f"{row['wobble_source_px']:>9.3f}{row['sharpness_kept']:>8.3f}{row['border_pixels']:>8}"
    )
    if "advantage_db" in row:
        verdict = ", ".join(row["misses"]) or "wins"
        line += f"  {row['advantage_db']:+6.2f} dB over {row['peer']}: {verdict}"
    return line


def _quality_summary(rows: list[Facts]) -> Facts:
    summary: Facts = {}
    print("\npeer            clips won   mean advantage (wanted +2.00)   misses")
    for peer in dict.fromkeys(row["peer"] for row in rows if "peer" in row):
        mine = [row for row in rows if row.get("peer") == peer]
        gains = [row["advantage_db"] for row in mine]
        misses = [f"{row['clip']}: {miss}" for row in mine for miss in row["misses"]]
        summary[peer] = {
            "clips": len(mine),
            "won": sum(gain > 0 for gain in gains),
            "mean_advantage_db": statistics.mean(gains),
            "least_advantage_db": min(gains),
            "misses": misses,
        }
        won = f"{summary[peer]['won']} of {len(mine)}"
        print(f"{peer:<16}{won:<12}{statistics.mean(gains):+6.2f} dB   {'; '.join(misses) or '-'}")
    print()
    return summary


# --- speed --------------------------------------------------------------------------------------


def speed(arguments: argparse.Namespace, folder: Path) -> Facts:
    seconds = 4 if arguments.quick else 60
    repeats = 1 if arguments.quick else arguments.repeats
    clip = clips_of(argparse.Namespace(**{**vars(arguments), "quick": True}))[0]
    preferred = [path for path in clips_of(arguments) if "plaza" in path.name]
    clip = preferred[0] if preferred else clip
    print(f"Speed: {seconds} s of {clip.name} looped, file to file, medians of {repeats}\n")
    rows = []
    for width, height, wanted in SIZES[:1] if arguments.quick else SIZES:
        source = looped(clip, width, height, seconds, folder)
        tools = [TRANSCODE, VIDSTAB, VIDSTAB_30, ours(0.8, arguments.options, arguments.program)]
        runs: dict[str, list[Run]] = {tool.name: [] for tool in tools}
        for _ in range(repeats):
            for tool in tools:
                runs[tool.name].append(run_tool(tool, source, folder / "result.mp4", folder))
        row = _speed_row((width, height), wanted, frame_count(source, folder), runs)
        rows.append(row)
        _print_speed(row)
    return {"clip": clip.name, "seconds": seconds, "repeats": repeats, "sizes": rows}


def looped(clip: Path, width: int, height: int, seconds: float, folder: Path) -> Path:
    """A clip scaled to a size, then repeated (without encoding again) for so many seconds."""
    scaled = folder / f"scaled_{width}x{height}.mp4"
    if not scaled.exists():
        scale = f"-vf scale={width}:{height}:flags=bicubic,setsar=1 -an"
        command = f"{FFMPEG} -i {shlex.quote(str(clip.resolve()))} {scale} -c:v libx264"
        measure(f"{command} -preset veryfast -crf 18 -pix_fmt yuv420p {scaled}", folder)
    source = folder / f"looped_{width}x{height}_{seconds:g}.mp4"
    measure(f"{FFMPEG} -stream_loop -1 -i {scaled} -t {seconds} -c copy {source}", folder)
    return source


def frame_count(video: Path, folder: Path) -> int:
    probe = "ffprobe -v error -count_packets -select_streams v:0 -of csv=p=0"
    run = measure(f"{probe} -show_entries stream=nb_read_packets {video}", folder)
    return int(run.output.strip().strip(","))


def _speed_row(
    size: tuple[int, int], wanted: float, frames: int, runs: dict[str, list[Run]]
) -> Facts:
    def median(name: str, what: str) -> float:
        return statistics.median(getattr(run, what) for run in runs[name])

    row: Facts = {"size": list(size), "frames": frames, "wanted_ratio": wanted, "tools": {}}
    limit, ours_wall = median("transcode", "wall"), median("steadyview", "wall")
    for name in runs:
        wall = median(name, "wall")
        row["tools"][name] = {
            "seconds": wall,
            "fps": frames / wall,
            "cpu_seconds": median(name, "cpu"),
            "peak_mib": median(name, "peak_mib"),
            "times_transcode": wall / limit,
            "ours_is_faster_by": wall / ours_wall,
            "runs": [run.wall for run in runs[name]],
        }
    middle = sorted(runs["steadyview"], key=lambda run: run.wall)[len(runs["steadyview"]) // 2]
    row["split_seconds"] = _split(middle.output)
    return row


def _split(output: str) -> Facts:
    """Stage times from our own JSON; empty when the program prints none."""
    try:
        timings = json.loads(output).get("timings", {})
    except (json.JSONDecodeError, AttributeError):
        return {}
    return {name: value for name, value in timings.items() if isinstance(value, (int, float))}


def _print_speed(row: Facts) -> None:
    width, height = row["size"]
    print(f"{width}x{height}, {row['frames']} frames")
    print(f"  {'tool':<14}{'s':>8}{'frames/s':>10}{'CPU s':>8}{'peak MiB':>10}{'x transcode':>13}")
    for name, facts in row["tools"].items():
        print(
            f"  {name:<14}{facts['seconds']:>8.2f}{facts['fps']:>10.1f}{facts['cpu_seconds']:>8.1f}"
            f"{facts['peak_mib']:>10.0f}{facts['times_transcode']:>13.2f}"
        )
    ratio = row["tools"]["steadyview"]["times_transcode"]
    gain = row["tools"]["vidstab"]["ours_is_faster_by"]
    print(
        f"  steadyview: {gain:.2f} x vidstab's speed (wanted over 1), {ratio:.2f} x the time of"
        f" transcoding (wanted at most {row['wanted_ratio']:.1f})"
    )
    if row["split_seconds"]:
        parts = [f"{name} {value:.2f}" for name, value in row["split_seconds"].items()]
        print(f"  stages, s (they overlap): {', '.join(parts)}")
    print(flush=True)


# --- memory -------------------------------------------------------------------------------------


def memory(arguments: argparse.Namespace, folder: Path) -> Facts:
    size, lengths = ((320, 180), (2, 8)) if arguments.quick else ((1920, 1080), (20, 600))
    clip = clips_of(arguments)[0]
    tool = ours(0.8, arguments.options, arguments.program)
    peaks = []
    print(f"Memory at {size[0]}x{size[1]}, {clip.name} looped")
    for seconds in lengths:
        source = looped(clip, *size, seconds, folder)
        run = run_tool(tool, source, folder / "result.mp4", folder)
        frames = frame_count(source, folder)
        peaks.append({"seconds": seconds, "frames": frames, "peak_mib": run.peak_mib})
        print(f"  {seconds:>4} s, {frames:>6} frames: peak {run.peak_mib:.0f} MiB", flush=True)
    growth = peaks[1]["peak_mib"] / peaks[0]["peak_mib"] - 1
    megabytes = peaks[1]["peak_mib"] * 2**20 / 1e6
    print(f"  growth {growth:+.1%} (wanted within 10 %), {megabytes:.0f} MB (wanted under 700)\n")
    return {"size": list(size), "runs": peaks, "growth": growth, "peak_mb": megabytes}


PARTS: dict[str, Callable[[argparse.Namespace, Path], Facts]] = {
    "quality": quality,
    "speed": speed,
    "memory": memory,
}

if __name__ == "__main__":
    main()
