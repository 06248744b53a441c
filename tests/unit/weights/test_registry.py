"""The weights file of a model: which one it is, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mammoflow.errors import ConfigError, WeightsError
from mammoflow.storage.files import file_digest
from mammoflow.weights.published import weights_source
from mammoflow.weights.registry import ModelSpec, find_weights


def test_absent_weights_name_file_checksum_and_command(tmp_path: Path) -> None:
    command = "mammoflow weights fetch sam_vit_b --to FOLDER"
    for given in (None, tmp_path / "nothing.pth"):
        with pytest.raises(WeightsError) as caught:
            find_weights(ModelSpec("sam_vit_b", "sam_vit_b", given))
        for words in (command, "sam_vit_b_01ec64.pth", weights_source("sam_vit_b").checksum):
            assert words in str(caught.value)
    assert str(tmp_path / "nothing.pth") in str(caught.value)


def test_weights_that_are_not_the_published_ones_are_refused_under_the_published_name(tmp_path: Path) -> None:
    path = tmp_path / "sam_vit_b_01ec64.pth"
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=f"has sha256:{file_digest(path)}, expected"):
        find_weights(ModelSpec("sam_vit_b", "sam_vit_b", path))
    assert find_weights(ModelSpec("mine", "sam_vit_b", path)) == path


def test_a_model_of_ones_own_needs_its_architecture_its_weights_and_a_name_of_its_own(tmp_path: Path) -> None:
    for architecture in ("mine", "sam_vit_x"):
        with pytest.raises(ConfigError, match=rf"'{architecture}' is no architecture; .*models\.mine\.architecture"):
            ModelSpec("mine", architecture)
    with pytest.raises(ConfigError, match="sam_vit_b is a published model, expected another name"):
        ModelSpec("sam_vit_b", "sam_vit_l")
    with pytest.raises(WeightsError, match=r"does not exist; correct segmentation\.models\.mine\.weights"):
        find_weights(ModelSpec("mine", "sam_vit_b", tmp_path / "absent.pth"))
    with pytest.raises(WeightsError, match=r"no weights file is given for mine"):
        find_weights(ModelSpec("mine", "small"))


def test_the_package_ships_the_weights_of_small() -> None:
    model = ModelSpec("small", "small")
    assert find_weights(model) == model.file == weights_source("small").shipped
