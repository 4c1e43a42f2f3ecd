"""Runs of the command line: which file goes where, one progress line each, one record each."""

import contextlib
import glob
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import api
from .api import Progress
from .errors import InputError, OutputError, SteadyviewError
from .options import StabilizeOptions
from .video.encoders import default_suffix
from .video.images import IMAGE_SUFFIXES, image_files

__all__ = ["Console", "Job", "exit_code", "plan", "run"]

STAGES = {
    "analyse": "analysing",
    "render": "rendering",
    "compare": "comparing",
    "measure": "measuring",
}


@dataclass(frozen=True)
class Job:
    """One video to stabilise, and every file that will be written for it."""

    source: str
    output: Path
    report: Path | None = None
    compare: Path | None = None


def plan(
    inputs: Sequence[str],
    output: str | None,
    options: StabilizeOptions,
    *,
    report: bool = False,
    compare: bool = False,
) -> tuple[list[Job], bool]:
    """Decides what is read and written.

    Args:
        inputs: files, folders of images, and globs, as they were typed.
        output: a file, or a folder (always for several inputs); None writes beside each input.
        options: the codec decides on the suffix of the names that are made up here.
        report, compare: whether these files are wanted as well.

    Returns:
        The jobs, and whether they are a batch (several inputs, or a glob of videos).

    Raises:
        InputError: nothing matches, or images were given one by one.
        OutputError: two inputs would be written to one file, an input would be written over, or a
            folder is needed.
    """
    sources, is_batch = _expand(inputs)
    to_folder = is_batch or (
        output is not None and (output.endswith(("/", os.sep)) or Path(output).is_dir())
    )
    folder = Path(output) if output is not None and to_folder else None
    if folder is not None and folder.exists() and not folder.is_dir():
        raise OutputError(f"output: {folder} is a file; several inputs need a folder")
    jobs: list[Job] = []
    for source in sources:
        if output is not None and not to_folder:
            target = Path(output)
        else:
            target = _default_output(source, folder, options.codec)
        stem = target.with_suffix("")
        job = Job(
            source,
            target,
            stem.with_name(stem.name + "_report.html") if report else None,
            stem.with_name(stem.name + "_compare.mp4") if compare else None,
        )
        for other in jobs:
            if other.output == job.output:
                raise OutputError(
                    f"output: {other.source} and {source} would both be written to {target}"
                )
        jobs.append(job)
    read = {file for source in sources for file in _files(source)}
    for job in jobs:
        for written in (job.output, job.report, job.compare):
            if written is not None and not read.isdisjoint(_files(os.fspath(written))):
                raise OutputError(f"output: {written} is one of the inputs; choose another output")
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"output: cannot make the folder {folder}: {error}") from error
    return jobs, is_batch


def _expand(inputs: Sequence[str]) -> tuple[list[str], bool]:
    sources: list[str] = []
    is_batch = len(inputs) > 1
    for given in inputs:
        if not glob.has_magic(given) or Path(given).exists():
            sources.append(given)
            continue
        matches = sorted(glob.glob(given, recursive=True))
        if not matches:
            raise InputError(f"input: nothing matches {given}")
        if all(Path(match).suffix.lower() in IMAGE_SUFFIXES for match in matches):
            sources.append(given)  # the images of one video
        else:
            sources += matches
            is_batch = True
    images = [source for source in sources if Path(source).suffix.lower() in IMAGE_SUFFIXES]
    if len(sources) > 1 and len(images) == len(sources) and not any(map(glob.has_magic, images)):
        raise InputError(
            f"input: {len(images)} single images; for one video of them, give their folder or "
            "quote the pattern, as in 'frames/*.png'"
        )
    return sources, is_batch


def _files(name: str) -> set[str]:
    """The files that an input or output stands for (images: all of them), links followed."""
    try:
        files = image_files(name) or [name]
    except (InputError, OSError):  # a folder or pattern without images
        files = []
    return {os.path.realpath(file) for file in files}


def _default_output(source: str, folder: Path | None, codec: str | None) -> Path:
    path = Path(source)
    is_pattern = glob.has_magic(source) or path.suffix.lower() in IMAGE_SUFFIXES
    if is_pattern and not path.exists():
        path = path.parent  # images by a pattern: named after their folder, and put beside it
    name = f"{path.resolve().name if path.is_dir() else path.stem}_steady"
    return (folder or path.parent) / (name + default_suffix(codec, path.suffix))


def run(
    jobs: Sequence[Job],
    options: StabilizeOptions,
    motion: Path | None,
    *,
    overwrite: bool,
    console: "Console",
) -> list[dict[str, Any]]:
    """Runs the jobs one after the other; a failed one is reported and the others go on.

    Returns:
        One record a job: `StabilizationResult.summary()` with "status" "ok", or the "error" with
        "failed" (bad input) or "crashed" (unexpected); both when the video was written and only its
        report or comparison failed.
    """
    records = []
    for job in jobs:
        record: dict[str, Any] = {"source": job.source, "status": "ok"}
        problem = None
        try:
            with console.bar(Path(job.source).name) as progress:
                _run_one(job, record, options, motion, overwrite, progress)
        except SteadyviewError as error:
            record["status"], record["error"] = "failed", _one_line(error)
            problem = record["error"]
        except Exception as error:
            if os.environ.get("STEADYVIEW_DEBUG"):
                raise
            record["status"], record["error"] = "crashed", _one_line(error)
            problem = (
                f"{job.source}: unexpected {type(error).__name__}: {record['error']} "
                "(set STEADYVIEW_DEBUG=1 for the traceback)"
            )
        if "output" in record:
            console.done(record)
        if problem is not None:
            console.error(problem)
        records.append(record)
    return records


