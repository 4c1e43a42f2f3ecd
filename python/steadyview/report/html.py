"""The report of a stabilisation: one HTML file that needs no network and no library."""

import html
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from .charts import LOW_CONFIDENCE, centre_length, path_charts, quality_charts
from .measures import measures_html
from .page import page, versions, write_page
from .pictures import crop_window, data_url, draw_crop_window, frames_at, shrink
from .series import PathSeries, path_series

__all__ = ["report_html", "worst_frames", "write_report"]

PICTURE_WIDTH = 480


def write_report(
    result: Any, output: str | os.PathLike, *, quality: Any = None, overwrite: bool = False
) -> Path:
    """Writes the report of a result.

    Args:
        result: a `StabilizationResult`.
        output: the HTML file to write.
        quality: the `QualityReport` of the finished pair; None reports what the paths predict.
        overwrite: replace an existing file.

    Raises:
        OutputError: the file exists or cannot be written; nothing is left behind.
    """
    return write_page(report_html(result, quality), output, overwrite=overwrite)


def report_html(result: Any, quality: Any = None) -> str:
    """The whole page as text; see `write_report`."""
    motion, path = result.motion, result.path
    before, after = path_series(motion, path.source_from_output, path.displacement)
    times = motion.times - motion.times[0]
    worst = worst_frames(result, after, quality)
    name = Path(str(result.info.source)).name or "frames"
    sections = [
        _tiles(result, quality),
        _notices(result),
        "" if quality is None else measures_html(quality.to_dict()),
        path_charts(motion, times, before, after),
        quality_charts(result, times, before, after, quality),
        _pictures(result, worst),
        _worst_table(result, worst),
        _details(result),
    ]
    info = result.info
    output = result.output.name if result.output is not None else "not written"
    return page(
        f"{name}: stabilisation report",
        name,
        f"{info.width}×{info.height}, {motion.frames} frames, {times[-1]:.1f} s at "
        f"{float(info.frame_rate):.4g} frames/s → {html.escape(output)}",
        sections,
        _manifest(result, quality),
        "Pixels are those of the source unless it says otherwise; the table and the measured shake "
        "use a frame whose long side is 640 pixels.",
    )


