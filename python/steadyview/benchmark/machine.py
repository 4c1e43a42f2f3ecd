"""Facts about the machine a benchmark ran on, and measuring a command's time and memory."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["Run", "machine_facts", "measure"]


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
    here = str(Path(__file__).resolve().parent)
    dirty = _first_line(["git", "-C", here, "status", "--porcelain", "-uno"])
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
        "commit": _first_line(["git", "-C", here, "rev-parse", "--short", "HEAD"]),
        "uncommitted_changes": bool(dirty),
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
    }


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # not Linux
        return ""


def _first_line(command: list[str]) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[0].strip() or None


@dataclass(frozen=True)
class Run:
    """What one command (a pipeline counts as one) cost.

    Attributes:
        wall: seconds from start to exit.
        cpu: user and system seconds of all its processes.
        peak_mib: largest sum of the resident memory of its processes at any one time (polled every
            20 ms), or the largest of one process as the kernel tells, whichever is more.
        output: what it printed on stdout.
    """

    wall: float
    cpu: float
    peak_mib: float
    output: str


def measure(command: str, cwd: Path, timeout: float = 3600) -> Run:
    """Runs a shell command in a folder and measures it with all the processes it starts.

    Raises:
        RuntimeError: it failed; the message holds the end of its stderr.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    process = subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    peak = [0]
    stop = threading.Event()

    def poll() -> None:
        while not stop.wait(0.02):
            peak[0] = max(peak[0], _session_resident(process.pid))

    poller = threading.Thread(target=poll, daemon=True)
    poller.start()
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        raise RuntimeError(f"over {timeout:.0f} s: {command}") from None
    except BaseException:  # Ctrl-C does not reach a session of its own
        os.killpg(process.pid, 9)
        raise
    finally:
        stop.set()
        poller.join()
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode != 0:
        raise RuntimeError(f"exit code {process.returncode}: {command}\n{errors[-2000:]}")
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Run(wall, cpu, peak[0] / 2**20, output)


def _session_resident(session: int) -> int:
    """Bytes resident in all processes of a session."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for entry in os.scandir("/proc"):
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
