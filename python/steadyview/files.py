"""Files that appear whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .errors import OutputError

__all__ = ["atomic_bytes", "atomic_file", "atomic_text"]


def atomic_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file under a temporary name beside it, then gives it its own.

    Args:
        path: the file; an existing one is replaced.
        text: what is in it, as UTF-8.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    atomic_bytes(path, [text.encode()])


def atomic_bytes(path: str | os.PathLike, parts: Iterable[Any]) -> None:
    """Writes a file, as `atomic_text` does, from bytes or contiguous arrays one after another.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    with atomic_file(path) as file:
        for part in parts:
            file.write(part)


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A file to write to, which gets its name when the `with` block is left without an error.

    Raises:
        OutputError: it cannot be written, or an OSError came from the block; nothing is left
            behind.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name[:60]}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, target)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
