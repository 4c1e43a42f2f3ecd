"""Text files that appear whole or not at all."""

import contextlib
import os
import secrets
from pathlib import Path

from .errors import OutputError

__all__ = ["atomic_text"]


def atomic_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file under a temporary name beside it, then gives it its own.

    Args:
        path: the file; an existing one is replaced.
        text: what is in it, as UTF-8.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name[:60]}.{secrets.token_hex(4)}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
