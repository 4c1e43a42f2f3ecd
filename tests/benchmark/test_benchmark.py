"""Stabilisers over datasets: what is run, what is kept, what is resumed, what is told."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import videos
from steadyview import __version__, cli
from steadyview.benchmark import find_clips, known_records, run_benchmark, tools_of
from steadyview.benchmark import runner as runner_module
from steadyview.benchmark.datasets import Clip
from steadyview.benchmark.runner import Cell, begun_record
from steadyview.benchmark.tools import Tool
from steadyview.errors import OptionError


@pytest.fixture(scope="module")
def shaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = videos.shaky_clip(14, (160, 120), shake=2.0)
    return videos.write_clip(tmp_path_factory.mktemp("clips") / "shaky.mp4", clip)


def copying() -> Tool:
    return Tool("copy", "cp {source} {result} && sleep 0.3")  # long enough to be weighed


def failing() -> Tool:
    return Tool("broken", "echo no luck >&2; exit 3")


def test_tools_by_name() -> None:
    tools = tools_of(["global_flow", "mine=stab {in} -o {out} --json '{}'"], 0.85)
    assert [tool.name for tool in tools] == ["global_flow", "mine"]
    assert "--crop-limit 0.8500" in tools[0].template
    command = tools[1].command(Path("/a b.mp4"), Path("/c.mp4"))
    assert command == "stab '/a b.mp4' -o /c.mp4 --json '{}'"
    (quoted,) = tools_of(["mine=stab \"{in}\" -o='{out}'"], 0.85)
    assert quoted.command(Path("/a b.mp4"), Path("/c.mp4")) == "stab '/a b.mp4' -o=/c.mp4"


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
    assert good["version"] == __version__
    assert {"commit", "host", "date"} <= set(bad)

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


def test_a_clip_that_vanishes_is_a_row(shaky: Path, tmp_path: Path) -> None:
    clip = Path(shutil.copy(shaky, tmp_path / "clip.mp4"))
    tools = [Tool("mover", "rm {source}; cp {source} {result}"), copying()]
    records = run_benchmark([Clip("one", "set", clip)], tools, tmp_path / "out")
    assert [record["status"] for record in records] == ["failed", "failed"]
    assert known_records([Clip("one", "set", clip)], tools, tmp_path / "out") == records[1:]


def test_what_a_tool_leaves_behind_is_no_failure(shaky: Path, tmp_path: Path) -> None:
    """A process that goes on writing, bytes that are no text."""
    busy = "(mkdir d; while :; do touch d/$RANDOM; done) >&2 & cp {source} {result}"
    tools = [Tool("busy", busy), Tool("bytes", "printf '\\377' | tee /dev/stderr && " + busy)]
    records = run_benchmark([Clip("one", "set", shaky)], tools, tmp_path / "out")
    assert [record["status"] for record in records] == ["ok", "ok"]


def test_time_is_limited(shaky: Path, tmp_path: Path) -> None:
    clips, slow = [Clip("one", "set", shaky)], Tool("slow", "sleep 30")
    (record,) = run_benchmark(clips, [slow], tmp_path, timeout=0.2)
    assert record["error"].startswith("over 0 s")
    for timeout in (0, float("nan")):
        with pytest.raises(OptionError, match="timeout"):
            run_benchmark(clips, [slow], tmp_path, timeout=timeout)


def test_a_record_is_of_the_files_it_was_made_from(shaky: Path, tmp_path: Path) -> None:
    steady, network = tmp_path / "steady.mkv", tmp_path / "alex.pth"
    clip = Clip("one", "set", shaky, steady, aligned=True)
    cell = Cell(clip, copying(), tmp_path / "r.json", None, (("lpips", (str(network),)),))
    seen = set()
    for file in (steady, network):
        seen.add(cell.fingerprint)
        file.write_bytes(b"first")
        seen.add(cell.fingerprint)
        file.write_bytes(b"another")
    seen.add(cell.fingerprint)
    assert len(seen) == 5


def never(cells: Sequence[Cell]) -> list[dict]:
    """Records without running anything."""
    return [begun_record(cell) | {"status": "failed", "error": "-"} for cell in cells]


@pytest.mark.parametrize(
    "clips",
    [
        [("set", "a b"), ("set", "a_b"), ("set", "a__b"), ("set_", "a_b"), ("set", "_a_b")],
        [("a__b", "c"), ("a", "b__c"), ("a", "b"), ("a", "c"), ("x", "\u00e4"), ("x", "\u00f6")],
        [("x", 200 * "n"), ("x", 201 * "n")],
    ],
)
def test_every_record_has_a_file(tmp_path: Path, clips: list[tuple[str, str]]) -> None:
    given = [Clip(name, category, tmp_path / "x.mp4") for category, name in clips]
    tools = [Tool("copy", ""), Tool("b__copy", "")]
    records = run_benchmark(given, tools, tmp_path, run_all=never)
    assert len(list((tmp_path / "records").iterdir())) == len(records) == 2 * len(clips)
    assert known_records(given, tools, tmp_path) == records


def test_workers_get_full_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.mp4").touch()
    cells: list[Cell] = []

    def keep(given: Sequence[Cell]) -> list[dict]:
        cells.extend(given)
        return []

    weights = {"lpips": ["alex.pth"]}
    clips = find_clips("set", Path("cache"))
    run_benchmark(clips, [copying()], "out", keep_videos=True, weights=weights, run_all=keep)
    (cell,) = cells
    assert cell.video is not None
    for path in (cell.clip.source, cell.record, cell.video, Path(cell.weights[0][1][0])):
        assert path.is_relative_to(tmp_path)


def test_only_a_part_is_run_and_the_table_stays_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a/1.mp4", "b/2.mp4"):
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        (tmp_path / "set" / name).touch()
    given = ("benchmark", str(tmp_path / "set"), "-o", str(tmp_path / "out"), "--methods", "")
    command = ("--command", "bad=false {in} {out}")
    for only in ("a/", "b/"):
        with pytest.raises(SystemExit, match="2"):
            cli.app([*given, *command, "--only", only, "--json"])
        assert [r["category"] for r in json.loads(capsys.readouterr().out)] == [only[0]]
    lines = (tmp_path / "out" / "records.csv").read_text().splitlines()
    assert len(lines) == 3
    assert len((tmp_path / "out" / "table.txt").read_text().splitlines()) >= 4


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
