"""Models that are built and filled with their weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mammoflow.config.inference import EncoderUse
from mammoflow.errors import WeightsError
from mammoflow.segmentation.loading import build_model, load_model, load_promptable
from mammoflow.segmentation.models.sam2 import ARCHITECTURES
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.storage.files import file_digest
from mammoflow.weights.checkpoint import read_state
from mammoflow.weights.registry import ModelSpec

CPU = torch.device("cpu")


def small(weights: Path) -> ModelSpec:
    return ModelSpec("small", "small", weights)


def test_saved_weights_come_back_and_their_digest_is_part_of_the_model(
    small_model: PromptableModel, small_weights: Path, tmp_path: Path
) -> None:
    image = np.random.default_rng(0).integers(0, 65536, (64, 48), dtype=np.uint16)
    loaded = load_promptable(small(small_weights), CPU, EncoderUse("fp32"))
    expected, found = (model.encode([image])[0]["image"] for model in (small_model, loaded))
    np.testing.assert_array_equal(found, expected)
    state = read_state(small_weights)
    name = next(name for name, tensor in state.items() if tensor.ndim > 1)
    save_file({**state, name: state[name] + 1e-3}, tmp_path / "other.safetensors")
    assert load_promptable(small(tmp_path / "other.safetensors"), CPU, EncoderUse("fp32")).digest != loaded.digest
    assert load_promptable(small(small_weights), CPU, EncoderUse("fp32")).digest == loaded.digest
    assert load_promptable(small(small_weights), CPU, EncoderUse("bf16")).digest != loaded.digest


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "small.safetensors")
    with pytest.raises(WeightsError, match="do not fit"):
        load_model(small(tmp_path / "small.safetensors"), CPU)


def test_sam2_checkpoints_load_as_upstream_lays_them_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "sam2.1_hiera_tiny"
    torch.manual_seed(1)
    state = build_model(name, None, "", CPU).network.state_dict()
    path = tmp_path / "sam2.1_hiera_tiny.pt"
    torch.save({"model": state}, path)
    known = ARCHITECTURES[name]
    source = replace(known.source, checksum=f"sha256:{file_digest(path)}")
    monkeypatch.setitem(ARCHITECTURES, name, replace(known, source=source))
    loaded = load_model(ModelSpec(name, name, path), CPU).network.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_weights_of_ones_own_load_under_ones_own_name_and_share_embeddings(small_weights: Path, tmp_path: Path) -> None:
    published = load_model(small(small_weights), CPU)
    state = {f"module.{name}": tensor for name, tensor in read_state(small_weights).items()}
    torch.save({"model": state, "optimizer": {}}, tmp_path / "tuned.pth")
    tuned = load_model(ModelSpec("my_tuned", "small", tmp_path / "tuned.pth"), CPU)
    assert tuned.name == "my_tuned"
    assert type(tuned) is type(published)
    for name, tensor in tuned.network.state_dict().items():
        assert torch.equal(tensor, published.network.state_dict()[name])
    assert load_model(ModelSpec("other", "small", small_weights), CPU).digest == published.digest
    assert tuned.digest != published.digest