def worst_frames(
    result: Any, after: PathSeries, quality: Any = None, count: int = 6
) -> list[tuple[int, str]]:
    """The frames most worth a look, worst kind first: (index, why), at most one a second.

    Args:
        result: a `StabilizationResult`.
        after: the image path of the result.
        quality: the `QualityReport` of the finished pair, if it was measured.
        count: how many at most.
    """
    motion, path = result.motion, result.path
    found: list[tuple[int, str]] = []

    def add(index: int, why: str) -> None:
        gap = max(1, round(motion.frames / max(motion.times[-1] - motion.times[0], 1e-6)))
        if len(found) < count and all(abs(index - other) >= gap for other, _ in found):
            found.append((index, why))

    cuts = set(motion.shots)
    held = [
        int(step) + 1
        for step in np.argsort(motion.confidence, kind="stable")[:40]
        if motion.confidence[step] < LOW_CONFIDENCE and int(step) + 1 not in cuts
    ]
    for index in held[: count // 2]:
        add(index, f"motion uncertain (confidence {motion.confidence[index - 1]:.2f})")
    if path.kept.min() < 0.999:
        index = int(path.kept.argmin())
        add(index, f"cropped most ({path.kept[index]:.0%} of width and height kept)")
    if quality is not None and quality.frames == motion.frames:
        left = centre_length(quality.shake_result.shake_path)
        for index in np.argsort(-left, kind="stable")[: 4 * count]:
            if left[index] > 0.5:
                add(int(index), f"largest remaining shake ({left[index]:.1f} px of 640)")
    elif motion.frames >= 3:
        jerk = np.hypot(np.diff(after.x, 2), np.diff(after.y, 2))
        for shot in motion.shots[1:]:
            jerk[max(shot - 2, 0) : shot + 1] = 0
        for step in np.argsort(-jerk, kind="stable")[: 4 * count]:
            if jerk[step] > 0.05:
                add(int(step) + 1, f"largest remaining jerk ({jerk[step]:.2f} px/frame²)")
    return found


def _tiles(result: Any, quality: Any) -> str:
    removed = quality.shake_removed_db if quality is not None else result.shake_removed_db
    how = "measured in the result" if quality is not None else "by the measured path"
    total = result.timings.get("total", 0.0)
    speed = f"{result.motion.frames / total:.0f}" if total > 0 else "–"
    tiles = [
        (f"{_text(removed, 1)} dB", f"shake removed, {how}"),
        (f"{result.kept_mean:.0%}", f"of width and height kept (at least {result.kept_min:.0%})"),
        (f"{result.motion.frames}", f"frames in {_count(len(result.motion.shots), 'shot')}"),
        (speed, f"frames/s, {total:.1f} s in all"),
    ]
    cells = "".join(
        f'<div class="tile"><b>{big}</b><span>{text}</span></div>' for big, text in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _notices(result: Any) -> str:
    lines = ([result.note] if result.note else []) + list(result.warnings)
    if not lines:
        return ""
    items = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return f'<section class="notice"><h2>Worth knowing</h2>{items}</section>'


def _text(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"


def _pictures(result: Any, worst: list[tuple[int, str]]) -> str:
    count = result.motion.frames
    chosen = {round(count * part): "" for part in (0.15, 0.5, 0.85) if round(count * part) < count}
    chosen.update(dict(worst[:2]))
    wanted = sorted(chosen)
    sources = frames_at(result.source, wanted)
    if result.output is not None:
        results = frames_at(result.output, wanted)
    else:
        results = dict(zip(wanted, result.frames(wanted), strict=False))
    rows = []
    for index in wanted:
        if index not in sources or index not in results:
            continue
        corners = crop_window(
            result.path.source_from_output[index], result.info.width, result.info.height
        )
        drawn = shrink(draw_crop_window(sources[index], corners), PICTURE_WIDTH)
        steady = shrink(results[index], PICTURE_WIDTH)
        why = f": {chosen[index]}" if chosen[index] else ""
        when = f"frame {index}, {result.motion.times[index] - result.motion.times[0]:.2f} s"
        for kind, image in (("source, with what the result shows", drawn), ("result", steady)):
            rows.append(
                f'<figure><img src="{data_url(image)}" alt="{kind}, {when}">'
                f"<figcaption>{when}, {kind}{html.escape(why)}</figcaption></figure>"
            )
    return f'<section><h2>Frames</h2><div class="frames">{"".join(rows)}</div></section>'


def _worst_table(result: Any, worst: list[tuple[int, str]]) -> str:
    if not worst:
        return ""
    start = result.motion.times[0]
    body = "".join(
        f'<tr><td class="number">{index}</td>'
        f'<td class="number">{result.motion.times[index] - start:.2f} s</td>'
        f"<td>{html.escape(why)}</td></tr>"
        for index, why in worst
    )
    return (
        "<section><h2>Frames worth a look</h2><table><thead><tr>"
        '<th class="number">frame</th><th class="number">time</th><th>why</th></tr></thead>'
        f"<tbody>{body}</tbody></table></section>"
    )


def _details(result: Any) -> str:
    order = ("decode", "motion", "path", "decode_again", "warp", "encode", "total")
    timings = {name: f"{result.timings[name]:.2f} s" for name in order if name in result.timings}
    columns = [
        ("Options", {name: str(value) for name, value in result.options.to_dict().items()}),
        ("Time (stages overlap)", timings),
        ("Path", {"status": result.path.status, "solver iterations": str(result.path.iterations),
                  "largest corner violation": f"{result.path.violation:.1e} px"}),
        ("Versions", versions()),
    ]  # fmt: skip
    tables = "".join(
        f"<div><h2>{title}</h2><table>"
        + "".join(
            f'<tr><td>{html.escape(name)}</td><td class="number">{html.escape(value)}</td></tr>'
            for name, value in rows.items()
        )
        + "</table></div>"
        for title, rows in columns
    )
    return f'<section class="columns">{tables}</section>'


def _manifest(result: Any, quality: Any) -> dict[str, Any]:
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
        "result": result.summary(),
        "quality": quality.to_dict() if quality is not None else None,
    }
