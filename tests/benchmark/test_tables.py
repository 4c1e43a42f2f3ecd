"""Means that can be compared, and what is marked as best."""

from pathlib import Path
from typing import Any

import pytest

from steadyview.benchmark import summarise, write_tables


def test_tables(tmp_path: Path) -> None:
    base = {"status": "ok", "clip": "c", "frames_per_second": 10.0, "wobble_result_px": 1.0}
    records = [
        {**base, "category": "A", "tool": "x", "standard_stability": 0.5},
        {**base, "category": "A", "tool": "x", "standard_stability": 0.7, "clip": "d"},
        {**base, "category": "A", "tool": "y_1", "standard_stability": 0.9},
        {**base, "category": "A", "tool": "y_1", "standard_stability": 0.9, "clip": "d"},
        {**base, "category": "B", "tool": "x", "standard_stability": None},
        {"category": "B", "tool": "y_1", "clip": "c", "status": "failed", "error": "50% & <lost>"},
    ]
    table = write_tables(records, tmp_path)
    rows = {(row[0], row[1]): row for row in table.rows}
    assert rows["A", "x"][2:4] == (2, 0)
    assert rows["B", "y_1"][2:4] == (0, 1)
    stability = [column.key for column in table.columns].index("standard_stability")
    assert rows["A", "x"][4][stability] == pytest.approx(0.6)
    assert rows["all", "x"][4][stability] == pytest.approx(0.6)
    text = (tmp_path / "table.txt").read_text()
    assert "0.900*" in text
    latex = (tmp_path / "table.tex").read_text()
    assert r"\textbf{0.900}" in latex
    assert r"y\_1" in latex
    page = (tmp_path / "table.html").read_text()
    assert "<b>0.900</b>" in page
    assert "<li>B c y_1: <code>50% &amp; &lt;lost&gt;</code></li>" in page
    lines = (tmp_path / "records.csv").read_text().splitlines()
    assert len(lines) == 7
    assert "50% & <lost>" in lines[-1]
    assert summarise(records).text() == text.rstrip("\n")


def test_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_tables([{"category": "A", "tool": "x", "clip": "c", "status": "ok", "a": 1.5}], tmp_path)
    assert parquet.read_table(tmp_path / "records.parquet").to_pylist()[0]["a"] == 1.5


def record(category: str, clip: str, tool: str, **values: Any) -> dict[str, Any]:
    return {"category": category, "clip": clip, "tool": tool, "status": "ok", **values}


def column(records: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """The only column, as it is printed, a best one with a star."""
    cells = summarise(records).cells()
    return {(row[0][0], row[1][0]): row[4][0] + "*" * row[4][1] for row in cells}


def test_all_is_over_the_clips_that_all_methods_have() -> None:
    """`easy` failed in the hard category, and on one clip of the other."""
    records = [
        record("A", "1", "hard", lpips=0.3), record("A", "2", "hard", lpips=0.7),
        record("B", "3", "hard", lpips=0.9),
        record("A", "1", "easy", lpips=0.4), {**record("A", "2", "easy"), "status": "failed"},
        {**record("B", "3", "easy"), "status": "failed"},
    ]  # fmt: skip
    assert column(records) == {
        ("A", "hard"): "0.5000", ("A", "easy"): "0.4000", ("B", "hard"): "0.9000",
        ("B", "easy"): "-", ("all", "hard"): "0.3000 (1)*", ("all", "easy"): "0.4000",
    }  # fmt: skip
    table = summarise(records)
    assert any("over n clips" in note for note in table.notes)
    for text in (table.text(), table.html(), table.latex()):
        assert "that every method has a value for" in text


def test_a_method_that_has_nothing_takes_nothing_from_the_others() -> None:
    records = [record("A", "1", "x", lpips=0.3), record("B", "2", "x", lpips=0.5)]
    records += [{**record(c, n, "broken"), "status": "failed"} for c, n in (("A", "1"), ("B", "2"))]
    assert column(records)["all", "x"] == "0.4000"
    assert column(records)["all", "broken"] == "-"


def test_a_column_that_some_clips_lack() -> None:
    records = [record("A", f"{n}", tool, fvd=n if n < 2 else None)
               for tool in ("x", "y") for n in range(4)]  # fmt: skip
    assert column(records) == {("A", "x"): "0.5 (2)*", ("A", "y"): "0.5 (2)*"}
    assert len(summarise(records).notes) == 1
    assert not summarise(records[:2]).notes


def test_a_category_may_be_called_all() -> None:
    records = [record(category, "1", "x", lpips=n) for n, category in enumerate(("all", "B"))]
    assert column(records) == {
        ("all", "x"): "0.0000", ("B", "x"): "1.0000", ("(all)", "x"): "0.5000"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "values", "expected"),
    [
        ("fvd", (1.04, 0.96, 1.06), ["1.0*", "1.0*", "1.1"]),
        ("sharpness_kept", (1.30, 0.98, 0.90), ["1.30", "0.98*", "0.90"]),
        ("sharpness_kept", (1.05, 0.95, 0.90), ["1.05*", "0.95*", "0.90"]),
        ("peak_mib", (None, 30.0, 40.0), ["-", "30", "40"]),
        ("peak_mib", (float("nan"), 30.0, 40.0), ["-", "30", "40"]),
        ("kept_mean", (0.8, 0.9, 1.0), ["0.800", "0.900", "1.000"]),
    ],
)
def test_best_is_decided_on_what_is_printed(
    key: str, values: tuple[float | None, ...], expected: list[str]
) -> None:
    """And among the same clips only: who lacks one is not compared, nor compared with."""
    records = [record("A", "1", f"{n}", **{key: value}) for n, value in enumerate(values)]
    if None in values or values[0] != values[0]:
        expected = [expected[0], expected[1] + "*", expected[2]]
    assert list(column(records).values()) == expected


def test_parquet_of_mixed_columns_and_beside_other_tasks(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    others = tmp_path / ".records.parquet.part"
    others.write_text("half of another task's")
    records = [record("A", "1", "x", a=1.5, b=1), record("A", "2", "x", a="many", b=0.5)]
    write_tables([*records, record("A", "3", "x", c=2**70)], tmp_path)
    assert others.read_text() == "half of another task's"
    found = parquet.read_table(tmp_path / "records.parquet")
    assert found["a"].to_pylist() == ["1.5", "many", None]
    assert found["b"].to_pylist() == [1, 0.5, None]
    assert found["c"].to_pylist() == [None, None, str(2**70)]


def test_latex_of_any_name() -> None:
    record = {"category": r"X^1~{a}\b", "tool": "50%_&#$", "status": "ok", "border_pixels": 1}
    text = summarise([record]).latex()
    assert r"X\textasciicircum{}1\textasciitilde{}\{a\}\textbackslash{}b" in text
    assert r"50\%\_\&\#\$" in text
