"""Files of tensors have the same bytes for the same content."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from mammoflow.storage.tensor_files import save_tensors

METADATA = {"training": '{"text": "é \\" \\\\"}', "architecture": "x", **{f"key{number}": "" for number in range(9)}}


def test_the_order_of_the_metadata_is_that_of_their_keys(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(3.0), "a": torch.ones(2, 2, dtype=torch.float16)}
    for name, metadata in (("one", METADATA), ("other", dict(reversed(METADATA.items())))):
        save_tensors(tmp_path / name, tensors, metadata)
    content = (tmp_path / "one").read_bytes()
    assert content == (tmp_path / "other").read_bytes()
    places = [content.index(f'"{key}":'.encode()) for key in sorted(METADATA)]
    assert places == sorted(places)


def test_the_file_is_one_of_the_library(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(3.0), "a": torch.ones(2, 2, dtype=torch.float16)}
    save_tensors(tmp_path / "one", tensors, METADATA)
    loaded = load_file(tmp_path / "one")
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    with safe_open(str(tmp_path / "one"), framework="pt") as file:
        assert file.metadata() == METADATA
