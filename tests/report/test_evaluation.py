"""The page of an evaluation: complete, self-contained, and it plays and seeks in a browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import steadyview
import videos
from steadyview.errors import OutputError
from steadyview.metrics import QualityReport, compare_videos
from steadyview.report.evaluation import evaluation_html, worst_places, write_evaluation

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("evaluation")
    source = videos.write_clip(folder / "a <shaky>.mp4", videos.shaky_clip(40, (160, 120)))
    steadyview.stabilize(source, folder / "steady.mp4")
    return source, folder / "steady.mp4"


@pytest.fixture(scope="module")
def quality(pair: tuple[Path, Path]) -> QualityReport:
    return compare_videos(*map(str, pair))


def test_page_is_complete_and_needs_no_network(
    pair: tuple[Path, Path], quality: QualityReport, tmp_path: Path
) -> None:
    page = write_evaluation(pair[0], [pair[1]], [quality], tmp_path / "page.html")
    text = page.read_text()
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", text)
    assert text.count('src="data:video/mp4;base64,') == 2
    assert "a &lt;shaky&gt;.mp4" in text
    assert f"{quality.shake_removed_db:.1f} dB" in text
    assert text.count("<svg") == 7
    manifest = re.search(r'id="manifest">(.*?)</script>', text, re.DOTALL)
    assert manifest is not None
    assert json.loads(manifest[1].replace("<\\/", "</"))["qualities"][0]["frames"] == 40
    with pytest.raises(OutputError, match="exists"):
        write_evaluation(pair[0], [pair[1]], [quality], page)


def test_several_results_have_a_player_each(
    pair: tuple[Path, Path], quality: QualityReport
) -> None:
    same = compare_videos(str(pair[0]), str(pair[0]))
    text = evaluation_html(pair[0], [pair[1], pair[0]], [quality, same])
    assert text.count('class="player"') == 2
    assert text.count('class="pair"') == 2


def test_worst_places_name_frames(quality: QualityReport) -> None:
    places = worst_places(quality)
    assert places
    assert all(0 <= index < quality.frames and why for index, why in places)


# What a person would do, done when the videos have loaded; what happened becomes the page's title.
CLICKS = """
<script>
addEventListener("load", async () => {
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const [a, b] = document.querySelectorAll("video");
  for (let i = 0; i < 100 && !(a.readyState > 2 && b.readyState > 2); ++i) await wait(50);
  const chart = document.querySelector("svg.chart");
  const box = chart.getBoundingClientRect();
  const [left, , width] = chart.dataset.box.split(",").map(Number);
  const scale = box.width / chart.viewBox.baseVal.width;
  chart.dispatchEvent(new MouseEvent("click",
    { clientX: box.left + (left + width / 2) * scale, clientY: box.top + 40 }));
  await wait(400);
  const clicked = [a.currentTime, b.currentTime];
  const wipe = document.querySelector('[data-part="wipe"]');
  wipe.value = 20;
  wipe.dispatchEvent(new Event("input"));
  const clip = getComputedStyle(b).clipPath;
  document.querySelector("button.link").click();
  await wait(400);
  const linked = Number(document.querySelector("button.link").dataset.seek);
  document.querySelector('[data-part="play"]').click();
  await wait(300);
  const state = { ready: [a.readyState, b.readyState], duration: a.duration, clicked, clip,
    linked, at: [a.currentTime, b.currentTime], playing: !a.paused };
  document.documentElement.dataset.state = JSON.stringify(state);
});
</script></main>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_it_plays_and_seeks_in_chromium(
    pair: tuple[Path, Path], quality: QualityReport, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    text = evaluation_html(pair[0], [pair[1]], [quality])
    page.write_text(text.replace("</main>", CLICKS))
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}", "--autoplay-policy=no-user-gesture-required",
        "--virtual-time-budget=15000", "--timeout=20000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'data-state="([^"]*)"', done.stdout)
    assert found is not None, done.stderr[-2000:]
    state = json.loads(found[1].replace("&quot;", '"'))
    assert min(state["ready"]) > 2
    assert state["duration"] == pytest.approx(40 / 30, abs=0.05)
    # The middle of the time axis, and both at the same frame.
    assert state["clicked"] == pytest.approx([39 / 60] * 2, abs=0.05)
    assert "20%" in state["clip"]
    assert state["at"][0] >= state["linked"] - 0.05
    assert state["at"][0] == pytest.approx(state["at"][1], abs=0.1)
