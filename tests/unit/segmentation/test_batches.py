from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from mammoflow.segmentation.batches import Batches


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
        raise MemoryError

    def wrong(part: Sequence[int]) -> list[int]:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(MemoryError):
        list(Batches(4, "images").run(range(4), no_memory))
    with pytest.raises(RuntimeError, match="shapes"):
        list(Batches(4, "images").run(range(4), wrong))


def test_no_items_compute_nothing() -> None:
    assert list(Batches(4, "images").run([], lambda part: pytest.fail("computed nothing"))) == []
