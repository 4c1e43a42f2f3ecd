"""The report is one self-contained page that says what happened."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import steadyview
import videos
from steadyview.errors import OutputError, SteadyviewError
from steadyview.metrics import compare_videos
from steadyview.report.html import report_html, worst_frames, write_report
from steadyview.report.notebook import before_after, result_html
from steadyview.report.series import path_series

VOID = {"meta", "img", "br", "i"}


class Page(HTMLParser):
    """Checks that tags nest, and collects addresses and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def result(folder: Path) -> steadyview.StabilizationResult:
    source = videos.write_clip(folder / "a <shaky> & odd.mp4", videos.shaky_clip(30, (160, 120)))
    return steadyview.stabilize(source, folder / "steady.mp4")


def test_page_is_complete_and_needs_no_network(
    result: steadyview.StabilizationResult, folder: Path
) -> None:
    quality = compare_videos(str(result.source), str(result.output))
    page = write_report(result, folder / "report.html", quality=quality)
    text = page.read_text()
    parser = Page()
    parser.feed(text)
    assert parser.open == []
    assert parser.addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in parser.addresses)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)
    assert "a &lt;shaky&gt; &amp; odd.mp4" in text
    assert text.count("<svg") == 8
    assert text.count("<img") == 2 * len({4, 15, 26} | {i for i, _ in _worst(result, quality)[:2]})
    assert f"{quality.shake_removed_db:.1f} dB" in text
    assert len(text) < 1_500_000
    manifest = json.loads(
        re.search(r'id="manifest">(.*?)</script>', text, re.DOTALL)[1].replace("<\\/", "</")  # type: ignore[index]
    )
    assert manifest["result"]["options"] == result.options.to_dict()
    assert manifest["quality"]["frames"] == 30
    assert manifest["versions"]["steadyview"] == steadyview.__version__


def _worst(result: steadyview.StabilizationResult, quality: object) -> list[tuple[int, str]]:
    _, after = path_series(result.motion, result.path.source_from_output, result.path.displacement)
    return worst_frames(result, after, quality)


def test_report_without_measures_and_with_warnings(
    result: steadyview.StabilizationResult,
) -> None:
    result.warnings.append("frame 3: <corrupt> packet")
    try:
        text = report_html(result)
    finally:
        result.warnings.pop()
    assert "frame 3: &lt;corrupt&gt; packet" in text
    assert "by the measured path" in text
    assert "Before and after, measured" not in text


def test_report_of_what_cannot_be_measured(
    result: steadyview.StabilizationResult, folder: Path
) -> None:
    white = np.full((30, 120, 160, 3), 255, np.uint8)
    blank = videos.write_video(folder / "blank.mp4", white)
    quality = compare_videos(str(result.source), str(blank))
    text = re.sub(r"base64,[^\"]*", "", report_html(result, quality).partition("<script>")[0])
    assert not re.search(r"\bnan\b|NaN", text)


def test_existing_report_is_kept(result: steadyview.StabilizationResult, folder: Path) -> None:
    page = folder / "kept.html"
    page.write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        write_report(result, page)
    assert page.read_text() == "mine"
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(result, folder / "missing" / "report.html")


@pytest.mark.parametrize("frames", [1, 2, 3, 9])
def test_very_short_videos(frames: int, tmp_path: Path) -> None:
    clip = videos.shaky_clip(frames, (64, 48))
    result = steadyview.stabilize(clip.frames, tmp_path / "steady.mp4")
    parser = Page()
    parser.feed(report_html(result))
    assert parser.open == []


def test_worst_frames_name_uncertain_motion(result: steadyview.StabilizationResult) -> None:
    found = _worst(result, None)
    assert len({index for index, _ in found}) == len(found) <= 6
    kept = result.path.kept
    if kept.min() < 0.999:
        assert any("cropped most" in why for _, why in found)
    confidence = result.motion.confidence
    saved = confidence[9]
    confidence[9] = 0.05
    try:
        assert any(index == 10 and "uncertain" in why for index, why in _worst(result, None))
    finally:
        confidence[9] = saved


def test_notebook_card_and_slider(result: steadyview.StabilizationResult) -> None:
    card = result_html(result)
    assert card.count("<img") == 2
    assert "&lt;shaky&gt;" in card
    box = before_after(result, frames=4)
    assert len(box.children[0].options) == 4
    box.children[0].index = 2
    assert box.children[1].value == box.children[0].options[2][1]


def test_plot_and_its_missing_library(
    result: steadyview.StabilizationResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = result.plot()
    before = figure.axes[0].lines[0].get_ydata()
    expected, _ = path_series(result.motion, result.path.source_from_output)
    np.testing.assert_array_equal(before, expected.x)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(SteadyviewError, match=r"pip install 'steadyview\[plot\]'"):
        result.plot()
