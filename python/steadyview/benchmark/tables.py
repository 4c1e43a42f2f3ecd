"""What came out of a benchmark, as a table: for the terminal, a paper, a page, a data frame."""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..files import atomic_file, atomic_text

__all__ = ["COLUMNS", "Column", "Row", "Table", "records_csv", "summarise", "write_tables"]


@dataclass(frozen=True)
class Column:
    """A figure of the table.

    Attributes:
        key: in the records.
        title: for people.
        digits: after the point.
        best: which value is best: "max", "min", "one" (the nearest to 1) or "" (none).
    """

    key: str
    title: str
    digits: int
    best: str = ""


COLUMNS = (
    Column("standard_cropping_mean", "cropping", 3, "max"),
    Column("standard_distortion", "distortion", 3, "max"),
    Column("standard_stability", "stability", 3, "max"),
    Column("strict_stability", "stability (strict)", 3, "max"),
    Column("shake_removed_db", "shake removed (dB)", 1, "max"),
    Column("kept_mean", "kept", 3),
    Column("wobble_result_px", "wobble (px)", 3, "min"),
    Column("sharpness_kept", "detail", 2, "one"),
    Column("border_pixels", "border pixels", 0, "min"),
    Column("truth_path_error_px", "path error (px)", 3, "min"),
    Column("truth_aligned_psnr_db", "PSNR (dB)", 1, "max"),
    Column("truth_aligned_ssim", "SSIM", 3, "max"),
    Column("epipolar_px_10", "epipolar (px)", 3, "min"),
    Column("reprojection_px", "reprojection (px)", 3, "min"),
    Column("warp_error", "flow-warp", 2, "min"),
    Column("truth_lpips", "LPIPS (truth)", 4, "min"),
    Column("lpips", "LPIPS", 4, "min"),
    Column("clip_similarity", "CLIP", 4, "max"),
    Column("aesthetic", "aesthetic", 2, "max"),
    Column("dover_overall", "DOVER", 3, "max"),
    Column("fvd", "FVD", 1, "min"),
    Column("frames_per_second", "frames/s", 0, "max"),
    Column("peak_mib", "peak MiB", 0, "min"),
)


class Row(NamedTuple):
    """A method in a category.

    Attributes:
        category, tool: what the row is of.
        clips, failed: how many came out, and how many did not.
        means: of each column, or None.
        over: the clips that each mean is over.
    """

    category: str
    tool: str
    clips: int
    failed: int
    means: tuple[float | None, ...]
    over: tuple[frozenset[Any], ...]


@dataclass(frozen=True)
class Table:
    """Means by category and tool.

    Attributes:
        columns: those that at least one row has.
        rows: by category; where there are several, the last is all of them together: the mean over
            the categories of the means over the clips that every tool has a value for.
        total: what that last category is called ("all"); None where there is but one.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: str | None = None

    def cells(self) -> list[list[tuple[str, bool]]]:
        """The rows as text, and whether each is the best of its category."""
        lines = []
        for row in self.rows:
            line = [(text, False) for text in (row[0], row[1], f"{row.clips}", f"{row.failed}")]
            for i in range(len(self.columns)):
                text, count = self._rounded(row, i), len(row.over[i])
                best = text is not None and text in self._best(row.category, i, row.over[i])
                few = f" ({count})" if 0 < count < row.clips else ""
                line.append(((text or "-") + few, best))
            lines.append(line)
        return lines

    def _rounded(self, row: Row, i: int) -> str | None:
        value = row.means[i]
        return None if value is None else f"{value:.{self.columns[i].digits}f}"

    def _best(self, category: str, i: int, over: frozenset[Any]) -> set[str]:
        """The best figure as it is printed, if it is from the clips that any method has one of."""
        peers = [row for row in self.rows if row.category == category]
        every = frozenset().union(*(row.over[i] for row in peers))
        shown = [self._rounded(row, i) for row in peers if row.over[i] == every]
        merit = {text: _merit(self.columns[i], float(text)) for text in shown if text is not None}
        if over != every or len(shown) < 2 or not self.columns[i].best:
            return set()
        return {text for text, value in merit.items() if value == max(merit.values())}

    @property
    def notes(self) -> list[str]:
        """What a reader must know about these means."""
        notes = []
        if self.total:
            notes.append(
                f"{self.total}: the mean of the categories, over the clips that every method has "
                "a value for."
            )
        if any(0 < len(over) < row.clips for row in self.rows for over in row.over):
            notes.append(
                "(n): the mean is over n clips only. Best are marked among means over the same "
                "clips."
            )
        return notes

    @property
    def head(self) -> list[str]:
        return ["category", "method", "clips", "failed", *(column.title for column in self.columns)]

    def text(self) -> str:
        """For a terminal; the best of a category has a star, and all that look like it."""
        lines = [
            self.head,
            *([t + ("*" if best else "") for t, best in row] for row in self.cells()),
        ]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.head))]
        table = [
            "  ".join(
                cell.ljust(width) if i < 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([*table, *self.notes])

    def latex(self) -> str:
        """A `tabular` (booktabs), best values bold."""
        lines = [
            rf"\begin{{tabular}}{{ll{'r' * (len(self.head) - 2)}}}",
            r"\toprule",
            " & ".join(map(_tex, self.head)) + r" \\",
        ]
        before = None
        for row in self.cells():
            if row[0][0] != before:
                lines.append(r"\midrule")
            before = row[0][0]
            cells = [rf"\textbf{{{_tex(t)}}}" if best else _tex(t) for t, best in row]
            lines.append(" & ".join(cells) + r" \\")
        notes = [f"% {note}" for note in self.notes]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *notes, ""])

    def html(self, failed: Sequence[dict[str, Any]] = ()) -> str:
        """A page that needs no network; below the table, the records that failed, with why."""
        head = "".join(f"<th>{html.escape(title)}</th>" for title in self.head)
        body = "\n".join(
            "<tr>"
            + "".join(
                f"<td>{'<b>' * best}{html.escape(text)}{'</b>' * best}</td>" for text, best in row
            )
            + "</tr>"
            for row in self.cells()
        )
        items = "".join(
            f"<li>{html.escape(' '.join(r[key] for key in ('category', 'clip', 'tool')))}: "
            f"<code>{html.escape(r['error'])}</code></li>"
            for r in failed
        )
        lost = f"<h2>Failed</h2><ul>{items}</ul>" if items else ""
        notes = " ".join(map(html.escape, self.notes))
        return _PAGE.format(head=head, body=body, notes=notes, lost=lost)


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>steadyview benchmark</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .3em .8em; text-align: right; border-bottom: 1px solid #8885; }}
th:nth-child(-n+2), td:nth-child(-n+2) {{ text-align: left; white-space: nowrap; }}
code {{ overflow-wrap: anywhere; }}
</style>
<h1>Benchmark</h1>
<p>Means over the clips of a category. Bold: best of its category. {notes}</p>
<table><thead><tr>{head}</tr></thead><tbody>
{body}
</tbody></table>
{lost}
</html>
"""


