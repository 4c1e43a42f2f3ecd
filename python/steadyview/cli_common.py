"""What the commands share: options, errors as exit codes, JSON on stdout."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from .errors import SteadyviewError

__all__ = ["Json", "Overwrite", "Quiet", "exit_codes", "print_json"]

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
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


def _fail(message: str, code: int) -> None:
    print(f"steadyview: {message}", file=sys.stderr)
    sys.exit(code)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def print_json(document: Any) -> None:
    import json

    print(json.dumps(document, indent=2, default=str, allow_nan=False))
