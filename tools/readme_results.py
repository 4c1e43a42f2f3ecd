"""Fills the results of README.md from benchmarks/results, and draws their plot.

    python tools/readme_results.py

No figure between the markers is written by hand.
"""

import csv
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PLOT = ROOT / "docs" / "images" / "results.png"
NAMES = {
    "vidstab": "ffmpeg vidstab, default",
    "vidstab-30": "ffmpeg vidstab, smoothing 30, optzoom",
    "opencv-2pass": "OpenCV TwoPassStabilizer",
    "transcode": "ffmpeg, transcode only",
    "steadyview": "**steadyview**",
}
Facts = dict[str, Any]


def main() -> None:
    results = json.loads((RESULTS / "stabilize.json").read_text())
    solvers = json.loads((RESULTS / "path.json").read_text())["solvers"]
    parts = [*quality(results["quality"]), *truth()]
    parts += [*speed(results["speed"]), memory(results["memory"])]
    text = "\n\n".join([*parts, path_solver(solvers), kernels()])
    draw(results["quality"]["rows"])
    readme = ROOT / "README.md"
    before, rest = readme.read_text().split("<!-- results:begin", 1)
    marker, rest = rest.split("-->", 1)
    after = rest.split("<!-- results:end -->", 1)[1]
    readme.write_text(f"{before}<!-- results:begin{marker}-->\n{text}\n<!-- results:end -->{after}")


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def quality(facts: Facts) -> list[str]:
    rows = []
    for peer in facts["summary"]:
        theirs = [row for row in facts["rows"] if row["tool"] == peer]
        mine = [row for row in facts["rows"] if row.get("peer") == peer]
        for name, group in ((NAMES[peer], theirs), ("**steadyview**, same cropping", mine)):
            columns = ["shake_removed_db", "kept_mean", "sharpness_kept", "wobble_result_px"]
            removed, kept, detail, wobble = (mean(group, column) for column in columns)
            rows.append(
                [
                    name,
                    f"{removed:.1f} dB",
                    f"{kept:.3f}",
                    f"{detail:.2f}",
                    f"{wobble:.3f} px",
                    f"{wobble - mean(group, 'wobble_source_px'):+.3f} px",
                    str(sum(row["border_pixels"] for row in group)),
                ]
            )
    wins = "; ".join(
        f"{value['won']} of {value['clips']} clips against {NAMES[peer]}, "
        f"by {value['mean_advantage_db']:+.1f} dB on average"
        f" ({value['least_advantage_db']:+.1f} dB at least)"
        for peer, value in facts["summary"].items()
    )
    misses = sorted({miss for value in facts["summary"].values() for miss in value["misses"]})
    intro = (
        "Six real clips, each peer with its own settings and steadyview at the same mean cropping; "
        "same encoder. Means over the clips; wobble is what no homography explains, and what the "
        "result has more than its source is beside it. All measured by "
        "`steadyview.metrics`, which shares no code with our motion estimate."
    )
    head = ["", "shake removed", "kept", "detail", "wobble", "over source", "border pixels"]
    close = f"More shake removed on {wins}. Missed: {'; '.join(misses) or 'nothing'}."
    return [intro, table(head, rows), close, "![Shake removed by clip](docs/images/results.png)"]


def truth() -> list[str]:
    """Against the true steady videos of the synthetic scenes."""
    with (RESULTS / "synthetic" / "records.csv").open() as file:
        records = [row for row in csv.DictReader(file) if row["status"] == "ok"]
    rows = []
    for tool in ("vidstab", "vidstab-30", "opencv-2pass", "global_flow"):
        mine = [row for row in records if row["tool"] == tool]
        columns = ["truth_path_error_px", "truth_aligned_psnr_db", "shake_removed_db", "kept_mean"]
        error, psnr, removed, kept = (
            mean([row for row in mine if row[column]], column) for column in columns
        )
        name = NAMES.get(tool, NAMES["steadyview"])
        rows.append([name, f"{error:.2f} px", f"{psnr:.1f} dB", f"{removed:.1f} dB", f"{kept:.3f}"])
    scenes = len({row["clip"] for row in records})
    intro = (
        f"{scenes} synthetic scenes whose true steady video is known, each method with its own "
        "settings ([what they are, and every figure](docs/benchmark.md)). Path error: how the "
        "frame's corners move above 1 Hz against the truth, in a frame 640 pixels wide."
    )
    head = ["", "path error", "PSNR", "shake removed", "kept"]
    return [intro, table(head, rows)]


def mean(rows: list[Facts], column: str) -> float:
    return sum(float(row[column]) for row in rows) / len(rows)


def speed(facts: Facts) -> list[str]:
    tools = list(facts["sizes"][0]["tools"])
    head = [f"file to file, {facts['seconds']} s of video"]
    head += [f"{row['size'][0]}×{row['size'][1]}" for row in facts["sizes"]]
    rows = [[NAMES[tool], *(rate(row["tools"][tool]) for row in facts["sizes"])] for tool in tools]
    machine = facts["machine"]
    note = (
        f"Two cores of an {machine['cpu']}, {machine['cores']} in all, {facts['repeats']} run(s); "
        "in brackets the time as a multiple of mere transcoding."
    )
    return [table(head, rows), note]


def rate(tool: Facts) -> str:
    return f"{tool['fps']:.0f} frames/s ({tool['times_transcode']:.2f})"


def memory(facts: Facts) -> str:
    short, long = facts["runs"]
    return (
        f"Memory at {facts['size'][0]}×{facts['size'][1]}: {long['peak_mib']:.0f} MiB for "
        f"{long['seconds'] // 60} minutes, {short['peak_mib']:.0f} MiB for {short['seconds']} s"
        + (f" ({facts['note']})." if "note" in facts else ".")
    )


