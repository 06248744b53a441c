"""Loading that runs ahead of computing, and results that are taken later than the next computation starts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_advance(
    items: Iterable[Item], load: Callable[[Item], Result], workers: int, ahead: Callable[[], int]
) -> Generator[Result, None, None]:
    """Load items in threads while the caller works on those before; the order is kept.

    Parameters
    ----------
    items
        What to load; read from the caller's thread.
    load
        Loads one item. It should spend its time outside Python's lock, as reading files and NumPy do.
    workers
        Threads.
    ahead
        How many items may be loaded, or waiting to be, beyond the one that is asked for; asked again for each item.

    Raises
    ------
    Exception
        What `load` raised, at the place of its item; items behind it that have not begun are not loaded.
    """
    remaining = iter(items)
    loading: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(max(1, workers), thread_name_prefix="load")
    try:
        while True:
            while len(loading) < 1 + max(0, ahead()):
                try:
                    item = next(remaining)
                except StopIteration:
                    break
                loading.append(pool.submit(load, item))
            if not loading:
                return
            yield loading.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def held_back(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Yield each item only once `count` further ones have been made, so that a device has its next work already."""
    waiting: deque[Item] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting
