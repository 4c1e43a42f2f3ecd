"""What came out of a benchmark, as a table: for the terminal, a paper, a page, a data frame."""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..files import atomic_text

__all__ = ["COLUMNS", "Column", "Table", "records_csv", "summarise", "write_tables"]


@dataclass(frozen=True)
class Column:
    """A figure of the table.

    Attributes:
        key: in the records.
        title: for people.
        digits: after the point.
        best: which value is best: "max", "min" or "" (none).
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
    Column("sharpness_kept", "detail", 2, "max"),
    Column("border_pixels", "border pixels", 0, "min"),
    Column("truth_path_error_px", "path error (px)", 3, "min"),
    Column("truth_aligned_psnr_db", "PSNR (dB)", 1, "max"),
    Column("truth_lpips", "LPIPS (truth)", 4, "min"),
    Column("lpips", "LPIPS", 4, "min"),
    Column("clip_similarity", "CLIP", 4, "max"),
    Column("aesthetic", "aesthetic", 2, "max"),
    Column("dover_overall", "DOVER", 3, "max"),
    Column("fvd", "FVD", 1, "min"),
    Column("frames_per_second", "frames/s", 0, "max"),
    Column("peak_mib", "peak MiB", 0, "min"),
)


@dataclass(frozen=True)
class Table:
    """Means by category and tool.

    Attributes:
        columns: those that at least one row has.
        rows: (category, tool, clips that came out, clips that failed, mean of each column or None);
            the last category is "all": the mean over the categories.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, str, int, int, tuple[float | None, ...]], ...]

    def cells(self) -> list[list[tuple[str, bool]]]:
        """The rows as text, and whether each is the best of its category."""
        lines = []
        for category, tool, good, failed, values in self.rows:
            peers = [row[4] for row in self.rows if row[0] == category]
            line = [(category, False), (tool, False), (f"{good}", False), (f"{failed}", False)]
            for i, (column, value) in enumerate(zip(self.columns, values, strict=True)):
                text = "-" if value is None else f"{value:.{column.digits}f}"
                others = [row[i] for row in peers if row[i] is not None]
                best = bool(column.best and value is not None and len(others) > 1)
                if best:
                    best = value == (max if column.best == "max" else min)(others)  # type: ignore[type-var]
                line.append((text, best))
            lines.append(line)
        return lines

    @property
    def head(self) -> list[str]:
        return ["category", "method", "clips", "failed", *(column.title for column in self.columns)]

    def text(self) -> str:
        """For a terminal; the best of a category has a star."""
        lines = [
            self.head,
            *([t + ("*" if best else "") for t, best in row] for row in self.cells()),
        ]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.head))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if i < 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

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
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])

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
        return _PAGE.format(head=head, body=body, lost=lost)


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
<p>Means over the clips of a category; "all" is the mean of the categories.
Bold: best of its category.</p>
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
    rows: list[tuple[str, str, int, int, tuple[float | None, ...]]] = []
    for category in categories:
        for tool in tools:
            mine = [r for r in records if r["category"] == category and r["tool"] == tool]
            good = [r for r in mine if r["status"] == "ok"]
            means = tuple(_mean([r.get(c.key) for r in good]) for c in columns)
            rows.append((category, tool, len(good), len(mine) - len(good), means))
    if len(categories) > 1:
        for tool in tools:
            mine_rows = [row for row in rows if row[1] == tool]
            means = tuple(_mean([row[4][i] for row in mine_rows]) for i in range(len(columns)))
            clips, failed = (sum(row[i] for row in mine_rows) for i in (2, 3))  # type: ignore[misc]
            rows.append(("all", tool, clips, failed, means))
    return Table(columns, tuple(rows))


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
    columns = {name: [record.get(name) for record in records] for name in _names(records)}
    part = path.with_name(f".{path.name}.part")
    try:
        pyarrow.parquet.write_table(pyarrow.table(columns), part)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written: {error}") from error


def _names(records: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for r in records for name, v in r.items() if _is_plain(v)))


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _mean(values: Sequence[Any]) -> float | None:
    good = [float(v) for v in values if v is not None and math.isfinite(v)]
    return sum(good) / len(good) if good else None


def _tex(text: str) -> str:
    return "".join("\\" + c if c in "_%&#$" else c for c in text)
