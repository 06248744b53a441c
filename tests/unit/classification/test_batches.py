"""Batches are the same whatever the number of workers, and hold each sample once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mammoflow.classification.batches import Batch, Loader, choose_workers
from mammoflow.classification.pictures import PictureSamples
from mammoflow.config.pictures import PictureOptions


@pytest.fixture
def samples() -> PictureSamples:
    pictures = np.random.default_rng(1).integers(0, 65535, (21, 16, 16)).astype(np.uint16)
    rows = np.arange(21)
    split = np.array(["train"] * 21, dtype=object)
    return PictureSamples(pictures, rows, (rows % 2).astype(np.float32), split, rows, {}, PictureOptions())


def content(batches: list[Batch]) -> list[tuple[list[int], bytes]]:
    return [(batch.rows.tolist(), batch.inputs["picture"].numpy().tobytes()) for batch in batches]


def test_workers_change_nothing(samples: PictureSamples) -> None:
    rows = np.arange(21)
    alone, several = (Loader(samples, None, 4, 3, workers) for workers in (0, 2))
    assert content(list(alone.training(rows, 5))) == content(list(several.training(rows, 5)))
    assert content(list(alone.plain(rows))) == content(list(several.plain(rows)))


def test_order_and_augmentation_follow_from_seed_and_epoch(samples: PictureSamples) -> None:
    rows = np.arange(21)
    loader = Loader(samples, None, 4, 3, 0)
    torch.manual_seed(1)
    first = content(list(loader.training(rows, 5)))
    torch.manual_seed(2)
    assert content(list(loader.training(rows, 5))) == first
    assert content(list(loader.training(rows, 6))) != first
    assert content(list(Loader(samples, None, 4, 4, 0).training(rows, 5))) != first
    assert sorted(row for batch, _ in first for row in batch) == rows.tolist()


def test_loading_draws_nothing_from_the_generator_of_torch(samples: PictureSamples) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    list(Loader(samples, None, 4, 3, 0).training(np.arange(21), 0))
    assert torch.equal(torch.rand(3), expected)


def test_a_sample_is_drawn_alike_in_every_batch(samples: PictureSamples) -> None:
    whole = next(iter(Loader(samples, None, 21, 3, 0).training(np.arange(21), 2)))
    part = next(iter(Loader(samples, None, 2, 3, 0).training(np.array([4, 9]), 2)))
    for place, row in enumerate(part.rows):
        same = int(np.flatnonzero(whole.rows == row)[0])
        assert torch.equal(part.inputs["picture"][place], whole.inputs["picture"][same])


def test_halves_hold_every_sample_with_its_vector_and_label(samples: PictureSamples) -> None:
    vectors = np.arange(42, dtype=np.float32).reshape(21, 2)
    batch = next(iter(Loader(samples, vectors, 5, 0, 0).training(np.arange(21), 0)))
    halves = batch.halves()
    assert [len(half) for half in halves] == [3, 2]
    assert np.concatenate([half.rows for half in halves]).tolist() == batch.rows.tolist()
    for half in halves:
        assert half.vectors is not None
        assert half.vectors[:, 0].tolist() == (2.0 * half.rows).tolist()
        assert half.labels.tolist() == (half.rows % 2).tolist()
    assert len(halves[1].halves()[0].halves()) == 1


def test_plain_batches_have_about_the_same_size(samples: PictureSamples) -> None:
    assert [len(batch) for batch in Loader(samples, None, 10, 0, 0).plain(np.arange(21))] == [7, 7, 7]
    assert list(Loader(samples, None, 10, 0, 0).plain(np.arange(0))) == []


def test_a_gpu_is_fed_by_the_threads_of_the_job_and_by_some_processes_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in ((1, [0, 0, 0]), (4, [3, 3, 3]), (16, [3, 4, 8])):
        monkeypatch.setattr("mammoflow.classification.batches.available_cores", lambda cores=cores: cores)
        assert [choose_workers(threads, torch.device("cuda")) for threads in (1, 5, 16)] == expected
    assert choose_workers(16, torch.device("cpu")) == 0
