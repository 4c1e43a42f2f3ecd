"""Runs stabilisers over clips: one record a clip and tool, kept as they come."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import OptionError, OutputError
from ..files import atomic_file, atomic_text
from ..metrics import compare_videos, load_learned, measure_learned
from ..metrics.learned import LearnedModels
from ..metrics.truth import compare_with_truth
from .datasets import Clip
from .machine import commit, machine_facts, measure
from .tools import Tool

__all__ = ["TIMEOUT", "Cell", "begun_record", "known_records", "run_benchmark", "run_cell"]

#: Seconds; a tool that takes longer for one clip is stopped, and its row tells so.
TIMEOUT = 3600.0
#: Raised when what a record holds, or how it is measured, changes: older records are made again.
RECORD_VERSION = 3


@dataclass(frozen=True)
class Cell:
    """One clip by one tool.

    Attributes:
        record: the JSON file that holds what came out.
        video: where the steady video is kept; None: it is measured and dropped.
        weights: files of networks by score, for `load_learned`.
        timeout: seconds that the tool may take.
    """

    clip: Clip
    tool: Tool
    record: Path
    video: Path | None
    weights: tuple[tuple[str, tuple[str, ...]], ...] = ()
    timeout: float = TIMEOUT

    @property
    def steady(self) -> Path | None:
        """The true steady video."""
        return self.clip.steady if self.clip.aligned else None

    @property
    def fingerprint(self) -> str:
        """Changes with whatever would change the record."""
        files = [
            self.clip.source,
            self.steady,
            *(file for _, many in self.weights for file in many),
        ]
        facts = (
            RECORD_VERSION, __version__, self.tool.template, self.weights,
            [_identity(file) for file in files if file],
        )  # fmt: skip
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def run_benchmark(
    clips: Sequence[Clip],
    tools: Sequence[Tool],
    folder: str | Path,
    *,
    keep_videos: bool = False,
    retry_failed: bool = False,
    weights: Mapping[str, Sequence[str]] | None = None,
    timeout: float = TIMEOUT,
    run_all: Callable[[Sequence[Cell]], Iterable[dict[str, Any]]] | None = None,
    progress: Callable[[dict[str, Any], int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Every clip by every tool; what is there already is not made again.

    Args:
        clips, tools: the rows and columns.
        folder: gets `records/*.json`, `manifest.json` and, with `keep_videos`, `videos/`.
        keep_videos: keep the steady videos, not only their figures.
        retry_failed: run again what failed before.
        weights: files of networks by score, whose scores are wanted too; see docs/metrics.md.
        timeout: seconds that a tool may take for a clip; one that takes longer has failed.
        run_all: runs cells and gives their records in any order, such as `cluster.RayRunner`; one
            after the other here when None.
        progress: called with each new record, how many are done, and how many there are.

    Returns:
        One record a cell, by clip and tool: "status" is "ok" or "failed" (then "error").

    Raises:
        OptionError: a time-out that is not above zero.
        OutputError: the folder cannot be written.
    """
    if not timeout > 0:
        raise OptionError(f"timeout must be above 0 seconds, got {timeout}")
    folder = Path(folder).resolve()  # a worker elsewhere has another working folder
    try:
        (folder / "records").mkdir(parents=True, exist_ok=True)
        if keep_videos:
            (folder / "videos").mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"output: cannot make the folder {folder}: {error}") from error
    cells = [
        replace(cell, timeout=timeout)
        for cell in _cells(clips, tools, folder, keep_videos, weights or {})
    ]
    known: dict[Path, dict[str, Any] | None]
    known = {cell.record: _known(cell, retry_failed) for cell in cells}
    missing = [cell for cell in cells if known[cell.record] is None]
    manifest = {
        "steadyview_benchmark": RECORD_VERSION,
        "version": __version__,
        "machine": machine_facts(),
        "tools": [asdict(tool) for tool in tools],
        "clips": [f"{clip.category}/{clip.name}" for clip in clips],
        "seeds": {clip.name: clip.seed for clip in clips if clip.seed is not None},
    }
    atomic_text(folder / "manifest.json", json.dumps(manifest, indent=1) + "\n")
    done = len(cells) - len(missing)
    for new in (run_all or one_by_one)(missing):
        path = folder / "records" / new.pop("file")
        atomic_text(path, json.dumps(new, indent=1) + "\n")
        known[path] = new
        done += 1
        if progress:
            progress(new, done, len(cells))
    return [record for cell in cells if (record := known[cell.record]) is not None]


