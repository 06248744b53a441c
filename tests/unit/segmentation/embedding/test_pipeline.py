from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from mammoflow.segmentation.embedding.read_ahead import held_back, in_advance


def test_order_is_kept_where_later_items_load_faster() -> None:
    def load(item: int) -> int:
        time.sleep(0.02 if item % 3 == 0 else 0)
        return item * 10

    assert list(in_advance(range(10), load, 4, lambda: 5)) == [item * 10 for item in range(10)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_no_items_and_no_lead_are_served_too(workers: int) -> None:
    assert list(in_advance([], lambda item: pytest.fail("loaded nothing"), workers, lambda: 2)) == []
    assert list(in_advance("abc", str.upper, workers, lambda: 0)) == ["A", "B", "C"]


def test_items_load_while_the_caller_has_one_and_no_further_than_told() -> None:
    lead, begun = [2], []
    reached = threading.Semaphore(0)

    def load(item: int) -> int:
        begun.append(item)
        reached.release()
        return item

    def wait_for(count: int) -> None:
        for _ in range(count):
            assert reached.acquire(timeout=10)

    with closing(in_advance(range(20), load, 1, lambda: lead[0])) as loaded:
        assert next(loaded) == 0
        wait_for(3)
        assert not reached.acquire(timeout=0.05)
        assert begun == [0, 1, 2]
        lead[0] = 4  # the batch has grown
        assert next(loaded) == 1
        wait_for(3)
        assert not reached.acquire(timeout=0.05)
        assert begun == [0, 1, 2, 3, 4, 5]


def test_items_are_read_in_the_callers_thread_and_loaded_in_others() -> None:
    readers, loaders = set(), set()

    def items() -> Iterator[int]:
        for item in range(4):
            readers.add(threading.get_ident())
            yield item

    def load(item: int) -> int:
        loaders.add(threading.get_ident())
        return item

    list(in_advance(items(), load, 2, lambda: 2))
    assert readers == {threading.get_ident()}
    assert threading.get_ident() not in loaders


def test_an_error_comes_at_its_place_and_ends_the_loading() -> None:
    begun = []

    def load(item: int) -> int:
        begun.append(item)
        if item == 2:
            raise OSError("file 2 is gone")
        return item

    loaded = in_advance(range(100), load, 1, lambda: 3)
    assert [next(loaded), next(loaded)] == [0, 1]
    with pytest.raises(OSError, match="file 2 is gone"):
        next(loaded)
    assert max(begun) <= 5
    assert list(loaded) == []


def test_leaving_early_cancels_what_has_not_begun_and_ends_the_threads() -> None:
    begun, go_on = [], threading.Event()

    def load(item: int) -> int:
        begun.append(item)
        if item:
            assert go_on.wait(10)
        return item

    threads = threading.active_count()
    loaded = in_advance(range(100), load, 1, lambda: 10)
    assert next(loaded) == 0
    later = threading.Timer(0.05, go_on.set)
    later.start()
    loaded.close()
    later.join()
    assert len(begun) <= 2
    assert threading.active_count() == threads


def test_results_are_taken_only_once_the_next_have_been_started() -> None:
    events: list[str] = []

    def items() -> Iterator[int]:
        for item in range(4):
            events.append(f"start {item}")
            yield item

    for item in held_back(items(), 1):
        events.append(f"take {item}")
    assert events == [
        "start 0", "start 1", "take 0", "start 2", "take 1", "start 3", "take 2", "take 3",
    ]  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_holding_back_loses_nothing(count: int) -> None:
    assert list(held_back(iter(range(5)), count)) == [0, 1, 2, 3, 4]
