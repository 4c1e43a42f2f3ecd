"""What a benchmark measures must be right before any figure is."""

import os
import resource
import shlex
import sys
from pathlib import Path

import pytest

from steadyview.benchmark import machine
from steadyview.benchmark.machine import commit, machine_facts, measure

PYTHON = shlex.quote(sys.executable)


def test_memory_of_a_pipeline_is_summed(tmp_path):
    """Two processes of a pipeline hold 150 MiB each at the same time."""
    code = "import sys, time; block = b'x' * (150 << 20); time.sleep(0.8)"
    run = measure(f"{PYTHON} -c {shlex.quote(code)} | {PYTHON} -c {shlex.quote(code)}", tmp_path)
    assert 300 <= run.peak_mib < 400
    assert run.wall >= 0.8


def test_processor_time_and_output(tmp_path):
    code = "import time\nwhile time.process_time() < 0.3: pass\nprint('done')"
    run = measure(f"{PYTHON} -c {shlex.quote(code)}", tmp_path)
    assert run.output == "done\n"
    assert 0.3 <= run.cpu < 3


def test_failures_are_told(tmp_path):
    with pytest.raises(RuntimeError, match="exit code 3"):
        measure("exit 3", tmp_path)
    with pytest.raises(RuntimeError, match="exit code 1"):
        measure("false | true", tmp_path)
    with pytest.raises(RuntimeError, match="over 0 s"):
        measure("sleep 5", tmp_path, timeout=0.2)


def test_what_is_stopped_leaves_nothing_running(tmp_path, monkeypatch):
    def interrupted(pid, options):
        started.append(pid)
        raise KeyboardInterrupt

    started = []
    monkeypatch.setattr(os, "wait4", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure("sleep 60", tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


def test_what_is_left_in_the_background_is_ended(tmp_path):
    """It holds the pipes of stdout and stderr open as well."""
    run = measure("sleep 60 & echo $!", tmp_path)
    assert run.wall < 10
    stat = Path(f"/proc/{run.output.strip()}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_what_it_prints_may_be_no_text(tmp_path):
    assert measure("printf 'a\\377b'", tmp_path).output == "a\ufffdb"
    with pytest.raises(RuntimeError, match=r"exit code 3: .*\n\ufffd"):
        measure("printf '\\377' >&2; exit 3", tmp_path)


def test_memory_of_what_is_over_at_once(tmp_path, monkeypatch):
    """Nothing is known of it, unless the kernel saw more than we ever had ourselves."""
    assert measure("true", tmp_path).peak_mib is None
    monkeypatch.setattr(machine, "_session_resident", lambda session: 0)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    more = usage.ru_maxrss // 1024 + 30
    run = measure(f"{PYTHON} -c \"x = b'x' * ({more} << 20)\"", tmp_path)
    assert more <= run.peak_mib < more + 30


def test_facts():
    facts = machine_facts()
    assert facts["cores"] >= 1
    assert facts["python"]


def test_the_commit_is_ours_or_none(tmp_path, monkeypatch):
    """Installed in somebody's repository, it is not that one's."""
    commit.cache_clear()
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "machine.py"))
    assert commit() is None
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    commit.cache_clear()
    assert commit() is None
    commit.cache_clear()