def known_records(
    clips: Sequence[Clip],
    tools: Sequence[Tool],
    folder: str | Path,
    *,
    weights: Mapping[str, Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """The records that are there and still hold, as `run_benchmark` gives them; runs nothing."""
    cells = _cells(clips, tools, Path(folder).resolve(), False, weights or {})
    return [record for cell in cells if (record := _known(cell, False)) is not None]


def _cells(
    clips: Sequence[Clip],
    tools: Sequence[Tool],
    folder: Path,
    keep_videos: bool,
    weights: Mapping[str, Sequence[str]],
) -> list[Cell]:
    files = tuple(
        (name, tuple(str(Path(file).resolve()) for file in given))
        for name, given in sorted(weights.items())
    )
    cells = []
    for clip in clips:
        for tool in tools:
            name = _file_name(clip.category, clip.name, tool.name)
            video = folder / "videos" / f"{name}.mp4" if keep_videos else None
            cells.append(Cell(clip, tool, folder / "records" / f"{name}.json", video, files))
    return cells


def one_by_one(cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    for cell in cells:
        yield run_cell(cell)


def begun_record(cell: Cell) -> dict[str, Any]:
    """What every record of a cell begins with, whatever comes of it."""
    seed = {} if cell.clip.seed is None else {"seed": cell.clip.seed}
    return {
        "file": cell.record.name,
        "fingerprint": cell.fingerprint,
        "category": cell.clip.category,
        "clip": cell.clip.name,
        "tool": cell.tool.name,
        "date": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        "host": os.uname().nodename,
        "version": __version__,
        "commit": commit(),
        **seed,
    }


def run_cell(cell: Cell) -> dict[str, Any]:
    """Stabilises one clip by one tool and measures it; what goes wrong is in the record."""
    record = begun_record(cell)
    try:
        # What a tool leaves there may not be ours to delete, or still grow.
        with tempfile.TemporaryDirectory(
            prefix="steadyview_benchmark_", ignore_cleanup_errors=True
        ) as scratch:
            return record | _measured(cell, Path(scratch))
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        text = text.encode("utf-8", "backslashreplace").decode()  # names of files, of any bytes
        return record | {"status": "failed", "error": text[-1000:]}


def _measured(cell: Cell, scratch: Path) -> dict[str, Any]:
    source, result = cell.clip.source, scratch / "result.mp4"
    run = measure(cell.tool.command(source, result), scratch, cell.timeout)
    if not result.exists():
        raise RuntimeError(f"{cell.tool.name} wrote no video")
    quality = compare_videos(source, result, standard=True).to_dict()
    truth = compare_with_truth(cell.steady, result) if cell.steady else {}
    if cell.weights:
        models = _networks(cell.weights)
        quality |= measure_learned(source, result, models, cell.steady).to_dict()
    if cell.video is not None:  # across file systems too
        with atomic_file(cell.video) as kept, result.open("rb") as video:
            shutil.copyfileobj(video, kept)
    return {
        "status": "ok",
        "seconds": run.wall,
        "frames_per_second": quality["frames"] / run.wall,
        "cpu_seconds": run.cpu,
        "peak_mib": run.peak_mib,
        **{name: value for name, value in quality.items() if name not in ("source", "result")},
        **truth,
    }


@functools.cache
def _networks(weights: tuple[tuple[str, tuple[str, ...]], ...]) -> LearnedModels:
    """Read once a process."""
    return load_learned(dict(weights))


def _known(cell: Cell, retry_failed: bool) -> dict[str, Any] | None:
    try:
        record = json.loads(cell.record.read_text())
    except (OSError, ValueError):
        return None
    if record.get("fingerprint") != cell.fingerprint:
        return None
    if record.get("status") != "ok" and retry_failed:
        return None
    if cell.video is not None and record.get("status") == "ok" and not cell.video.exists():
        return None
    return dict(record)


def _identity(file: str | Path) -> tuple[str | int, ...]:
    try:
        stat = os.stat(file)
    except OSError:  # what is not there is told when it is read
        return (str(file),)
    return str(file), stat.st_size, stat.st_mtime_ns


def _file_name(*parts: str) -> str:
    """The parts, with a digest of them where that does not tell them from all others."""
    plain = [re.sub(r"[^A-Za-z0-9.-]+", "_", part).strip("_")[:60] for part in parts]
    if plain == list(parts):
        return "__".join(parts)
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]
    return "__".join((*plain, digest))
