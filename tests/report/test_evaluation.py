"""The page of an evaluation: complete, self-contained, and it plays and seeks in a browser."""

import json
import queue
import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import steadyview
import videos
from steadyview.errors import InputError, OutputError
from steadyview.metrics import QualityReport, compare_videos
from steadyview.report.evaluation import evaluation_html, worst_places
from steadyview.report.measures import measures_text

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
    found = steadyview.evaluate(str(pair[0]), str(pair[1]))
    page = found.save_html(tmp_path / "page.html")
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
        found.save_html(page)
    shown = found._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    assert "Shake above 1 Hz" in shown.partition("</iframe>")[2]
    assert found.records[0] == quality.to_dict()


def test_several_results_have_a_player_each(
    pair: tuple[Path, Path], quality: QualityReport
) -> None:
    same = compare_videos(str(pair[0]), str(pair[0]))
    text = evaluation_html(
        pair[0], [pair[1], pair[0]], [quality, same], [quality.to_dict(), same.to_dict()]
    )
    assert text.count('class="player"') == 2
    assert text.count('class="pair"') == 2


def test_what_is_left_out_is_said(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """No features for the standard scores, no partner for some frames: the rest is measured."""
    blank = [np.full((120, 160, 3), 128, np.uint8)] * 42
    result = videos.write_video(tmp_path / "blank.mp4", blank)
    found = steadyview.evaluate(str(pair[0]), str(result), standard=True)
    record = found.records[0]
    assert record["frames"] == 40
    assert "standard_stability" not in record
    notes = [line for line in measures_text(record) if line.startswith("note: ")]
    assert len(notes) == 5
    assert notes[0] == ("note: 2 frames have no partner in the other video and are left out.")
    assert "Too little of the result" in notes[3]
    assert "10 matching features or fewer" in notes[4]
    assert "10 matching features or fewer" in found.to_html()


def test_frames_from_memory_are_one_result(pair: tuple[Path, Path]) -> None:
    frames = videos.shaky_clip(6, (160, 120)).frames
    found = steadyview.evaluate(list(frames), list(frames))
    assert len(found.records) == 1
    assert found.records[0]["frames"] == 6
    with pytest.raises(InputError, match="results: none"):
        steadyview.evaluate(frames, [])
    with pytest.raises(InputError, match="source: an iterator"):
        steadyview.evaluate(iter(frames), [str(pair[0]), str(pair[1])])


def test_names_end_no_script(pair: tuple[Path, Path], tmp_path: Path) -> None:
    name = shutil.copy(pair[1], tmp_path / "<!--<script>.mp4")
    text = steadyview.evaluate(str(pair[0]), str(name)).to_html()
    assert text.count("<script") == 2
    assert "<!--" not in text


def test_results_of_one_name_have_a_row_each(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Two stabilisers' folders hold files of the same names."""
    (tmp_path / "other").mkdir()
    other = shutil.copy(pair[0], tmp_path / "other" / pair[1].name)
    found = steadyview.evaluate(str(pair[0]), [str(pair[1]), str(other)])
    rows = found.table().rows
    assert [row[1] for row in rows] == [f"{pair[1].parent.name}/steady.mp4", "other/steady.mp4"]
    assert rows[0][4] != rows[1][4]
    assert "<h1>other/steady.mp4</h1>" in found.to_html()


def test_worst_places_name_frames(quality: QualityReport) -> None:
    places = worst_places(quality)
    assert places
    assert all(0 <= index < quality.frames and why for index, why in places)


# What a person would do, done when the videos have loaded; what happened is sent back.
CLICKS = """
<script>
addEventListener("load", async () => {
  const until = async (done) => {
    for (let i = 0; i < 400 && !done(); ++i) await new Promise((next) => setTimeout(next, 50));
  };
  const [a, b] = document.querySelectorAll("video");
  const settled = () => a.readyState > 2 && b.readyState > 2 && !a.seeking && !b.seeking;
  await until(settled);
  const chart = document.querySelector("svg.chart");
  const box = chart.getBoundingClientRect();
  const [left, , width] = chart.dataset.box.split(",").map(Number);
  const scale = box.width / chart.viewBox.baseVal.width;
  chart.dispatchEvent(new MouseEvent("click",
    { clientX: box.left + (left + width / 2) * scale, clientY: box.top + 40 }));
  await until(settled);
  const clicked = [a.currentTime, b.currentTime];
  const wipe = document.querySelector('[data-part="wipe"]');
  wipe.value = 20;
  wipe.dispatchEvent(new Event("input"));
  const clip = getComputedStyle(b).clipPath;
  const link = document.querySelector("button.link");
  link.click();
  await until(settled);
  const linked = [Number(link.dataset.seek), a.currentTime, b.currentTime];
  document.querySelector('[data-part="place"]').value = 0;
  document.querySelector('[data-part="place"]').dispatchEvent(new Event("input"));
  await until(settled);
  document.querySelector('[data-part="play"]').click();
  await until(() => a.currentTime > 0.1);
  const played = [a.currentTime, b.currentTime];
  const state = { ready: [a.readyState, b.readyState], duration: a.duration, clicked, clip,
    linked, played };
  fetch("/state", { method: "POST", body: JSON.stringify(state) });
});
</script></main>"""


class Visit(BaseHTTPRequestHandler):
    """Hands out one page, and takes what its script found."""

    text = ""
    found: queue.Queue[str]

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.text.encode())

    def do_POST(self) -> None:
        self.found.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *given: object) -> None:
        pass


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_it_plays_and_seeks_in_chromium(
    pair: tuple[Path, Path], quality: QualityReport, tmp_path: Path
) -> None:
    text = evaluation_html(pair[0], [pair[1]], [quality], [quality.to_dict()]).replace(
        "</main>", CLICKS
    )
    answers: queue.Queue[str] = queue.Queue()
    handler = type("Page", (Visit,), {"text": text, "found": answers})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={tmp_path / 'profile'}", "--autoplay-policy=no-user-gesture-required",
            "--remote-debugging-port=0", f"http://127.0.0.1:{server.server_address[1]}/",
        ]  # fmt: skip
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            state = json.loads(answers.get(timeout=90))
        finally:
            browser.terminate()
            browser.wait(30)
            server.shutdown()
    assert min(state["ready"]) > 2
    assert state["duration"] == pytest.approx(40 / 30, abs=0.05)
    # The middle of the time axis, and both at the same frame.
    assert state["clicked"] == pytest.approx([39 / 60] * 2, abs=0.05)
    assert "20%" in state["clip"]
    assert state["linked"][1:] == pytest.approx([state["linked"][0]] * 2, abs=0.05)
    assert state["played"][0] > 0.1
    assert state["played"][0] == pytest.approx(state["played"][1], abs=0.15)
