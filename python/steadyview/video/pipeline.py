"""Stages of a pipeline in threads of their own."""

import queue
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

from .info import Frame

__all__ = ["Prefetch", "pick"]

T = TypeVar("T")

_END = object()


def pick(frames: Iterable[Frame], indices: Collection[int]) -> Iterator[Frame]:
    """The frames of these indices, in the order of the video; reads no further than it must."""
    rest = set(indices)
    iterator = iter(frames)
    while rest and (frame := next(iterator, None)) is not None:
        if frame.index in rest:
            rest.remove(frame.index)
            yield frame


class Prefetch(Iterator[T], Generic[T]):
    """Runs an iterable in a thread of its own, at most `depth` items ahead of the consumer.

    An exception of the iterable is raised in the consumer, after the items before it. Leaving the
    `with` block stops the thread, also when items are left.

    Attributes:
        busy: seconds the iterable has worked, without waiting for the consumer.
        waited: seconds the consumer has waited for items.
    """

    def __init__(self, source: Iterable[T], depth: int = 4) -> None:
        self.busy = self.waited = 0.0
        self._queue: queue.Queue[object] = queue.Queue(depth)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._done = False
        self._thread = threading.Thread(target=self._run, args=(source,), daemon=True)
        self._thread.start()

    def _run(self, source: Iterable[T]) -> None:
        iterator: Iterator[T] | None = None
        try:
            iterator = iter(source)
            while not self._stop.is_set():
                started = time.perf_counter()
                item = next(iterator, _END)
                self.busy += time.perf_counter() - started
                if item is _END:
                    break
                self._put(item)
        except BaseException as error:
            self._error = error
        try:
            # Generators release what they hold here, not whenever they are collected.
            getattr(iterator, "close", lambda: None)()
        except BaseException as error:
            self._error = self._error or error
        self._put(_END)

    def _put(self, item: object) -> None:
        while not self._stop.is_set():
            try:
                return self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue

    def __iter__(self) -> "Prefetch[T]":
        return self

    def __next__(self) -> T:
        if self._done:
            raise StopIteration
        started = time.perf_counter()
        item = self._queue.get()
        self.waited += time.perf_counter() - started
        if item is _END:
            self._done = True
            if self._error is not None:
                raise self._error
            raise StopIteration
        return item  # type: ignore[return-value]

    def close(self) -> None:
        """Stops the thread and waits for it; items not yet taken are dropped."""
        self._stop.set()
        self._done = True
        self._thread.join()

    def __enter__(self) -> "Prefetch[T]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
