"""Small line charts as inline SVG: no library, colours from the page's style sheet."""

import html
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Chart", "Line", "decimate", "ticks"]

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 640, 64, 12, 12, 44


@dataclass(frozen=True)
class Line:
    """One curve. `style` is a class of the style sheet: "before", "after" or "plain"."""

    name: str
    x: np.ndarray
    y: np.ndarray
    style: str = "plain"


@dataclass(frozen=True)
class Chart:
    """A chart of lines.

    Attributes:
        title: what is shown.
        x_label, y_label: with units.
        lines: the curves.
        height: pixels.
        log: both axes logarithmic.
        floor, ceiling: bounds that the vertical axis covers at least.
        vertical: marked places on the horizontal axis, with a word each.
        horizontal: marked values on the vertical axis, with a word each.
        shaded: stretches of the horizontal axis in the background.
    """

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    height: int = 220
    log: bool = False
    floor: float | None = None
    ceiling: float | None = None
    vertical: Sequence[tuple[float, str]] = ()
    horizontal: Sequence[tuple[float, str]] = ()
    shaded: Sequence[tuple[float, float]] = field(default=())

    def render(self) -> str:
        """The chart as an SVG element."""
        (x0, x1), (y0, y1) = self._ranges()
        width, height = WIDTH - LEFT - RIGHT, self.height - TOP - BOTTOM

        def across(value: float) -> float:
            return LEFT + width * (self._scaled(value) - x0) / (x1 - x0)

        def down(value: float) -> float:
            return TOP + height * (y1 - self._scaled(value)) / (y1 - y0)

        parts = [
            f'<svg class="chart" viewBox="0 0 {WIDTH} {self.height}" role="img" '
            f'aria-label="{html.escape(self.title)}" data-x="{x0:.6g},{x1:.6g}" '
            f'data-y="{y0:.6g},{y1:.6g}" data-log="{int(self.log)}" '
            f'data-box="{LEFT},{TOP},{width},{height}">',
        ]
        for start, end in self.shaded:
            parts.append(
                f'<rect class="shade" x="{across(start):.1f}" y="{TOP}" '
                f'width="{max(across(end) - across(start), 1):.1f}" height="{height}"/>'
            )
        for value, text in _axis(x0, x1, self.log, 8):
            x = across(value)
            parts.append(f'<path class="grid" d="M{x:.1f} {TOP}v{height}"/>')
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{TOP + height + 17}" '
                f'text-anchor="middle">{text}</text>'
            )
        for value, text in _axis(y0, y1, self.log, max(3, height // 36)):
            y = down(value)
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}h{width}"/>')
            parts.append(
                f'<text class="tick" x="{LEFT - 6}" y="{y + 4.5:.1f}" '
                f'text-anchor="end">{text}</text>'
            )
        for value, text in self.vertical:
            x = across(value)
            parts.append(f'<path class="mark" d="M{x:.1f} {TOP}v{height}"/>')
            parts.append(
                f'<text class="note" x="{x + 4:.1f}" y="{TOP + 11}">{html.escape(text)}</text>'
            )
        for value, text in self.horizontal:
            y = down(value)
            parts.append(f'<path class="mark" d="M{LEFT} {y:.1f}h{width}"/>')
            parts.append(
                f'<text class="note" x="{LEFT + 4}" y="{y - 4:.1f}">{html.escape(text)}</text>'
            )
        for line in self.lines:
            xs, ys = decimate(line.x, line.y, 600)
            points = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in zip(xs, ys, strict=True))
            parts.append(
                f'<polyline class="line {line.style}" data-name="{html.escape(line.name)}" '
                f'points="{points}"/>'
            )
        middle = LEFT + width / 2
        parts += [
            f'<path class="frame" d="M{LEFT} {TOP}v{height}h{width}"/>',
            f'<text class="label" x="{middle:.0f}" y="{self.height - 6}" '
            f'text-anchor="middle">{html.escape(self.x_label)}</text>',
            f'<text class="label" transform="translate(14 {TOP + height / 2:.0f}) rotate(-90)" '
            f'text-anchor="middle">{html.escape(self.y_label)}</text>',
            "</svg>",
        ]
        return "".join(parts)

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.log else value

    def _ranges(self) -> tuple[tuple[float, float], tuple[float, float]]:
        bounds = []
        for axis in ("x", "y"):
            values = np.concatenate([getattr(line, axis) for line in self.lines] or [np.zeros(1)])
            values = values[np.isfinite(values)]
            if self.log:
                values = np.log10(values[values > 0])
            low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
            if axis == "y":
                if self.floor is not None:
                    low = min(low, self._scaled(self.floor))
                if self.ceiling is not None:
                    high = max(high, self._scaled(self.ceiling))
                margin = 0.05 * (high - low)
                low, high = low - margin, high + margin
            if high - low < 1e-9 * max(1.0, abs(high)):
                low, high = low - 0.5, high + 0.5
            bounds.append((float(low), float(high)))
        return bounds[0], bounds[1]


def _axis(low: float, high: float, log: bool, wanted: int) -> list[tuple[float, str]]:
    if not log:
        values = ticks(low, high, wanted)
        step = values[1] - values[0] if len(values) > 1 else 1.0
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [(value, f"{value:.{digits}f}".replace("-", "−")) for value in values]
    marks = [
        lead * 10.0**power
        for power in range(math.floor(low), math.ceil(high) + 1)
        for lead in (1, 2, 5)
    ]
    inside = [mark for mark in marks if low <= math.log10(mark) <= high]
    if len(inside) > wanted:
        inside = [mark for mark in inside if f"{mark:e}".startswith("1.0")]
    return [(mark, f"{mark:g}") for mark in inside]


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers between two bounds, about as many as wanted."""
    raw = (high - low) / max(wanted, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(lead for lead in (1, 2, 5, 10) if lead * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def decimate(x: np.ndarray, y: np.ndarray, buckets: int) -> tuple[np.ndarray, np.ndarray]:
    """At most two points a bucket, its lowest and highest, so that no peak is lost."""
    good = np.isfinite(x) & np.isfinite(y)
    x, y = x[good], y[good]
    if len(x) <= 2 * buckets:
        return x, y
    edges = np.linspace(0, len(x), buckets + 1).astype(int)
    keep: set[int] = {0, len(x) - 1}
    for first, last in itertools.pairwise(edges):
        keep.update((first + int(y[first:last].argmin()), first + int(y[first:last].argmax())))
    order = sorted(keep)
    return x[order], y[order]
