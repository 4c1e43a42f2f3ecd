"""Ctrl-C that waits until a step is whole."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["deferred_interrupt"]


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C is only noted; a second one raises KeyboardInterrupt at once, as usual.

    In other threads than the first, and where the program handles SIGINT itself, nothing changes.

    Yields:
        Says whether there was one.
    """
    noted: list[int] = []

    def note(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        noted.append(number)

    first = threading.current_thread() is threading.main_thread()
    mine = first and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if mine:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(noted)
    finally:
        if mine:
            signal.signal(signal.SIGINT, signal.default_int_handler)
