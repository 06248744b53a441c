from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mammoflow.errors import StudyError
from mammoflow.segmentation.embedding.embeddings import embedding_key, embeddings
from mammoflow.segmentation.loading import build_model
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.storage.arrays import ArrayStore
from mammoflow.storage.files import write_image
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES


@pytest.fixture
def encoded(small_model: PromptableModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that the network is given."""
    sizes: list[int] = []
    embed = small_model.embed

    def counting(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        sizes.append(len(batch))
        return embed(batch)

    monkeypatch.setattr(small_model, "embed", counting)
    return sizes


def table_of(shard: Path) -> pd.DataFrame:
    return read_table(shard / "images.parquet", CANONICAL_IMAGES)


def test_each_image_is_encoded_once_over_runs_and_half_precision_is_what_comes_back(
    shard: Path, tmp_path: Path, small_model: PromptableModel, encoded: list[int]
) -> None:
    store, table = ArrayStore(tmp_path / "store"), table_of(shard)
    first = dict(embeddings(small_model, table, shard, store, batch=2))
    assert encoded == [2, 1]
    assert list(first) == ["one", "two", "three"]
    again = dict(embeddings(small_model, table, shard, store, batch=2))
    assert encoded == [2, 1]
    for image_id, arrays in first.items():
        assert arrays["image"].dtype == np.float16
        np.testing.assert_array_equal(arrays["image"], again[image_id]["image"])


def test_damaged_and_absent_entries_alone_are_computed_again_in_order(
    shard: Path, tmp_path: Path, small_model: PromptableModel, encoded: list[int]
) -> None:
    store, table = ArrayStore(tmp_path / "store"), table_of(shard)
    first = dict(embeddings(small_model, table, shard, store, batch=4))
    digests = table.set_index("image_id")["digest"]
    damaged = store.path(embedding_key(digests["one"], small_model.digest))
    content = bytearray(damaged.read_bytes())
    content[-40] ^= 0xFF
    damaged.write_bytes(bytes(content))
    store.path(embedding_key(digests["three"], small_model.digest)).unlink()
    encoded.clear()
    second = dict(embeddings(small_model, table, shard, store, batch=4))
    assert encoded == [2]
    assert list(second) == ["one", "two", "three"]
    for image_id, arrays in second.items():
        np.testing.assert_allclose(arrays["image"], first[image_id]["image"], atol=2e-3)
    assert store.read(damaged.stem) is not None


def test_other_weights_and_other_pixels_have_other_entries(shard: Path, small_model: PromptableModel) -> None:
    other = build_model("small", None, "other weights", torch.device("cpu"))
    digests = table_of(shard)["digest"]
    keys = {embedding_key(digest, model.digest) for digest in digests for model in (small_model, other)}
    assert len(keys) == 6


def test_running_out_of_memory_halves_the_batch_and_goes_on(
    shard: Path, tmp_path: Path, small_model: PromptableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = small_model.embed

    def tight(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return embed(batch)

    monkeypatch.setattr(small_model, "embed", tight)
    assert len(dict(embeddings(small_model, table_of(shard), shard, ArrayStore(tmp_path / "store"), batch=4))) == 3


def test_an_image_of_another_size_than_its_table_says_is_refused(
    shard: Path, tmp_path: Path, small_model: PromptableModel
) -> None:
    write_image(shard / "image" / "two.png", np.zeros((5, 5), dtype=np.uint16))
    with pytest.raises(StudyError, match=r"two\.png.*\(5, 5\).*expected uint16"):
        dict(embeddings(small_model, table_of(shard), shard, ArrayStore(tmp_path / "store"), batch=1))