def exit_code(records: Sequence[dict[str, Any]]) -> int:
    """0 when all is done, 2 when an input failed, 1 when something unexpected happened."""
    states = {record["status"] for record in records}
    return 1 if "crashed" in states else 2 if "failed" in states else 0


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _run_one(
    job: Job,
    record: dict[str, Any],
    options: StabilizeOptions,
    motion: Path | None,
    overwrite: bool,
    progress: Progress,
) -> None:
    """Fills the record as far as it gets."""
    for extra in (job.report, job.compare):
        if extra is not None and extra.exists() and not overwrite:
            raise OutputError(f"output: {extra} exists; --overwrite replaces it")
    started = time.perf_counter()
    result = api.stabilize(
        job.source,
        job.output,
        options=options,
        motion=motion,
        progress=progress,
        overwrite=overwrite,
    )
    seconds = time.perf_counter() - started
    summary = result.summary()
    record.update(summary, frames_per_second=summary["frames"] / seconds)
    if job.compare is not None:
        from .render.compare import compare_side_by_side

        compare_side_by_side(
            job.source, job.output, job.compare, overwrite=overwrite, progress=progress
        )
        record["compare"] = str(job.compare)
    if job.report is not None:
        from .metrics import compare_videos
        from .report.html import write_report

        quality = compare_videos(
            job.source, job.output, lambda done, total: progress("measure", done, total)
        )
        record["quality"] = quality.to_dict()
        write_report(result, job.report, quality=quality, overwrite=overwrite)
        record["report"] = str(job.report)


@dataclass
class Console:
    """What a run prints: progress and errors on stderr, results on stdout."""

    quiet: bool = False
    as_json: bool = False

    @contextlib.contextmanager
    def bar(self, name: str) -> Iterator[Progress]:
        """A progress line with frames a second and the time left, when stderr is a terminal."""
        if self.quiet or not sys.stderr.isatty():
            yield _Silent()
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[stage]:<10} {task.percentage:>3.0f} %"),
            TextColumn("{task.fields[speed]:>5} frames/s"),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, console=RichConsole(stderr=True), transient=True) as view:
            task = view.add_task(name, total=None, stage="opening", speed="")
            yield _Speedometer(view, task)

    def done(self, record: dict[str, Any]) -> None:
        """Prints what came out of a job."""
        if self.quiet or self.as_json:
            return
        print("\n".join(result_lines(record)), flush=True)

    def error(self, message: str) -> None:
        print(f"steadyview: {message}", file=sys.stderr)


class _Silent:
    """A progress callback that shows nothing."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        pass


class _Speedometer:
    """A progress callback that moves a Rich bar; analysing, if apart, fills its first half."""

    def __init__(self, view: Any, task: Any) -> None:
        self.view, self.task = view, task
        self.stage, self.started = "", 0.0
        self.halves, self.done = False, 0

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if stage != self.stage or done < self.done:  # rendered again: a correction was taken back
            self.stage, self.started, self.first = stage, now, done
            if stage not in ("analyse", "render"):
                self.view.reset(self.task, total=total)
        seconds, self.done = now - self.started, done
        speed = f"{(done - self.first) / seconds:.0f}" if seconds > 0.2 else ""
        whole = total
        self.halves = stage == "analyse" or (self.halves and stage == "render")
        if self.halves and total:
            whole, done = 2 * total, done + (total if stage == "render" else 0)
        self.view.update(
            self.task,
            total=whole,
            completed=done if whole else 0,
            stage=STAGES.get(stage, stage),
            speed=speed,
        )


def result_lines(record: dict[str, Any]) -> list[str]:
    """A finished job in a few lines for a person."""
    timings = record["timings"]
    frames = f"{record['frames']} frame" + ("" if record["frames"] == 1 else "s")
    lines = [
        f"{record['source']} -> {record['output']}",
        f"  {frames} of {record['width']}x{record['height']} "
        f"in {timings['total']:.1f} s, {record['frames_per_second']:.0f} frames/s",
    ]
    if "quality" not in record:
        lines.append(
            f"  shake removed {record['shake_removed_db']:.1f} dB by the measured path, kept "
            f"{record['kept_mean']:.0%} of width and height (at least {record['kept_min']:.0%})"
        )
    if record["note"]:
        lines.append(f"  note: {record['note']}")
    lines += [f"  warning: {warning}" for warning in record["warnings"]]
    if "quality" in record:
        from .report.measures import measures_text

        lines += ["  " + line for line in measures_text(record["quality"])]
    lines += [
        f"  {label}: {record[key]}"
        for key, label in (("compare", "side by side"), ("report", "report"))
        if key in record
    ]
    return lines
