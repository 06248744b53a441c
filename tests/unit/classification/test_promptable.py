"""Sources of embeddings: what an encoder learns does not depend on how many images are held at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from mammoflow.classification.cases import read_cases
from mammoflow.segmentation.embedding.training_sources import BoundedCache, EncoderSource


@pytest.mark.parametrize("images", [1, 3, 11])
def test_encoding_in_parts_gives_the_embeddings_and_gradients_of_one_batch(
    study: Any, fake_model: Any, images: int
) -> None:
    source = EncoderSource(fake_model, read_cases(study.images).images)
    rows = np.arange(images)
    found = source.embed(rows)["image"]
    found.square().sum().backward()
    weight = fake_model.network.encoder.weight
    gradient, weight.grad = weight.grad.clone(), None
    batch = torch.stack([torch.from_numpy(source.cache.get(int(row))) for row in rows])
    expected = fake_model.embed(batch)["image"]
    expected.square().sum().backward()
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(gradient, weight.grad, rtol=1e-4)
    with torch.inference_mode():
        assert torch.allclose(source.embed(rows)["image"], expected, atol=1e-6)


def test_cache_keeps_what_fits_and_loads_the_rest_again() -> None:
    loaded: list[int] = []

    def load(key: int) -> Sequence[int]:
        loaded.append(key)
        return [key] * 10

    cache: BoundedCache[Sequence[int]] = BoundedCache(load, len, limit=25)
    for key in (0, 1, 2, 0, 1, 2):
        assert cache.get(key) == [key] * 10
    assert loaded == [0, 1, 2, 2]
    cache.clear()
    cache.get(0)
    assert loaded[-1] == 0
