"""The command line: exit codes, messages, files; in this process where that is possible."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import videos
from steadyview import __version__, cli, jobs

COMMAND = [sys.executable, "-m", "steadyview"]


@dataclass
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls `steadyview` with arguments, in this process."""
    monkeypatch.setattr(cli, "_handle_signals", lambda: None)  # they are pytest's here

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["steadyview", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capfd.readouterr()
        return Outcome(int(stop.value.code or 0), out, err)

    return call


@pytest.fixture
def shaky(tmp_path: Path) -> Path:
    return videos.write_clip(tmp_path / "shaky.mp4", videos.shaky_clip(12, (128, 96)))


def test_help_and_version_import_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['steadyview', {!r}]\n"
        "from steadyview.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "heavy = {{'torch', 'cv2', 'av', 'plotly', 'matplotlib', 'numpy', 'scipy'}}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    for flag, shown in (("--help", "stabilize"), ("--version", __version__)):
        done = subprocess.run(
            [sys.executable, "-c", script.format(flag)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert shown in done.stdout


def test_stabilize_does_not_import_torch(shaky: Path) -> None:
    script = (
        "import sys\nfrom steadyview.cli import main\n"
        f"sys.argv = ['steadyview', 'stabilize', {str(shaky)!r}, '--quiet']\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert shaky.with_name("shaky_steady.mp4").exists()


def test_default_output_summary_and_overwrite(run: Run, shaky: Path) -> None:
    done = run("stabilize", shaky)
    target = shaky.with_name("shaky_steady.mp4")
    assert done.code == 0
    assert f"{shaky} -> {target}" in done.out
    assert "12 frames of 128x96" in done.out
    written = target.read_bytes()
    again = run("stabilize", shaky)
    assert again.code == 2
    assert str(target) in again.err
    assert again.err.startswith("steadyview: ")
    assert again.err.count("\n") == 1
    assert target.read_bytes() == written
    assert run("stabilize", shaky, "--overwrite", "-q").code == 0


def test_json_is_one_object_with_options_and_measures(run: Run, shaky: Path) -> None:
    done = run("stabilize", shaky, "--json", "--crop-limit", "0.7", "--no-residual", "--report")
    assert done.code == 0, done.err
    record = json.loads(done.out)
    assert record["status"] == "ok"
    assert record["frames"] == 12
    assert record["options"]["crop_limit"] == 0.7
    assert record["options"]["residual"] is False
    assert record["quality"]["border_pixels"] == 0
    assert Path(record["report"]).read_text().startswith("<!DOCTYPE html>")


def test_defaults_and_presets_are_those_of_the_options(run: Run, shaky: Path) -> None:
    from steadyview import StabilizeOptions

    plain = json.loads(run("stabilize", shaky, "--json").out)
    assert plain["options"] == StabilizeOptions().to_dict()
    walking = run("stabilize", shaky, "--json", "--overwrite", "--preset", "walking")
    expected = StabilizeOptions.make(preset="walking").to_dict()
    assert json.loads(walking.out)["options"] == expected


def test_compare_and_report_files(run: Run, shaky: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    done = run("stabilize", shaky, "-o", target, "--compare", "--report")
    assert done.code == 0, done.err
    frames, _ = videos.read_planes(tmp_path / "out_compare.mp4")
    assert len(frames) == 12
    assert frames[0].shape == (96, 2 * 128 + 4, 3)
    assert "shake above 1 Hz" in done.out
    # The files beside the output are guarded as well, before any work is done.
    target.unlink()
    again = run("stabilize", shaky, "-o", target, "--report")
    assert again.code == 2
    assert "out_report.html" in again.err
    assert not target.exists()


def test_motion_file_is_written_then_read(run: Run, shaky: Path, tmp_path: Path) -> None:
    motion = tmp_path / "motion.json"
    assert run("stabilize", shaky, "--motion", motion, "-q").code == 0
    assert json.loads(motion.read_text())
    stamp = motion.stat().st_mtime_ns
    assert run("stabilize", shaky, "--motion", motion, "-q", "--overwrite").code == 0
    assert motion.stat().st_mtime_ns == stamp


def test_batch_goes_on_after_a_bad_file(run: Run, shaky: Path, tmp_path: Path) -> None:
    bad = videos.write_text_file(tmp_path / "bad.mp4")
    other = videos.write_clip(tmp_path / "other.mp4", videos.shaky_clip(6, (96, 64)))
    folder = tmp_path / "steady"
    done = run("stabilize", shaky, bad, other, "-o", folder, "--json")
    assert done.code == 2
    assert [record["status"] for record in json.loads(done.out)] == ["ok", "failed", "ok"]
    assert done.err.startswith("steadyview: ")
    assert "bad.mp4" in done.err
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["other_steady.mp4", "shaky_steady.mp4"]


def test_glob_is_a_batch(run: Run, shaky: Path, tmp_path: Path) -> None:
    done = run("stabilize", tmp_path / "*.mp4", "--json", "-o", tmp_path / "steady")
    assert done.code == 0, done.err
    records = json.loads(done.out)
    assert [record["source"] for record in records] == [str(shaky)]
    nothing = run("stabilize", tmp_path / "*.mov")
    assert nothing.code == 2
    assert "nothing matches" in nothing.err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--crop-limit", "1.5"], "crop_limit"),
        (["--crop-limit", "nan"], "crop_limit"),
        (["--smooth", "-1"], "smooth"),
        (["--preset", "boat"], "preset"),
        (["--method", "magic"], "method"),
        (["--interpolation", "nearest"], "interpolation"),
        (["--threads", "-3"], "threads"),
        (["-o", "/dev/null/x.mp4"], "/dev/null"),
        (["-o", "missing/folder/x.mp4"], "missing/folder"),
        (["-o", "x.mp3"], ".mp3"),
        (["--motion", "missing/motion.json"], "motion"),
        (["--codec", "nonsense"], "nonsense"),
    ],
)
def test_bad_options_are_one_line_and_code_2(
    run: Run, shaky: Path, arguments: list[str], word: str
) -> None:
    before = sorted(shaky.parent.iterdir())
    done = run("stabilize", shaky, *arguments)
    assert done.code == 2
    assert done.err.startswith("steadyview: ")
    assert done.err.count("\n") == 1
    assert word in done.err
    assert sorted(shaky.parent.iterdir()) == before


@pytest.mark.parametrize("arguments", [["stabilize"], ["stabilize", "a", "--nonsense"], ["bend"]])
def test_usage_errors_are_code_2(run: Run, arguments: list[str]) -> None:
    assert run(*arguments).code == 2


def test_missing_input_names_the_file(run: Run, tmp_path: Path) -> None:
    done = run("stabilize", tmp_path / "nowhere.mp4")
    assert done.code == 2
    assert "nowhere.mp4" in done.err


def test_output_over_the_input_is_refused(run: Run, shaky: Path) -> None:
    content = shaky.read_bytes()
    assert run("stabilize", shaky, "-o", shaky, "--overwrite").code == 2
    assert shaky.read_bytes() == content


def test_batch_never_writes_over_its_inputs(run: Run, shaky: Path) -> None:
    second = shaky.with_name("shaky_steady.mp4")
    second.write_bytes(shaky.read_bytes())
    content = shaky.read_bytes()
    done = run("stabilize", shaky, second, "--overwrite")
    assert done.code == 2
    assert f"{second} is one of the inputs" in done.err
    assert second.read_bytes() == content
    link = shaky.with_name("link_steady.mp4")
    link.symlink_to(shaky)
    assert run("stabilize", shaky, "-o", link, "--overwrite").code == 2
    assert shaky.read_bytes() == content


def test_failed_report_keeps_the_finished_video_in_the_record(
    run: Run, shaky: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steadyview.errors import OutputError

    def fail(*_: object, **__: object) -> None:
        raise OutputError("page.html: the disk is full")

    monkeypatch.setattr("steadyview.report.html.write_report", fail)
    done = run("stabilize", shaky, "--report", "--json")
    record = json.loads(done.out)
    assert done.code == 2
    assert (record["status"], record["error"]) == ("failed", "page.html: the disk is full")
    assert Path(record["output"]).is_file()
    assert record["frames"] == 12
    assert "report" not in record
    shown = run("stabilize", shaky, "--report", "--overwrite")
    assert "shaky_steady.mp4" in shown.out
    assert shown.err == "steadyview: page.html: the disk is full\n"


def test_closed_stdout_does_not_crash_the_job(shaky: Path) -> None:
    line = f"{' '.join(COMMAND)} stabilize {shaky} | true"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert "unexpected" not in done.stderr
    assert shaky.with_name("shaky_steady.mp4").is_file()


def test_unexpected_error_is_code_1(run: Run, shaky: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("steadyview.api.stabilize", explode)
    done = run("stabilize", shaky)
    assert done.code == 1
    assert "RuntimeError: boom" in done.err
    assert "Traceback" not in done.err


def test_quiet_says_nothing(run: Run, shaky: Path) -> None:
    done = run("stabilize", shaky, "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_evaluate_and_compare(run: Run, shaky: Path, tmp_path: Path) -> None:
    steady = tmp_path / "steady.mp4"
    assert run("stabilize", shaky, "-o", steady, "-q").code == 0
    table = run("evaluate", shaky, steady)
    assert table.code == 0
    assert "black border pixels" in table.out
    measures = json.loads(run("evaluate", shaky, steady, "--json").out)
    assert measures["frames"] == 12
    wiped = run("compare", shaky, steady, "-o", tmp_path / "wipe.mp4", "--wipe")
    assert wiped.code == 0
    assert videos.read_planes(tmp_path / "wipe.mp4")[0][0].shape == (96, 128, 3)
    assert run("compare", shaky, steady, "-o", tmp_path / "wipe.mp4").code == 2
    assert run("evaluate", shaky, tmp_path / "nowhere.mp4").code == 2


def test_evaluate_several_with_tables(run: Run, shaky: Path, tmp_path: Path) -> None:
    steady = tmp_path / "steady.mp4"
    assert run("stabilize", shaky, "-o", steady, "-q").code == 0
    files = ["--csv", tmp_path / "all.csv", "--latex", tmp_path / "all.tex"]
    done = run("evaluate", shaky, steady, shaky, "--standard", *files)
    assert done.code == 0
    assert "stability" in done.out.splitlines()[0]
    assert len(done.out.splitlines()) == 3
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 3
    assert (tmp_path / "all.tex").read_text().startswith(r"\begin{tabular}")
    assert run("evaluate", shaky, steady, *files).code == 2  # they exist
    one = run("evaluate", shaky, steady, "--truth", shaky, "--geometry", "--temporal")
    assert "path error" in one.out
    assert "epipolar" in one.out
    assert "flow-warp" in one.out


def test_evaluate_looks_before_it_measures(run: Run, shaky: Path, tmp_path: Path) -> None:
    """What cannot be read or written is told at once, and no video is written over."""
    before = shaky.read_bytes()
    for given, told in (
        (("--csv", tmp_path / "nowhere" / "a.csv"), "the folder"),
        (("--csv", shaky, "--overwrite"), "is an input"),
        (("--csv", tmp_path / "a", "--latex", tmp_path / "a"), "given twice"),
    ):
        done = run("evaluate", shaky, shaky, *given)
        assert (done.code, told in done.err) == (2, True)
    assert shaky.read_bytes() == before
    assert "nowhere.mp4" in run("evaluate", shaky, shaky, tmp_path / "nowhere.mp4").err


def test_evaluate_of_one_frame(run: Run, tmp_path: Path) -> None:
    one, page = videos.write_video(tmp_path / "one.mp4", 1), tmp_path / "one.html"
    done = run("evaluate", one, one, "--standard", "--geometry", "--temporal", "--html", page)
    assert done.code == 0, done.err
    assert re.search(r"stability \(strict\) +- ", done.out)
    assert "Too little of the result" in page.read_text()


def test_benchmark_of_a_folder(run: Run, shaky: Path, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "one.mp4").write_bytes(shaky.read_bytes())
    out = tmp_path / "out"
    given = ("benchmark", tmp_path / "clips", "-o", out, "--methods", "global_flow")
    done = run(*given, "--command", "none=cp {in} {out}", "--keep")
    assert done.code == 0, done.err
    assert "global_flow" in done.out
    assert "2/2" in done.err
    names = {path.name for path in out.iterdir()}
    assert {"records.csv", "table.tex", "table.html", "table.txt", "manifest.json"} <= names
    assert len(list((out / "videos").iterdir())) == 2
    again = run(*given, "--command", "none=cp {in} {out}", "--keep", "--json")
    assert [record["tool"] for record in json.loads(again.out)] == ["global_flow", "none"]
    assert "2/2" not in again.err  # nothing was run again
    assert run(*given, "--command", "bad=false {in} {out}").code == 2
    assert run("benchmark", tmp_path / "nowhere").code == 2


def test_doctor_tells_what_is_built(run: Run) -> None:
    info = json.loads(run("doctor", "--json").out)
    assert info["core"]["available"]
    assert info["encoders"]["libx264"]
    text = run("doctor").out
    assert f"steadyview {__version__}" in text
    for problem in info["problems"]:
        assert problem["fix"] in text


@pytest.mark.parametrize("stage", ["analysing", "rendering", "comparing"])
def test_interrupt_leaves_nothing_unfinished(stage: str, tmp_path: Path) -> None:
    """Ctrl-C in a child that has reached a stage: code 130, one line, no temporary file."""
    source = videos.write_clip(tmp_path / "shaky.mp4", videos.shaky_clip(8, (96, 64)))
    mark = tmp_path.with_name(tmp_path.name + "-reached")
    script = (
        "import faulthandler, sys, time, pathlib\nfrom steadyview import cli, jobs\n"
        "faulthandler.dump_traceback_later(50, exit=True)  # where a child hangs\n"
        "def pause(self, stage, done, total):\n"
        f"    if jobs.STAGES.get(stage) == {stage!r}:\n"
        f"        pathlib.Path({str(mark)!r}).touch()\n"
        "        for _ in range(600): time.sleep(0.1)  # a signal may just miss one\n"
        "jobs._Silent.__call__ = pause\n"
        # Analysing is a stage of its own where the path depends on the whole video.
        f"sys.argv = ['steadyview', 'stabilize', {str(source)!r}, '--compare', '--preset', "
        f"{'tripod' if stage == 'analysing' else 'handheld'!r}]\n"
        "cli.main()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not mark.exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert err == "steadyview: stopped; no unfinished file was left behind\n"
    finished = {"shaky.mp4"} | ({"shaky_steady.mp4"} if stage == "comparing" else set())
    assert {path.name for path in tmp_path.iterdir()} == finished


def test_reader_of_stdout_that_goes_away(shaky: Path) -> None:
    line = f"{' '.join(COMMAND)} stabilize {shaky} --json | head -c 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.stdout == "{"
    assert "Traceback" not in done.stderr


def test_plan_names_and_conflicts(tmp_path: Path) -> None:
    from steadyview import StabilizeOptions
    from steadyview.errors import InputError, OutputError

    def outputs(*inputs: str, output: str | None = None, codec: str = "libx264") -> list[str]:
        planned, _ = jobs.plan(inputs, output, StabilizeOptions(codec=codec))
        return [os.fspath(job.output) for job in planned]

    assert outputs("a/x.mov") == ["a/x_steady.mov"]
    assert outputs("a/x.MKV") == ["a/x_steady.mkv"]
    assert outputs("a/x.webm") == ["a/x_steady.mp4"]
    assert outputs("a/x.webm", codec="av1") == ["a/x_steady.webm"]
    assert outputs("a/x.mp4", codec="prores") == ["a/x_steady.mov"]
    assert outputs("a/x.mov", codec="ffv1") == ["a/x_steady.mkv"]
    assert outputs("x.mov", output=f"{tmp_path}/") == [f"{tmp_path}/x_steady.mov"]
    assert outputs("x.mov", "y.avi", output=f"{tmp_path}/new") == [
        f"{tmp_path}/new/x_steady.mov",
        f"{tmp_path}/new/y_steady.mp4",
    ]
    (tmp_path / "frames").mkdir()
    for index in range(3):
        (tmp_path / "frames" / f"{index}.png").touch()
    assert outputs(f"{tmp_path}/frames/*.png") == [f"{tmp_path}/frames_steady.mp4"]
    assert outputs(f"{tmp_path}/frames/%d.png") == [f"{tmp_path}/frames_steady.mp4"]
    assert outputs(f"{tmp_path}/frames") == [f"{tmp_path}/frames_steady.mp4"]
    with pytest.raises(OutputError, match="one of the inputs"):
        outputs(f"{tmp_path}/frames/*.png", output=f"{tmp_path}/frames/%d.png")
    with pytest.raises(InputError, match="quote the pattern"):
        outputs(*(f"{tmp_path}/frames/{index}.png" for index in range(3)))
    with pytest.raises(OutputError, match="both be written"):
        outputs("a/x.mov", "b/x.mov", output=f"{tmp_path}/new")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        outputs("a/x.mov", "b/y.mov", output=f"{tmp_path}/file")
