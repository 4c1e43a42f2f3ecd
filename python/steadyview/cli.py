"""The command `steadyview`: a thin shell over the public functions.

Nothing heavy is imported before it is needed: `steadyview --help` loads neither NumPy nor OpenCV.
Exit codes: 0 done, 1 an unexpected error, 2 bad input or usage, 130 stopped by Ctrl-C.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import __version__, cli_measure
from .cli_common import Json, Overwrite, Quiet, exit_codes, print_json
from .errors import OptionError

__all__ = ["app", "main"]

app = typer.Typer(
    name="steadyview",
    help="Steady video from shaky video, and a measure of how good the result is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

PATH, FILES = "How to stabilise", "What to write"


def _option(
    text: str,
    default: str | None = None,
    metavar: str | None = None,
    *,
    flag: str | None = None,
    panel: str = PATH,
) -> Any:
    """An option whose default the help shows, while None tells that it was not given."""
    return typer.Option(
        *([flag] if flag else []),
        help=text,
        metavar=metavar,
        show_default=default if default is not None else False,
        rich_help_panel=panel,
    )


def main() -> None:
    """Entry point of the command `steadyview`."""
    _handle_signals()
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"steadyview {__version__}")
        raise typer.Exit()


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    pass


@app.command()
def stabilize(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="IN", help="Videos, folders of images, or quoted globs."),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="File to write; a folder for several inputs.",
            show_default="<input>_steady",
        ),
    ] = None,
    preset: Annotated[
        str | None, _option("handheld, walking, drone or tripod; single options win.")
    ] = None,
    crop_limit: Annotated[
        float | None, _option("Smallest part of width and height to keep.", "0.8")
    ] = None,
    smooth: Annotated[
        float | None, _option("Time constant of the path; more is steadier.", "1", "SECONDS")
    ] = None,
    static: Annotated[bool | None, _option("Hold the view still.", flag="--static")] = None,
    method: Annotated[
        str | None, _option("global_flow or global_flow_paper.", "global_flow")
    ] = None,
    norm: Annotated[
        str | None, _option("l2, or l1 for a path of stills, pans and eases.", "l2")
    ] = None,
    residual: Annotated[
        bool | None,
        _option(
            "Smooth rolling-shutter wobble as well.", "residual", flag="--residual/--no-residual"
        ),
    ] = None,
    interpolation: Annotated[
        str | None, _option("bilinear, bicubic or lanczos3.", "bicubic")
    ] = None,
    motion: Annotated[
        Path | None, _option("Motion file: read if it exists, else written.", metavar="FILE")
    ] = None,
    frame_rate: Annotated[
        float | None,
        _option("Frames a second of images (30 if not given).", metavar="FPS", flag="--fps"),
    ] = None,
    threads: Annotated[int | None, _option("Processor threads; 0 means all.", "0")] = None,
    report: Annotated[
        bool,
        _option("Measure the result; write <output>_report.html.", flag="--report", panel=FILES),
    ] = False,
    compare: Annotated[
        bool,
        _option("Write <output>_compare.mp4, before and after.", flag="--compare", panel=FILES),
    ] = False,
    codec: Annotated[str | None, _option("Encoder by name.", "libx264", panel=FILES)] = None,
    crf: Annotated[
        float | None, _option("Quality, lower is better.", "18 for x264", panel=FILES)
    ] = None,
    encoder_preset: Annotated[
        str | None, _option("Speed of the encoder.", "veryfast", panel=FILES)
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Stabilise videos."""
    with exit_codes():
        from .jobs import Console, exit_code, plan, run
        from .options import StabilizeOptions

        options = StabilizeOptions.make(
            preset=preset,
            method=method,
            crop_limit=crop_limit,
            smooth=smooth,
            static=static,
            norm=norm,
            residual=residual,
            interpolation=interpolation,
            codec=codec,
            crf=crf,
            encoder_preset=encoder_preset,
            threads=threads,
            frame_rate=frame_rate,
        )
        jobs, is_batch = plan(inputs, output, options, report=report, compare=compare)
        if motion is not None and len(jobs) > 1:
            raise OptionError(f"motion: one file cannot serve {len(jobs)} inputs; give one input")
        console = Console(quiet=quiet, as_json=as_json)
        records = run(jobs, options, motion, overwrite=overwrite, console=console)
        if as_json:
            print_json(records if is_batch else records[0])
        sys.exit(exit_code(records))


for _measure in (cli_measure.compare, cli_measure.evaluate, cli_measure.benchmark):
    app.command()(_measure)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Tell what was built, what is missing, and which command fixes it."""
    with exit_codes():
        from .doctor import build_info, describe

        info = build_info()
        if as_json:
            print_json(info)
        else:
            print(describe(info))
        if not info["core"]["available"]:
            sys.exit(1)


def _handle_signals() -> None:
    """Ctrl-C and SIGTERM unwind the stack once, so that unfinished files are removed.

    A second Ctrl-C would interrupt the removal and is ignored; a third ends the process at once.
    """
    presses = 0

    def interrupt(number: int, _: object) -> None:
        nonlocal presses
        presses += 1
        if presses == 1:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        if presses > 2:
            os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
