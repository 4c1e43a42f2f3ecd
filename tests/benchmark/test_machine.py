"""What a benchmark measures must be right before any figure is."""

import shlex
import subprocess
import sys

import pytest

from steadyview.benchmark.machine import machine_facts, measure

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
    def interrupted(process, timeout):
        started.append(process)
        raise KeyboardInterrupt

    started = []
    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure("sleep 60", tmp_path)
    assert started[0].wait(5) == -9
    started[0].stdout.close()
    started[0].stderr.close()


def test_facts():
    facts = machine_facts()
    assert facts["cores"] >= 1
    assert facts["python"]
