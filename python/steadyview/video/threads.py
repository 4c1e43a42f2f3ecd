"""Moving the stages of a frame pipeline to threads of their own.

FFmpeg's calls release the GIL, so one thread that decodes, one that works and one that encodes
overlap. Queues are short: memory does not grow with the video.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

__all__ = ["Background", "read_ahead"]

T = TypeVar("T")
_END = object()


def read_ahead(items: Iterable[T], depth: int = 4) -> Iterator[T]:
    """Yields `items` in order while a thread fetches up to `depth` of them ahead.

    An exception of `items` is raised here in its place. Closing the iterator stops the thread.

    Args:
        items: anything to iterate.
        depth: items that wait at most; 0 iterates without a thread.
    """
    if depth <= 0:
        yield from items
        return
    waiting: queue.Queue = queue.Queue(depth)
    stop = threading.Event()

    def put(item: object) -> bool:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.05)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put((item, None)):
                    break
            put(_END)
        except BaseException as error:  # handed to the reader's thread
            put((None, error))
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    thread = threading.Thread(target=work, name="steadyview-read", daemon=True)
    thread.start()
    try:
        while (got := waiting.get()) is not _END:
            item, error = got
            if error is not None:
                raise error
            yield item
    finally:
        stop.set()
        thread.join()


class Background(Generic[T]):
    """A thread that does `work(item)` for each item in order; at most `depth` wait.

    After an error the rest is dropped, and the error is raised by the next `put` or by `close`.
    """

    def __init__(self, work: Callable[[T], None], depth: int) -> None:
        self._work = work
        self._waiting: queue.Queue = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="steadyview-write", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (item := self._waiting.get()) is not _END:
            if self._error is None:
                try:
                    self._work(item)
                except BaseException as error:  # handed to the caller's thread
                    self._error = error

    def put(self, item: T) -> None:
        if self._error is not None:
            raise self._error
        self._waiting.put(item)

    def close(self, *, drop: bool = False) -> None:
        """Waits until all is done, or with `drop` leaves undone what waits."""
        if drop and self._error is None:
            self._error = RuntimeError("dropped")
        self._waiting.put(_END)
        self._thread.join()
        if self._error is not None and not drop:
            raise self._error