def path_solver(rows: list[Facts]) -> str:
    ours = [row for row in rows if row["solver"] == "steadyview" and row["footage"] == "real"]
    lines = [
        [
            row["problem"],
            f"{row['frames']:,}",
            f"{row['ms']:.2f} ms",
            f"{row['fastest_peer_over_ours']:.1f} times as long",
        ]
        for row in ours
        if row.get("fastest_peer_over_ours")
    ]
    head = [
        "path QP, accuracy 1e-8",
        "frames",
        "steadyview",
        "fastest of PIQP, Clarabel, OSQP takes",
    ]
    return table(head, lines)


def kernels() -> str:
    """What the kernels take on two cores, and their strongest peer in the same run."""
    warps = json.loads((RESULTS / "warp.json").read_text())["tensors"]
    two = {row["what"]: row for row in warps if row["size"] == "720p" and row["threads"] == 2}
    lines = []
    for what in ("bilinear", "bicubic", "lanczos3"):
        ms, ratios = two[what]["ms"], two[what]["ratios"]
        name = f"`backward_warp`, {what}"
        lines.append([name, f"{ms['flow']:.1f} ms", "OpenCV remap", f"{ratios['remap']:.1f}"])
        if "grid_sample both" in ratios:
            both = f"{ratios['grid_sample both']:.1f}"
            lines.append([f"{name}, gradients", f"{ms['both']:.1f} ms", "grid_sample", both])
    ms, ratios = two["splat"]["ms"], two["splat"]["ratios"]
    for name, key in (("", "program"), (", gradients", "program both")):
        time = f"{ms['both' if name else 'softmax']:.1f} ms"
        lines.append([f"`forward_splat`, softmax{name}", time, "torch", f"{ratios[key]:.1f}"])
    planes = json.loads((RESULTS / "multiplane.json").read_text())["rows"]
    ms = next(r["ms"] for r in planes if (r["size"], r["planes"]) == ("720p", 32))
    for name, ours, peer, label in (
        ("`multiplane_project`, 32 planes", "project", "remap of planes", "OpenCV, by plane"),
        ("`multiplane_render`, 32 planes", "render", "render with grid_sample", "grid_sample"),
    ):
        ratio = f"{ms[peer][0] / ms[ours][0]:.1f}"
        lines.append([name, f"{ms[ours][0]:.1f} ms", label, ratio])
    fills = json.loads((RESULTS / "fill.json").read_text())["rows"]
    row = next(r for r in fills if r["size"] == "720p")
    for name, key, label in (
        ("`fill_holes` with depth, 9 % holes", "fill, depth", "OpenCV inpaint"),
        ("`guided_filter`, radius 30", "guided", "of OpenCV boxFilter"),
        ("`smooth_depth`, a frame", "smooth", "of OpenCV remap, boxFilter"),
    ):
        lines.append([name, f"{row['ms'][key]:.1f} ms", label, f"{row['ratios'][key]:.1f}"])
    splats = json.loads((RESULTS / "gaussians.json").read_text())["results"]
    row = next(r for r in splats if (r["count"], r["size"], r["threads"]) == (100000, "720p", 2))
    for name, key, theirs in (("", "forward_ms", 272), (", gradients", "both_ms", 330)):
        label, ratio = "OpenSplat, as measured before", f"{theirs / row[key]:.0f}"
        lines.append([f"`rasterization`, 100k{name}", f"{row[key]:.1f} ms", label, ratio])
    key = (100000, "720p", 2, 3)
    row = next(r for r in splats if (r["count"], r["size"], r["threads"], r["degree"]) == key)
    for name, stage in (
        ("`fully_fused_projection`, 100k", "project"),
        ("`spherical_harmonics`, 100k, degree 3", "harmonics"),
    ):
        if theirs := row.get(f"gsplat_{stage}_ms"):  # where gsplat is installed
            ratio = f"{theirs / row[f'{stage}_ms']:.0f}"
            label = "gsplat's tensor operations"
            lines.append([name, f"{row[f'{stage}_ms']:.1f} ms", label, ratio])
    steps = json.loads((RESULTS / "fitting.json").read_text())["results"]
    row = next(r for r in steps if (r["count"], r["size"]) == (100000, "720p"))
    lines.append(["`fit_gaussians`, a step of 100k", f"{row['step_ms']:.1f} ms", "", ""])
    ratio = f"{row['torch_loss_ms'] / row['loss_ms']:.0f}"
    lines.append(["its loss, gradients", f"{row['loss_ms']:.1f} ms", "torch's operations", ratio])
    head = ["1280×720, two threads, CPU", "steadyview", "peer", "peer takes times as long"]
    return table(head, lines)


def draw(rows: list[Facts]) -> None:
    peer = "vidstab-30"
    theirs = [row for row in rows if row["tool"] == peer]
    mine = {row["clip"]: row for row in rows if row.get("peer") == peer}
    figure, axes = pyplot.subplots(figsize=(8, 3.2), layout="constrained")
    for offset, name, color, values in (
        (-0.2, "ffmpeg vidstab, smoothing 30", "#9a9a9a", [r["shake_removed_db"] for r in theirs]),
        (0.2, "steadyview", "#2a6fbb", [mine[r["clip"]]["shake_removed_db"] for r in theirs]),
    ):
        places = [i + offset for i in range(len(theirs))]
        bars = axes.bar(places, values, 0.38, label=name, color=color)
        axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
    labels = [f"{r['clip'].replace('_', ' ')}\nkept {r['kept_mean']:.2f}" for r in theirs]
    axes.set_xticks(range(len(theirs)), labels, fontsize=7)
    axes.set_ylabel("shake removed above 1 Hz (dB)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    figure.savefig(PLOT, dpi=130)


if __name__ == "__main__":
    main()