def summarise(records: Sequence[dict[str, Any]]) -> Table:
    """The table of a benchmark's records."""
    categories = list(dict.fromkeys(record["category"] for record in records))
    tools = list(dict.fromkeys(record["tool"] for record in records))
    columns = tuple(c for c in COLUMNS if any(r.get(c.key) is not None for r in records))
    found = [_values(records, column.key) for column in columns]
    rows = []
    for category in categories:
        for tool in tools:
            mine = [r for r in records if r["category"] == category and r["tool"] == tool]
            good = sum(record["status"] == "ok" for record in mine)
            own = [values.get((category, tool), {}) for values in found]
            means = tuple(_mean(list(by_clip.values())) for by_clip in own)
            if mine:
                over = tuple(map(frozenset, own))
                rows.append(Row(category, tool, good, len(mine) - good, means, over))
    if len(categories) < 2:
        return Table(columns, tuple(rows))
    total = "all"
    while total in categories:
        total = f"({total})"
    totals = [_total(total, tool, [r for r in rows if r.tool == tool], found) for tool in tools]
    return Table(columns, (*rows, *totals), total)


#: Values of one column: clip to value by category and tool.
_Values = dict[tuple[str, str], dict[Any, float]]


def _values(records: Sequence[dict[str, Any]], key: str) -> _Values:
    values: _Values = {}
    for record in records:
        value = record.get(key)
        if record["status"] == "ok" and value is not None and math.isfinite(value):
            by_clip = values.setdefault((record["category"], record["tool"]), {})
            by_clip[record.get("clip")] = float(value)
    return values


def _total(name: str, tool: str, own: Sequence[Row], found: Sequence[_Values]) -> Row:
    """The mean of the categories, over the clips that every tool (that has any) has a value for."""
    means, over = [], []
    for values in found:
        tools = {other for _, other in values}
        shared = {
            category: frozenset.intersection(
                *(frozenset(values.get((category, other), ())) for other in tools)
            )
            for category in dict.fromkeys(category for category, _ in values)
        }
        mine = {
            category: [values[category, tool][clip] for clip in clips]
            for category, clips in shared.items()
            if clips and tool in tools
        }
        means.append(_mean([_mean(given) for given in mine.values()]))
        over.append(frozenset((category, clip) for category in mine for clip in shared[category]))
    clips, failed = sum(row.clips for row in own), sum(row.failed for row in own)
    return Row(name, tool, clips, failed, tuple(means), tuple(over))


def _merit(column: Column, value: float) -> float:
    """More is better."""
    if column.best == "one":
        return -round(abs(value - 1), column.digits)
    return value if column.best == "max" else -value


def write_tables(records: Sequence[dict[str, Any]], folder: str | Path) -> Table:
    """Writes all records (`records.csv`, and `.parquet` where pyarrow is installed) and the table
    (`table.txt`, `.tex`, `.html`) to a folder that is there.

    Raises:
        OutputError: a file cannot be written.
    """
    folder = Path(folder)
    table = summarise(records)
    atomic_text(folder / "records.csv", records_csv(records))
    _write_parquet(records, folder / "records.parquet")
    atomic_text(folder / "table.txt", table.text() + "\n")
    atomic_text(folder / "table.tex", table.latex())
    failed = [record for record in records if record["status"] != "ok"]
    atomic_text(folder / "table.html", table.html(failed))
    return table


def records_csv(records: Sequence[dict[str, Any]]) -> str:
    """One line a record, one column a plain value."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _names(records), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _write_parquet(records: Sequence[dict[str, Any]], path: Path) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return
    columns = {}
    for name in _names(records):
        values = [record.get(name) for record in records]
        try:
            columns[name] = pyarrow.array(values)
        except (pyarrow.ArrowException, OverflowError):  # numbers in one record, text in another
            columns[name] = pyarrow.array([None if v is None else str(v) for v in values])
    with atomic_file(path) as file:
        pyarrow.parquet.write_table(pyarrow.table(columns), file)


def _names(records: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for r in records for name, v in r.items() if _is_plain(v)))


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _mean(values: Sequence[float | None]) -> float | None:
    good = [value for value in values if value is not None]
    return sum(good) / len(good) if good else None


def _tex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
    special |= {c: "\\" + c for c in "_%&#${}"}
    return "".join(special.get(c, c) for c in text)
