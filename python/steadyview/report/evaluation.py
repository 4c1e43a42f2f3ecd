"""The page of `steadyview evaluate`: a video and what stabilisers made of it, whoever did."""

import html
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np

from ..files import distinct_names
from .charts import centre_length, figures, legend
from .measures import measures_html
from .page import page, versions
from .player import LONGEST, player
from .series import shake_spectrum
from .svg import Chart, Line

__all__ = ["evaluation_html", "worst_places"]


def evaluation_html(
    source: Any,
    results: Sequence[Any],
    qualities: Sequence[Any],
    records: Sequence[Mapping[str, Any]],
) -> str:
    """The whole page as text.

    Args:
        source: the shaky video; a file, or frames from memory.
        results: the steady ones.
        qualities: the `QualityReport` of each.
        records: the same in plain numbers, and what else was measured.
    """
    videos = [qualities[0].source, *(quality.result for quality in qualities)]
    name, *names = distinct_names(videos)
    pairs = [
        _pair(source, result, quality, record, (name, shown), alone=len(results) == 1)
        for result, quality, record, shown in zip(results, qualities, records, names, strict=True)
    ]
    first = qualities[0]
    return page(
        f"{name}: evaluation",
        name,
        f"{first.frames} frames, {first.times[-1] - first.times[0]:.1f} s, against "
        + html.escape(", ".join(names)),
        pairs,
        {
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "versions": versions(),
            "qualities": records,
        },
        f"{_unmeasured(qualities)}Measured in the videos alone; pixels are those of a frame whose "
        "long side is 640. A click "
        f"in a curve moves the players, which hold the first {LONGEST:.0f} s.",
        ("page.js", "player.js"),
    )


def _unmeasured(qualities: Sequence[Any]) -> str:
    """Says which scores want weights that were not given."""
    known = {name for q in qualities if q.learned is not None for name in q.learned.to_dict()}
    kinds = (("lpips", "LPIPS"), ("clip_similarity", "CLIP similarity"), ("aesthetic", "aesthetic"),
             ("dover_overall", "DOVER"), ("fvd", "FVD"))  # fmt: skip
    missing = [title for name, title in kinds if name not in known]
    if not missing:
        return ""
    return f"Not measured, since no weights were given: {', '.join(missing)}. "


def _pair(
    source: Any, result: Any, quality: Any, record: Any, names: tuple[str, str], *, alone: bool
) -> str:
    title = "" if alone else f"<h1>{html.escape(names[1])}</h1>"
    return (
        f'<div class="pair">{title}{_tiles(quality)}'
        f"<section><h2>Before and after</h2>{player(source, result, names)}</section>"
        f"{measures_html(record)}{_charts(quality)}{_worst_table(quality)}</div>"
    )


def _tiles(quality: Any) -> str:
    strict = quality.strict
    tiles = [
        (_text(quality.shake_removed_db, ".1f", " dB"), "shake above 1 Hz removed"),
        (_text(strict.stability.overall, ".3f"), "stability (strict)"),
        (
            _text(strict.cropping_mean, ".3f"),
            f"cropping (least {_text(strict.cropping_min, '.3f')})",
        ),
        (_text(strict.distortion_median, ".3f"), "distortion, median (1 is none)"),
    ]
    cells = "".join(
        f'<div class="tile"><b>{big}</b><span>{what}</span></div>' for big, what in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _text(value: float, form: str, unit: str = "") -> str:
    return f"{value:{form}}{unit}" if np.isfinite(value) else "–"


def _charts(quality: Any) -> str:
    start = quality.times[0]
    times = quality.times - start
    before, after = quality.shake_source, quality.shake_result
    both = (("before", before), ("after", after))
    charts = [
        Chart(
            title,
            "time (s)",
            "image shift (px of 640)",
            [Line(name, s.times - s.times[0], s.path[:, 0, axis], name) for name, s in both],
        )
        for axis, title in ((0, "Path, sideways"), (1, "Path, up and down"))
    ]
    spectra = [
        Line(name, *shake_spectrum(s.path[:, 0, 0], s.path[:, 0, 1], s.times), name)
        for name, s in both
    ]
    if len(spectra[0].x) and len(spectra[1].x):
        low, high = float(spectra[0].x[0]), float(spectra[0].x[-1])
        charts.append(
            Chart(
                "Spectrum of the path: the band above 1 Hz counts as shake",
                "frequency (Hz)",
                "amplitude (px of 640)",
                spectra,
                log=True,
                floor=float(np.max(spectra[0].y)) / 1e4,
                vertical=[(1.0, "1 Hz")] if low < 1 < high else [],
                shaded=[(max(low, 1.0), high)] if high > 1 else [],
            )
        )
    series = [
        Chart(
            "Shake above 1 Hz at the centre",
            "time (s)",
            "px of 640",
            [
                Line(name, s.times - s.times[0], centre_length(s.shake_path), name)
                for name, s in both
            ],
            floor=0.0,
        ),
        Chart(
            "Wobble: what no homography explains",
            "time (s)",
            "px of 640",
            [
                Line("before", times[1:], quality.wobble_source, "before"),
                Line("after", times[1:], quality.wobble_result, "after"),
            ],
            floor=0.0,
        ),
        Chart(
            "Cropping (strict): part of width and height seen",
            "time (s)",
            "1 is all",
            [Line("cropping", times, quality.strict.cropping)],
            ceiling=1.0,
        ),
        Chart(
            "Distortion (strict): least over largest stretch",
            "time (s)",
            "1 is none",
            [Line("distortion", times, quality.strict.distortion)],
            ceiling=1.0,
        ),
    ]
    charts += [c for c in series if any(np.isfinite(line.y).any() for line in c.lines)]
    return (
        "<section><h2>Curves</h2>"
        f'<div class="legend">{legend()}</div><div class="charts">{figures(charts)}</div></section>'
    )


def worst_places(quality: Any) -> list[tuple[int, str]]:
    """The frames most worth a look: (index, why)."""
    strict = quality.strict
    found: list[tuple[int, str]] = []
    for index, what, values, form in (
        (strict.worst_jolt, "largest jolt of the result", None, ""),
        (strict.worst_cropping, "cropped most", strict.cropping, ".3f"),
        (strict.worst_distortion, "distorted most", strict.distortion, ".3f"),
    ):
        if index is not None:
            found.append((index, what if values is None else f"{what} ({values[index]:{form}})"))
    if np.isfinite(quality.wobble_result).any():
        index = int(np.nanargmax(quality.wobble_result))
        found.append((index + 1, f"largest wobble ({quality.wobble_result[index]:.2f} px)"))
    if quality.border_pixels:
        index = int(np.argmax(quality.border))
        found.append((index, f"most black border ({quality.border[index]} pixels)"))
    return found


def _worst_table(quality: Any) -> str:
    rows = ""
    for index, why in worst_places(quality):
        if index < quality.frames:
            seconds = quality.times[index] - quality.times[0]
            link = (
                f'<button type="button" class="link" data-seek="{seconds:.4f}">'
                f"{seconds:.2f} s</button>"
            )
            rows += (
                f'<tr><td class="number">{quality.source_frames[index]}</td>'
                f'<td class="number">{link}</td><td>{html.escape(why)}</td></tr>'
            )
    return (
        "<section><h2>Frames worth a look</h2><table><thead><tr>"
        '<th class="number">frame</th><th class="number">time</th><th>why</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></section>"
    )
