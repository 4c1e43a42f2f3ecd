import threading
import time
from collections.abc import Iterator

import pytest

from steadyview.video.pipeline import Prefetch


def test_items_come_in_order_and_the_end_repeats() -> None:
    with Prefetch(range(100), depth=3) as items:
        assert list(items) == list(range(100))
        assert list(items) == []


def test_an_error_comes_after_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("two")

    with Prefetch(failing()) as items:
        assert next(items) == 1
        with pytest.raises(ValueError, match="two"):
            next(items)


def test_it_stays_at_most_depth_ahead_and_leaving_stops_it() -> None:
    produced = 0
    closed = threading.Event()

    def endless() -> Iterator[int]:
        nonlocal produced
        try:
            while True:
                produced += 1
                yield produced
        finally:
            closed.set()

    with Prefetch(endless(), depth=2) as items:
        assert next(items) == 1
        time.sleep(0.05)
        assert produced <= 4  # one taken, two queued, one in hand
    assert closed.is_set()
    assert threading.active_count() <= 2


class Broken:
    """An iterable that fails where generators cannot."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __iter__(self) -> "Broken":
        if self.where == "iter":
            raise ValueError("iter")
        return self

    def __next__(self) -> int:
        raise StopIteration

    def close(self) -> None:
        raise ValueError("close")


@pytest.mark.parametrize("where", ["iter", "close"])
def test_errors_outside_next_reach_the_consumer(where: str) -> None:
    with Prefetch(Broken(where)) as items, pytest.raises(ValueError, match=where):
        next(items)
