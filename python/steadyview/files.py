"""Files that appear whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import OutputError

__all__ = ["atomic_bytes", "atomic_text"]


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
    target = Path(path)
    temporary = target.with_name(f".{target.name[:60]}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part)
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
