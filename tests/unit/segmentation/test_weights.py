from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mammoflow.config.segmentation import ModelName
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.segmentation import weights as weights_module
from mammoflow.segmentation.protocol import PromptableModel
from mammoflow.segmentation.weights import WEIGHTS, fetch_weights, find_weights, load_model, read_state
from mammoflow.store import file_digest

CPU = torch.device("cpu")


class Code:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_every_model_of_the_configuration_has_weights_with_a_source() -> None:
    assert set(WEIGHTS) == set(get_args(ModelName))
    for name, source in WEIGHTS.items():
        assert source.licence
        assert source.architecture
        assert name == "small" or source.url.endswith(source.file)
        algorithm, _, digits = source.checksum.partition(":")
        assert name == "small" or len(digits) == {"sha256": 64, "md5": 32}[algorithm]
    assert len({source.checksum for source in WEIGHTS.values()}) == len(WEIGHTS)


def test_saved_weights_come_back_and_their_digest_is_part_of_the_model(
    small_model: PromptableModel, small_weights: Path, tmp_path: Path
) -> None:
    image = np.random.default_rng(0).integers(0, 65536, (64, 48), dtype=np.uint16)
    loaded = load_model("small", small_weights, CPU)
    expected, found = (model.encode([image])[0]["image"] for model in (small_model, loaded))
    np.testing.assert_array_equal(found, expected)
    state = read_state(small_weights)
    name = next(name for name, tensor in state.items() if tensor.ndim > 1)
    save_file({**state, name: state[name] + 1e-3}, tmp_path / "other.safetensors")
    assert load_model("small", tmp_path / "other.safetensors", CPU).digest != loaded.digest
    assert load_model("small", small_weights, CPU).digest == loaded.digest


@pytest.mark.parametrize("wrapped", [False, True])
def test_checkpoints_of_torch_are_read_plain_or_under_model(
    wrapped: bool, tmp_path: Path, small_model: PromptableModel
) -> None:
    state = small_model.network.state_dict()
    torch.save({"model": state} if wrapped else state, tmp_path / "small.pt")
    for name, tensor in read_state(tmp_path / "small.pt").items():
        assert torch.equal(tensor, state[name])


def test_weights_that_carry_code_are_refused_and_the_code_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save({"model": {"weight": torch.zeros(2)}, "extra": Code(mark)}, tmp_path / "zip.pt")
    torch.save({"extra": Code(mark)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Code(mark)))
    for name in ("zip.pt", "old.pth", "plain.pth"):
        with pytest.raises(WeightsError, match="refused"):
            read_state(tmp_path / name)
    assert not mark.exists()


def test_damaged_files_and_files_of_something_else_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1000)}, tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:900])
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "page.safetensors").write_text("<html>not found</html>")
    torch.save({"weight": "text"}, tmp_path / "text.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    for name in ("cut.pt", "empty.pt", "page.safetensors", "text.pt", "list.pt"):
        with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
            read_state(tmp_path / name)


def test_absent_weights_name_file_checksum_and_command(tmp_path: Path) -> None:
    command = "mammoflow weights fetch sam_vit_b --to FOLDER"
    for given in (None, tmp_path / "nothing.pth"):
        with pytest.raises(WeightsError) as caught:
            load_model("sam_vit_b", given, CPU)
        for part in (command, "sam_vit_b_01ec64.pth", WEIGHTS["sam_vit_b"].checksum):
            assert part in str(caught.value)
    assert str(tmp_path / "nothing.pth") in str(caught.value)


def test_weights_that_are_not_the_published_ones_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "sam_vit_b_01ec64.pth")
    with pytest.raises(WeightsError, match=f"has sha256:{file_digest(tmp_path / 'sam_vit_b_01ec64.pth')}, expected"):
        find_weights("sam_vit_b", tmp_path / "sam_vit_b_01ec64.pth")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1)}, tmp_path / "small.safetensors")
    with pytest.raises(WeightsError, match="do not fit"):
        load_model("small", tmp_path / "small.safetensors", CPU)


def test_sam2_checkpoints_load_as_upstream_lays_them_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mammoflow.segmentation.sam2 import build_sam2_model

    name = "sam2.1_hiera_tiny"
    torch.manual_seed(1)
    state = build_sam2_model(name, None, "", CPU).network.state_dict()
    path = tmp_path / "sam2.1_hiera_tiny.pt"
    torch.save({"model": state}, path)
    monkeypatch.setitem(weights_module.WEIGHTS, name, replace(WEIGHTS[name], checksum=f"sha256:{file_digest(path)}"))
    loaded = load_model(name, path, CPU).network.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_unknown_models_are_refused(tmp_path: Path) -> None:
    for action in (lambda: load_model("sam_vit_x", None, CPU), lambda: fetch_weights("sam_vit_x", tmp_path)):
        with pytest.raises(ConfigError, match="sam_vit_x"):
            action()


def test_fetching_goes_to_upstreams_address_or_a_mirror_under_upstreams_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Path, str]] = []
    monkeypatch.setattr(weights_module, "download", lambda *arguments: asked.append(arguments))
    fetch_weights("medsam_vit_b", tmp_path)
    fetch_weights("medsam_vit_b", tmp_path, url_override="http://mirror.example/file")
    source = WEIGHTS["medsam_vit_b"]
    assert asked == [
        (source.url, tmp_path / "medsam_vit_b.pth", source.checksum),
        ("http://mirror.example/file", tmp_path / "medsam_vit_b.pth", source.checksum),
    ]
