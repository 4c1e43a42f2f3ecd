"""Stabilisers over datasets: what is run, what is kept, what is resumed, what is told."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import videos
from steadyview.benchmark import find_clips, run_benchmark, summarise, tools_of, write_tables
from steadyview.benchmark import runner as runner_module
from steadyview.benchmark.datasets import Clip
from steadyview.benchmark.tools import Tool
from steadyview.errors import InputError, OptionError


@pytest.fixture(scope="module")
def shaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = videos.shaky_clip(14, (160, 120), shake=2.0)
    return videos.write_clip(tmp_path_factory.mktemp("clips") / "shaky.mp4", clip)


def copying() -> Tool:
    return Tool("copy", "cp {source} {result} && sleep 0.1")  # long enough to be weighed


def failing() -> Tool:
    return Tool("broken", "echo no luck >&2; exit 3")


def layout(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            ("Regular/0.avi", "Regular/1.avi", "Crowd/0.avi", "Crowd/0_stable.avi", "notes.txt"),
            [("Crowd", "Crowd_0"), ("Regular", "Regular_0"), ("Regular", "Regular_1")],
        ),
        (
            ("stable/1.avi", "unstable/1.avi", "unstable/2.avi"),
            [("DeepStab", "1"), ("DeepStab", "2")],
        ),
        (("a.mp4", "night/b.mov", "night/c.png"), [("night", "night_b"), ("set", "a")]),
        (("a.mp4", "a.mov", "b.mp4"), [("set", "a.mov"), ("set", "a.mp4"), ("set", "b")]),
    ],
)
def test_layouts_are_recognised(
    tmp_path: Path, files: tuple[str, ...], expected: list[tuple[str, str]]
) -> None:
    folder = layout(tmp_path / "set", *files)
    clips = find_clips(str(folder), tmp_path)
    assert [(clip.category, clip.name) for clip in clips] == expected


def test_deepstab_pairs_and_selfies(tmp_path: Path) -> None:
    folder = layout(tmp_path / "d", "stable/1.avi", "unstable/1.avi", "unstable/2.avi")
    first, second = find_clips(str(folder), tmp_path)
    assert first.steady == folder / "stable" / "1.avi"
    assert second.steady is None
    assert not first.aligned
    folder = layout(tmp_path / "s", "anna/1.mp4", "ben/1.mp4")
    clips = find_clips(str(folder), tmp_path, layout="selfie")
    assert [clip.name for clip in clips] == ["anna_1", "ben_1"]
    assert {clip.category for clip in clips} == {"Selfie"}


def test_datasets_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        find_clips(str(tmp_path / "nowhere"), tmp_path)
    with pytest.raises(InputError, match="no clips"):
        find_clips(str(tmp_path), tmp_path)
    layout(tmp_path, "a.mp4")
    with pytest.raises(InputError, match="'b'"):
        find_clips(str(tmp_path), tmp_path, only="b")
    with pytest.raises(OptionError, match="layout"):
        find_clips(str(tmp_path), tmp_path, layout="moon")
    with pytest.raises(InputError, match="unstable"):
        find_clips(str(tmp_path), tmp_path, layout="deepstab")


def test_tools_by_name() -> None:
    tools = tools_of(["global_flow", "mine=stab {in} -o {out} --json '{}'"], 0.85)
    assert [tool.name for tool in tools] == ["global_flow", "mine"]
    assert "--crop-limit 0.8500" in tools[0].template
    command = tools[1].command(Path("/a b.mp4"), Path("/c.mp4"))
    assert command == "stab '/a b.mp4' -o /c.mp4 --json '{}'"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["moon"], "moon"),
        (["a=cmd {in}"], "{out}"),
        (["a b=cmd {in} {out}"], "plain name"),
        (["global_flow", "global_flow"], "twice"),
    ],
)
def test_tools_that_are_none(names: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        tools_of(names, 0.8)
    with pytest.raises(OptionError, match="crop_limit"):
        tools_of(["global_flow"], 3.0)


def test_a_run_is_resumed_and_a_failure_is_a_row(
    shaky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [Clip("one", "set", shaky), Clip("two", "set", shaky)]
    seen = []
    records = run_benchmark(
        clips,
        [copying(), failing()],
        tmp_path / "out",
        keep_videos=True,
        progress=lambda record, done, total: seen.append((done, total)),
    )
    assert [(r["clip"], r["tool"], r["status"]) for r in records] == [
        ("one", "copy", "ok"), ("one", "broken", "failed"),
        ("two", "copy", "ok"), ("two", "broken", "failed"),
    ]  # fmt: skip
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    good, bad = records[:2]
    assert good["shake_removed_db"] == pytest.approx(0, abs=0.1)
    assert good["standard_cropping_mean"] == pytest.approx(1, abs=1e-3)
    assert good["seconds"] > 0
    assert good["peak_mib"] > 0
    assert "no luck" in bad["error"]
    assert len(list((tmp_path / "out" / "videos").iterdir())) == 2
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["machine"]["cores"] >= 1

    # A kill after the first record: only the rest is run, and it comes out the same.
    ran = []
    run_cell = runner_module.run_cell
    monkeypatch.setattr(
        runner_module, "run_cell", lambda cell: ran.append(cell.tool.name) or run_cell(cell)
    )
    (tmp_path / "out" / "records" / "set__two__copy.json").unlink()
    (tmp_path / "out" / "records" / "set__one__copy.json").write_text("{half a rec")
    again = run_benchmark(clips, [copying(), failing()], tmp_path / "out", keep_videos=True)
    assert ran == ["copy", "copy"]
    assert [r["status"] for r in again] == [r["status"] for r in records]
    ran.clear()
    run_benchmark(clips, [copying(), failing()], tmp_path / "out", retry_failed=True)
    assert ran == ["broken", "broken"]
    # Another clip under the same name, or another command, is measured anew.
    ran.clear()
    changed = tmp_path / "changed.mp4"
    shutil.copy(shaky, changed)
    run_benchmark([Clip("one", "set", changed)], [copying()], tmp_path / "out")
    assert ran == ["copy"]


def test_tables(tmp_path: Path) -> None:
    base = {"status": "ok", "clip": "c", "frames_per_second": 10.0, "wobble_result_px": 1.0}
    records = [
        {**base, "category": "A", "tool": "x", "standard_stability": 0.5},
        {**base, "category": "A", "tool": "x", "standard_stability": 0.7},
        {**base, "category": "A", "tool": "y_1", "standard_stability": 0.9},
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
    assert len(lines) == 6
    assert "50% & <lost>" in lines[-1]
    assert summarise(records).text() == text.rstrip("\n")


def test_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_tables([{"category": "A", "tool": "x", "clip": "c", "status": "ok", "a": 1.5}], tmp_path)
    assert parquet.read_table(tmp_path / "records.parquet").to_pylist()[0]["a"] == 1.5


def test_synthetic_clips_are_measured_against_their_truth(tmp_path: Path) -> None:
    clips = find_clips("synthetic", tmp_path / "cache", only="rolling_shutter")
    assert [clip.name for clip in clips] == ["rolling_shutter"]
    assert clips[0].aligned
    steady = Tool("truth", f"ffmpeg -loglevel error -i {clips[0].steady} -crf 5 {{result}}")
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    records = run_benchmark(clips, [copying_mkv(), steady], tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["seeds"] == {"rolling_shutter": 9}
    shaken, true = records
    assert true["truth_path_error_px"] < 0.1 < 1 < shaken["truth_path_error_px"]
    # Rolling shutter is what a homography a frame leaves.
    assert true["truth_aligned_psnr_db"] > max(38, shaken["truth_aligned_psnr_db"])
    assert np.isclose(true["truth_aligned_ssim"], 1, atol=0.03)


def copying_mkv() -> Tool:
    return Tool("none", "ffmpeg -loglevel error -i {source} -crf 5 {result}")
