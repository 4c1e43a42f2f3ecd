"""The report's chart sections."""

import html
from typing import Any

import numpy as np

from .series import PathSeries, shake_spectrum
from .svg import Chart, Line

__all__ = [
    "LOW_CONFIDENCE",
    "centre_length",
    "figures",
    "legend",
    "path_charts",
    "quality_charts",
]

LOW_CONFIDENCE = 0.3


def path_charts(motion: Any, times: np.ndarray, before: PathSeries, after: PathSeries) -> str:
    """The section of the camera path: x, y, rotation and zoom over time."""
    cuts = [(float(times[shot]), "cut") for shot in motion.shots[1:]]
    doubtful = _stretches(times, motion.confidence < LOW_CONFIDENCE)
    charts = [
        Chart(
            title,
            "time (s)",
            label,
            (
                Line("before", times, getattr(before, key), "before"),
                Line("after", times, getattr(after, key), "after"),
            ),
            vertical=cuts,
            shaded=doubtful,
        )
        for key, title, label in (
            ("x", "Sideways", "image shift (px)"),
            ("y", "Up and down", "image shift (px)"),
            ("rotation", "Rotation", "rotation (°)"),
            ("zoom", "Zoom (crop and steady growth left out)", "zoom (%)"),
        )
    ]
    key = legend() + (
        '<span><i class="patch"></i>motion uncertain, held by its prior</span>' if doubtful else ""
    )
    return (
        "<section><h2>Camera path</h2>"
        f'<div class="legend">{key}</div><div class="charts">{figures(charts)}</div></section>'
    )


def legend() -> str:
    return (
        '<span><i class="before"></i>before (source)</span>'
        '<span><i class="after"></i>after (result)</span>'
    )


def _stretches(times: np.ndarray, flags: np.ndarray) -> list[tuple[float, float]]:
    """Runs of flagged transitions as (start, end) in seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [
        (float(times[first]), float(times[min(last, len(times) - 1)]))
        for first, last in zip(edges[::2], edges[1::2], strict=True)
    ]


def quality_charts(
    result: Any, times: np.ndarray, before: PathSeries, after: PathSeries, quality: Any
) -> str:
    """The section of the spectrum, the measured shake, the crop and the confidence."""
    motion, path = result.motion, result.path
    lines = []
    for name, series in (("before", before), ("after", after)):
        frequency, amplitude = shake_spectrum(series.x, series.y, times, motion.shots)
        lines.append(Line(name, frequency, amplitude, name))
    charts = []
    if len(lines[0].x):
        charts.append(
            Chart(
                "Spectrum of the path: shake is what lies above 1 Hz",
                "frequency (Hz)",
                "amplitude (px)",
                lines,
                height=240,
                log=True,
                floor=float(np.max(lines[0].y)) / 1e4,
                vertical=[(1.0, "1 Hz")] if lines[0].x[0] < 1 < lines[0].x[-1] else [],
            )
        )
    if quality is not None and quality.frames > 2:
        charts.append(
            Chart(
                "Shake above 1 Hz, measured in the videos",
                "time (s)",
                "at the centre (px of 640)",
                [
                    Line(name, shake.times, centre_length(shake.shake_path), name)
                    for name, shake in (
                        ("before", quality.shake_source),
                        ("after", quality.shake_result),
                    )
                ],
                height=240,
                floor=0.0,
            )
        )
    charts.append(
        Chart(
            "Part of width and height kept",
            "time (s)",
            "kept (%)",
            [Line("kept", times, 100 * path.kept)],
            ceiling=100.0,
            floor=100 * result.options.crop_limit - 2,
            horizontal=[(100 * result.options.crop_limit, "crop limit")],
        )
    )
    if motion.frames > 1:
        charts.append(
            Chart(
                "Confidence of the motion",
                "time (s)",
                "confidence (0 to 1)",
                [Line("confidence", times[1:], motion.confidence)],
                floor=0.0,
                ceiling=1.0,
            )
        )
    return (
        "<section><h2>Shake, crop and confidence</h2>"
        f'<div class="legend">{legend()}</div>'
        f'<div class="charts">{figures(charts)}</div></section>'
    )


def centre_length(shake_path: np.ndarray) -> np.ndarray:
    """Length of a measured `Shake.shake_path` at the frame's centre."""
    return np.hypot(shake_path[:, 0, 0], shake_path[:, 0, 1])


def figures(charts: list[Chart]) -> str:
    return "".join(
        f"<figure><figcaption>{html.escape(chart.title)}</figcaption>{chart.render()}</figure>"
        for chart in charts
    )
