"""Facts about the machine a benchmark ran on, and measuring a command's time and memory."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["Run", "commit", "machine_facts", "measure"]

#: Times that a command must have been looked at before the largest sum seen is its peak.
LOOKS = 5


def machine_facts() -> dict[str, Any]:
    """Processor, cores, versions and commit, for the head of every result file."""
    cpu = re.search(r"model name\s*:\s*(.+)", _text("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+)", _text("/proc/meminfo"))
    packages: dict[str, str | None] = {}
    for name in ("numpy", "opencv-python-headless", "av", "torch"):
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            packages[name] = None
    ffmpeg = _first_line(["ffmpeg", "-version"]) if shutil.which("ffmpeg") else None
    return {
        "cpu": cpu.group(1) if cpu else platform.processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": round(int(memory.group(1)) / 2**20, 1) if memory else None,
        "load_at_start": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "ffmpeg": ffmpeg,
        "packages": packages,
        "commit": (commit() or "").rstrip("+") or None,
        "uncommitted_changes": (commit() or "").endswith("+"),
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
    }


@functools.cache
def commit() -> str | None:
    """Of steadyview's source tree, with a "+" where files differ from it; None outside of it."""
    here = Path(__file__).resolve()
    git = ["git", "-C", str(here.parent)]
    if not _first_line([*git, "ls-files", here.name]):  # installed, maybe in another's repository
        return None
    changed = _first_line([*git, "status", "--porcelain", "-uno"])
    return f"{_first_line([*git, 'rev-parse', '--short', 'HEAD'])}{'+' if changed else ''}"


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # not Linux
        return ""


def _first_line(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:  # no such program
        return None
    return done.stdout.decode(errors="replace").split("\n")[0].strip() or None


@dataclass(frozen=True)
class Run:
    """What one command (a pipeline counts as one) cost.

    Attributes:
        wall: seconds from start to exit.
        cpu: user and system seconds of all its processes.
        peak_mib: largest sum of the resident memory of its processes at any one time (looked at
            every 20 ms), or the largest of one process as the kernel tells, whichever is more; None
            where it ended too soon to be looked at, and the kernel cannot tell.
        output: what it printed on stdout.
    """

    wall: float
    cpu: float
    peak_mib: float | None
    output: str


def measure(command: str, cwd: Path, timeout: float = 3600) -> Run:
    """Runs a shell command in a folder and measures it with all the processes it starts.

    Processes that it leaves in the background are ended.

    Raises:
        RuntimeError: it failed; the message holds the end of its stderr.
    """
    # Files, not pipes: a process that is left behind would hold a pipe open.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        watch = _Watch(process.pid, start + timeout)
        usage = None
        try:
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
        finally:
            watch.stop()
            _kill(process.pid)  # and Ctrl-C does not reach a session of its own
            for _ in range(200):  # until they are gone, and their files can be deleted
                if not _session_resident(process.pid):
                    break
                time.sleep(0.005)
            if usage is None:
                process.wait()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        printed, told = (file.read().decode(errors="replace") for file in (output, errors))
    if watch.late:
        raise RuntimeError(f"over {timeout:.0f} s: {command}")
    if process.returncode != 0:
        raise RuntimeError(f"exit code {process.returncode}: {command}\n{told[-2000:]}")
    return Run(wall, usage.ru_utime + usage.ru_stime, _peak_mib(watch, usage.ru_maxrss), printed)


def _peak_mib(watch: _Watch, kernel: int) -> float | None:
    peaks = [watch.peak] if watch.looks >= LOOKS else []
    # A process begins as a copy of ours: up to our own maximum, the kernel's is not the command's.
    if kernel > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:
        peaks.append(kernel * (1 if sys.platform == "darwin" else 1024))
    return max(peaks) / 2**20 if peaks else None


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


class _Watch:
    """Looks at a session's memory every 20 ms, and ends the session when its time is over."""

    def __init__(self, session: int, end: float) -> None:
        self.session, self.end = session, end
        self.peak, self.looks, self.late = 0, 0, False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(0.02):
            resident = _session_resident(self.session)
            if resident:
                self.peak, self.looks = max(self.peak, resident), self.looks + 1
            if time.perf_counter() > self.end:
                self.late = True
                _kill(self.session)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def _session_resident(session: int) -> int:
    """Bytes resident in all processes of a session."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for entry in os.scandir("/proc") if os.path.isdir("/proc") else ():
        if not entry.name.isdigit():
            continue
        try:
            with open(f"{entry.path}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
            if int(fields[3]) == session:
                total += int(fields[21]) * page
        except (OSError, IndexError):
            continue  # the process ended meanwhile
    return total
