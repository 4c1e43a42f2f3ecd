"""The commands that measure: compare, evaluate, benchmark."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .cli_common import Json, Overwrite, Quiet, exit_codes, print_json
from .errors import OptionError, OutputError

__all__ = ["benchmark", "compare", "evaluate"]

_WEIGHTS = typer.Option(
    metavar="NAME=FILE",
    help="Weights you have for a learned score: lpips, clip, aesthetic, dover, fvd; again for a "
    "second file. None are shipped (docs/metrics.md).",
)


def compare(
    before: Annotated[str, typer.Argument(metavar="A", help="The video on the left.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The video on the right.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="File to write.")],
    wipe: Annotated[
        bool, typer.Option("--wipe", help="One picture with a moving divider, not two.")
    ] = False,
    labels: Annotated[tuple[str, str], typer.Option(help="What is written on the two halves.")] = (
        "before",
        "after",
    ),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Put two videos side by side."""
    with exit_codes():
        from .jobs import Console
        from .render.compare import compare_side_by_side

        with Console(quiet=quiet).bar(output.name) as progress:
            compare_side_by_side(
                before,
                after,
                output,
                wipe=wipe,
                labels=labels,
                overwrite=overwrite,
                progress=progress,
            )
        if not quiet:
            print(output)


def evaluate(
    source: Annotated[str, typer.Argument(metavar="SHAKY", help="The shaky video.")],
    results: Annotated[
        list[str],
        typer.Argument(metavar="STABLE", help="What stabilisers made of it; any number."),
    ],
    standard: Annotated[
        bool,
        typer.Option("--standard", help="Also cropping, distortion and stability as published."),
    ] = False,
    geometry: Annotated[
        bool,
        typer.Option("--geometry", help="Also epipolar, reprojection error: is it one scene?"),
    ] = False,
    temporal: Annotated[
        bool, typer.Option("--temporal", help="Also the flow-warp error: does it flicker?")
    ] = False,
    truth: Annotated[
        str | None,
        typer.Option(metavar="VIDEO", help="The true steady video: path error, PSNR, SSIM."),
    ] = None,
    weights: Annotated[list[str] | None, _WEIGHTS] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all measures, a line a video.")
    ] = None,
    latex: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table for a paper.")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page: players, curves, worst frames."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure how good stabilised videos are, whoever made them."""
    with exit_codes():
        from .evaluation import evaluate as measure
        from .files import atomic_text, distinct_names
        from .jobs import Console
        from .metrics.learned import weights_of
        from .report.measures import measures_text, remarks

        _check_outputs([path for path in (csv, latex, page) if path], [source, *results], overwrite)
        with Console(quiet=as_json).bar(Path(source).name) as progress:
            found = measure(
                source,
                results,
                standard=standard,
                geometry=geometry,
                temporal=temporal,
                truth=truth,
                weights=weights_of(weights or []),
                progress=lambda _, done, total: progress("measure", done, total),
            )
        if csv is not None:
            atomic_text(csv, found.csv())
        if latex is not None:
            atomic_text(latex, found.table().latex())
        if page is not None:
            found.save_html(page, overwrite=overwrite)
        records = found.records
        if as_json:
            print_json(records if len(records) > 1 else records[0])
        elif len(records) == 1:
            print("\n".join(measures_text(records[0])))
        else:
            print(found.table().text())
            names = distinct_names([record["result"] for record in records], suffixes=False)
            for name, record in zip(names, records, strict=True):
                for remark in remarks(record):
                    print(f"note: {name}: {remark}")


def _check_outputs(outputs: Sequence[Path], inputs: Sequence[str], overwrite: bool) -> None:
    """Before anything is measured: nothing is written over, and all can be written.

    Raises:
        OutputError: a file exists, is an input or given twice, or its folder does not exist.
    """
    taken = {Path(given).resolve() for given in inputs}
    for path in outputs:
        if path.resolve() in taken:
            raise OutputError(f"output: {path} is an input, or given twice; choose another")
        taken.add(path.resolve())
        if path.exists() and not overwrite:
            raise OutputError(f"output: {path} exists; --overwrite replaces it")
        if not path.parent.is_dir():
            raise OutputError(f"output: the folder {path.parent} does not exist")


def benchmark(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help='Folder of clips, or "synthetic".')
    ],
    methods: Annotated[
        str,
        typer.Option(help="Methods and peers: global_flow, vidstab, vidstab-30, opencv-2pass …"),
    ] = "global_flow,vidstab,vidstab-30",
    command: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME='COMMAND'",
            help="Any other stabiliser; {in} and {out} are the videos' full paths. Do not quote "
            "them: they are quoted already.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Records and tables.")
    ] = Path("benchmark"),
    layout: Annotated[
        str, typer.Option(help="nus, deepstab, selfie or folder; auto looks at the names.")
    ] = "auto",
    only: Annotated[str, typer.Option(help="Only clips whose category/name holds this.")] = "",
    crop_limit: Annotated[float, typer.Option(help="Of steadyview's methods.")] = 0.8,
    weights: Annotated[list[str] | None, _WEIGHTS] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the steady videos.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Run again what failed.")] = False,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="A method that takes longer for a clip has failed."),
    ] = 3600,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on a Ray cluster; local starts one here."),
    ] = None,
    cpus: Annotated[float, typer.Option(help="That a task claims of the cluster.")] = 2,
    gpus: Annotated[float, typer.Option(help="The same of GPUs.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run stabilisers over a dataset: figures, times, memory, and a table; goes on after a kill."""
    with exit_codes():
        from contextlib import nullcontext

        from .benchmark import find_clips, known_records, run_benchmark, tools_of, write_tables
        from .benchmark.cluster import RayRunner
        from .metrics.learned import load_learned, weights_of

        names = [name.strip() for name in methods.split(",") if name.strip()]
        tools = tools_of([*names, *(command or [])], crop_limit)
        if not tools:
            raise OptionError("methods: none is given")
        files = weights_of(weights or [])
        load_learned(files)  # what is wrong with them is told before anything runs

        def say(text: str) -> None:
            if not quiet:
                print(text, file=sys.stderr)

        made = output / "synthetic"
        clips = find_clips(dataset, made, layout=layout, only=only, tell=say)

        def tell(record: dict[str, Any], done: int, total: int) -> None:
            what = f"{record['category']}/{record['clip']} {record['tool']}"
            how = record.get("error") or f"{record['seconds']:.1f} s"
            say(f"{done}/{total} {what}: {how}")

        cluster = RayRunner(ray, cpus=cpus, gpus=gpus) if ray else nullcontext()
        with cluster as run_all:
            records = run_benchmark(
                clips,
                tools,
                output,
                keep_videos=keep,
                retry_failed=retry,
                weights=files,
                timeout=timeout,
                run_all=run_all,
                progress=tell,
            )
        every = records
        if only:  # the tables are of the whole dataset, as far as it is measured
            whole = find_clips(dataset, made, layout=layout, make=False)
            every = known_records(whole, tools, output, weights=files)
        table = write_tables(every, output)
        if as_json:
            print_json(records)
        elif not quiet:
            print(table.text())
        sys.exit(2 if any(record["status"] != "ok" for record in records) else 0)
