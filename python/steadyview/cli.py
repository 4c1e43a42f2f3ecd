"""The command `steadyview`: a thin shell over the public functions.

Nothing heavy is imported before it is needed: `steadyview --help` loads neither NumPy nor OpenCV.
Exit codes: 0 done, 1 an unexpected error, 2 bad input or usage, 130 stopped by Ctrl-C.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from . import __version__
from .errors import OptionError, SteadyviewError

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


Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


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
    with _exit_codes():
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
            _print_json(records if is_batch else records[0])
        sys.exit(exit_code(records))


@app.command()
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
    with _exit_codes():
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


@app.command()
def evaluate(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The shaky video.")],
    result: Annotated[str, typer.Argument(metavar="RESULT", help="What a stabiliser made of it.")],
    as_json: Json = False,
) -> None:
    """Measure how good a stabilised video is, whoever made it."""
    with _exit_codes():
        from .jobs import Console, quality_lines
        from .metrics import compare_videos

        with Console().bar(Path(result).name) as progress:
            quality = compare_videos(
                source, result, lambda done, total: progress("measure", done, total)
            ).to_dict()
        if as_json:
            _print_json(quality)
        else:
            print("\n".join(quality_lines(quality)))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Tell what was built, what is missing, and which command fixes it."""
    with _exit_codes():
        from .doctor import build_info, describe

        info = build_info()
        if as_json:
            _print_json(info)
        else:
            print(describe(info))
        if not info["core"]["available"]:
            sys.exit(1)


@contextlib.contextmanager
def _exit_codes() -> Iterator[None]:
    """Turns errors into one line on stderr and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        _fail("stopped; no unfinished file was left behind", 130)
    except SteadyviewError as error:
        _fail(_one_line(error), 2)
    except BrokenPipeError:
        # The reader of our stdout went away, as in `steadyview … --json | head -1`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("STEADYVIEW_DEBUG"):
            raise
        _fail(
            f"unexpected {type(error).__name__}: {_one_line(error)} "
            "(set STEADYVIEW_DEBUG=1 for the traceback)",
            1,
        )


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


def _fail(message: str, code: int) -> None:
    print(f"steadyview: {message}", file=sys.stderr)
    sys.exit(code)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _print_json(document: Any) -> None:
    import json

    print(json.dumps(document, indent=2, default=str, allow_nan=False))
