"""Files that appear whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from .errors import OutputError

__all__ = ["atomic_bytes", "atomic_file", "atomic_text", "distinct_names"]


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


def distinct_names(paths: Sequence[str], *, suffixes: bool = True) -> list[str]:
    """Short names that tell videos apart: with as many folders as that takes, else numbered.

    Args:
        paths: of the videos; one that is empty stands for frames from memory.
        suffixes: names keep theirs; otherwise only where it is needed.

    Returns:
        One name a path, no two alike.
    """
    files = [Path(path or "frames") for path in paths]
    names = [file.name if suffixes else file.stem for file in files]
    for folders in range(max((len(file.parts) for file in files), default=0)):
        if len(set(names)) == len(names):
            return names
        names = ["/".join(file.parts[-folders - 1 :]) for file in files]
    taken: set[str] = set()
    for place, name in enumerate(names):
        number = 1
        while names[place] in taken:
            number += 1
            names[place] = f"{name} ({number})"
        taken.add(names[place])
    return names
