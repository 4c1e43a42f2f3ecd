"""Runs stabilisers over clips: one record a clip and tool, kept as they come."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import OutputError
from ..files import atomic_text
from ..metrics import compare_videos, load_learned, measure_learned
from ..metrics.learned import LearnedModels
from ..metrics.truth import compare_with_truth
from .datasets import Clip
from .machine import machine_facts, measure
from .tools import Tool

__all__ = ["Cell", "begun_record", "run_benchmark", "run_cell"]

#: A tool that takes longer for one clip is stopped, and its row tells so.
TIMEOUT = 3600.0
#: Raised when what a record holds, or how it is measured, changes: older records are made again.
RECORD_VERSION = 2


@dataclass(frozen=True)
class Cell:
    """One clip by one tool.

    Attributes:
        record: the JSON file that holds what came out.
        video: where the steady video is kept; None: it is measured and dropped.
        weights: files of networks by score, for `load_learned`.
    """

    clip: Clip
    tool: Tool
    record: Path
    video: Path | None
    weights: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def fingerprint(self) -> str:
        """Changes with whatever would change the record."""
        stat = self.clip.source.stat()
        facts = (
            RECORD_VERSION, __version__, self.tool.template, str(self.clip.source), stat.st_size,
            stat.st_mtime_ns, *self.weights,
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
        run_all: runs cells and gives their records in any order, such as `cluster.RayRunner`; one
            after the other here when None.
        progress: called with each new record, how many are done, and how many there are.

    Returns:
        One record a cell, by clip and tool: "status" is "ok" or "failed" (then "error").

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = Path(folder)
    try:
        (folder / "records").mkdir(parents=True, exist_ok=True)
        if keep_videos:
            (folder / "videos").mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"output: cannot make the folder {folder}: {error}") from error
    files = tuple(sorted((name, tuple(given)) for name, given in (weights or {}).items()))
    cells = [
        Cell(
            clip,
            tool,
            folder / "records" / f"{_plain(clip)}__{tool.name}.json",
            folder / "videos" / f"{_plain(clip)}__{tool.name}.mp4" if keep_videos else None,
            files,
        )
        for clip in clips
        for tool in tools
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


def one_by_one(cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    for cell in cells:
        yield run_cell(cell)


def begun_record(cell: Cell) -> dict[str, Any]:
    """What every record of a cell begins with, whatever comes of it."""
    return {
        "file": cell.record.name,
        "fingerprint": cell.fingerprint,
        "category": cell.clip.category,
        "clip": cell.clip.name,
        "tool": cell.tool.name,
        "date": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        "host": os.uname().nodename,
    }


def run_cell(cell: Cell) -> dict[str, Any]:
    """Stabilises one clip by one tool and measures it; what goes wrong is in the record."""
    clip, tool = cell.clip, cell.tool
    record = begun_record(cell)
    with tempfile.TemporaryDirectory(prefix="steadyview_benchmark_") as scratch:
        result = Path(scratch) / "result.mp4"
        try:
            run = measure(tool.command(clip.source, result), Path(scratch), TIMEOUT)
            if not result.exists():
                raise RuntimeError(f"{tool.name} wrote no video")
            quality = compare_videos(clip.source, result, standard=True).to_dict()
            steady = clip.steady if clip.aligned else None
            truth = compare_with_truth(steady, result) if steady else {}
            if cell.weights:
                models = _networks(cell.weights)
                quality |= measure_learned(clip.source, result, models, steady).to_dict()
            if cell.video is not None:
                _move(result, cell.video)
        except Exception as error:
            text = " ".join(str(error).split()) or type(error).__name__
            return record | {"status": "failed", "error": text[-1000:]}
    return record | {
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


def _move(result: Path, target: Path) -> None:
    """Across file systems too, and never half a file under its name."""
    part = target.with_name(f".{target.name}.part")
    part.write_bytes(result.read_bytes())
    part.replace(target)


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


def _plain(clip: Clip) -> str:
    """A file name for a clip."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in f"{clip.category}__{clip.name}")
