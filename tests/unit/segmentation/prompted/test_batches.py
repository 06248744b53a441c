from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from mammoflow.errors import StudyError
from mammoflow.run.memory import is_out_of_memory
from mammoflow.segmentation.prompted.batches import MOST_TOGETHER, Batches


class Memory:
    """A device on which each item takes `each` bytes and `free` are left."""

    def __init__(self, each: int, free: int) -> None:
        self.each, self.left = each, free
        self.started = 0

    def start(self) -> None:
        self.started += 1

    def used(self) -> int:
        return self.each

    def free(self) -> int:
        return self.left


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried to allocate"),
        MemoryError(),
    ],
)
def test_out_of_memory_halves_the_batch_for_good_and_loses_nothing(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[int] = []

    def compute(part: Sequence[int]) -> list[int]:
        tried.append(len(part))
        if len(part) > 2:
            raise error
        return [item * 10 for item in part]

    batches = Batches(8, "images")
    assert [value for part in batches.run(range(7), compute) for value in part] == [item * 10 for item in range(7)]
    assert tried == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert batches.size == 1
    assert "out of memory with 7 images" in capsys.readouterr().err


def test_a_single_item_that_does_not_fit_and_other_errors_are_raised() -> None:
    def no_memory(part: Sequence[int]) -> list[int]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore about it")

    def wrong(part: Sequence[int]) -> list[int]:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(
        StudyError, match=r"one at a time \(images\): .*2\.00 GiB\.; expected .* smaller model"
    ) as caught:
        list(Batches(4, "images").run(range(4), no_memory))
    assert is_out_of_memory(caught.value)
    with pytest.raises(RuntimeError, match="shapes"):
        list(Batches(4, "images").run(range(4), wrong))


def test_no_items_compute_nothing() -> None:
    assert list(Batches(4, "images").run([], lambda part: pytest.fail("computed nothing"))) == []


def sizes_of(batches: Batches, count: int) -> list[int]:
    return list(batches.run(range(count), len))


@pytest.mark.parametrize(
    ("each", "free", "expected"),
    [
        pytest.param(10, 50, [1, 4, 4, 1], id="four fifths of what is free"),
        pytest.param(10, 11, [1] * 10, id="no room for a second one"),
        pytest.param(0, 50, [1] * 10, id="the model is not on the device"),
        pytest.param(1, 10**6, [1, 9], id="plenty"),
    ],
)
def test_auto_measures_one_item_and_takes_as_many_as_fit(each: int, free: int, expected: list[int]) -> None:
    memory = Memory(each, free)
    batches = Batches("auto", "images", memory)
    assert sizes_of(batches, 10) == expected
    assert memory.started == 1
    assert batches.size <= MOST_TOGETHER


def test_auto_goes_on_with_the_size_that_it_found_and_stops_at_the_most() -> None:
    batches = Batches("auto", "images", Memory(1, 10**6))
    assert sizes_of(batches, 1) == [1]
    assert sizes_of(batches, MOST_TOGETHER + 1) == [MOST_TOGETHER, 1]


def test_auto_halves_what_was_too_much_all_the_same() -> None:
    batches = Batches("auto", "images", Memory(1, 10))

    def compute(part: Sequence[int]) -> int:
        if len(part) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return len(part)

    assert list(batches.run(range(12), compute)) == [1, 4, 4, 3]


def test_a_number_is_taken_without_measuring() -> None:
    memory = Memory(1, 10**6)
    assert sizes_of(Batches(3, "images", memory), 7) == [3, 3, 1]
    assert memory.started == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="auto measures a GPU where there is one")
def test_auto_takes_one_at_a_time_on_a_cpu() -> None:
    assert sizes_of(Batches("auto", "images"), 3) == [1, 1, 1]


def test_memory_errors_are_told_from_others() -> None:
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(OSError("out of memory"))
