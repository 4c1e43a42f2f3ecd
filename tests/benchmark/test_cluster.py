"""A real Ray of two workers, one of which is killed in mid-run."""

import shlex
import sys
from pathlib import Path

import pytest

import videos
from steadyview.benchmark import run_benchmark
from steadyview.benchmark.datasets import Clip
from steadyview.benchmark.tools import Tool

pytest.importorskip("ray")

# The first cell that runs kills the worker that runs it, once.
KILL_ONCE = """
import os, pathlib, shutil, signal, sys, time
source, result, mark = sys.argv[1:]
try:
    os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
except FileExistsError:
    shutil.copy(source, result)
    sys.exit()
worker = os.getppid()
while b"ray::" not in pathlib.Path(f"/proc/{worker}/cmdline").read_bytes():
    worker = int(pathlib.Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
os.kill(worker, signal.SIGKILL)
time.sleep(60)
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for its parent in /proc")
def test_a_lost_worker_loses_nothing(tmp_path: Path) -> None:
    from steadyview.benchmark.cluster import RayRunner

    clip = videos.write_clip(tmp_path / "clip.mp4", videos.shaky_clip(10, (160, 120), shake=1.0))
    script = tmp_path / "kill_once.py"
    script.write_text(KILL_ONCE)
    command = f"{shlex.quote(sys.executable)} {script} {{source}} {{result}} {tmp_path / 'mark'}"
    clips = [Clip(name, "set", clip) for name in ("one", "two", "three", "four")]
    with RayRunner("local", cpus=1) as ray:
        records = run_benchmark(
            clips,
            [Tool("copy", command), Tool("broken", "exit 3")],
            tmp_path / "out",
            run_all=ray,
        )
    assert (tmp_path / "mark").exists()
    assert [r["status"] for r in records] == ["ok", "failed"] * 4
    assert [r["clip"] for r in records[::2]] == ["one", "two", "three", "four"]
    assert all("exit code 3" in r["error"] for r in records[1::2])
    assert len(list((tmp_path / "out" / "records").iterdir())) == 8
