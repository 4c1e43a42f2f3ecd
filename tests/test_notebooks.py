"""The notebooks run from top to bottom, and the README shows what exists."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("quickstart", "StabilizationResult"),
        pytest.param("gaussians", "24 views from around", marks=pytest.mark.needs_torch),
        pytest.param("views", "median error of the depth", marks=pytest.mark.needs_torch),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_notebook_runs(name: str, expected: str) -> None:
    book = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in book.cells), "commit notebooks without outputs"
    NotebookClient(
        book, timeout=120, resources={"metadata": {"path": str(ROOT / "notebooks")}}
    ).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    shown = [output.get("data", {}) for output in outputs]
    texts = [output.get("text", "") for output in outputs]
    assert any(
        expected in text for text in [*texts, *(data.get("text/html", "") for data in shown)]
    )
    assert any("image/png" in data for data in shown)
    assert not [output for output in outputs if output.output_type == "error"]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "examples/README.md"])
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{name} links to {target}"
