"""Masked autoencoding: what is predicted, what the encoder sees, and weights that a training starts from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mammoflow.config.recipes import RECIPES, RecipeSettings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.segmentation.automatic.masked_learner import MaskedLearner
from mammoflow.segmentation.encoders.vision_transformer import VisionTransformer, VitLayout
from mammoflow.segmentation.layers.masked_autoencoder import MaskedAutoencoder, patch_values, standardised
from mammoflow.segmentation.training_stage import train_segmenter
from mammoflow.weights.registry import ModelSpec

from ....helpers.thin_networks import make_thin
from .tiny_images import study, write_shard

OPTIONS = {"epochs": 2, "batch_size": 4, "side_px": 64, "device": "cpu", "decoder_width": 16, "decoder_depth": 1}


@pytest.fixture(autouse=True, scope="module")
def thin() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        make_thin(patch)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard(tmp_path_factory.mktemp("images") / "00", study(4))


def train(recipe: str, folder: Path, output: Path, start: ModelSpec | None = None, **options: Any) -> Path:
    settings = RecipeSettings.model_validate({"recipe": recipe, "options": options})
    train_segmenter(settings, "setr_tiny", start, [folder], output / "store", 10.0, output, threads=1)
    return output / "model.safetensors"


def test_patches_are_cut_row_by_row_and_standardised() -> None:
    picture = torch.arange(32.0 * 48).reshape(1, 1, 32, 48).expand(1, 3, 32, 48)
    patches = patch_values(picture)
    assert patches.shape == (1, 6, 256)
    assert torch.equal(patches[0, 4].reshape(16, 16), picture[0, 0, 16:, 16:32])
    assert torch.allclose(standardised(patches).mean(dim=-1), torch.zeros(1, 6), atol=1e-5)
    assert torch.allclose(standardised(patches).std(dim=-1), torch.ones(1, 6), atol=1e-4)
    assert torch.equal(standardised(torch.zeros(1, 1, 256)), torch.zeros(1, 1, 256))


def network() -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder(VisionTransformer(VitLayout(32, 2, 2, 64)), 16, 16, 1).eval()


def test_the_encoder_sees_the_shown_patches_alone() -> None:
    model, order = network(), torch.randperm(16)[None]
    pictures = torch.rand(1, 3, 64, 64)
    seen: list[torch.Tensor] = []
    model.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    model(pictures, order, 4)
    changed = pictures.clone()
    for place in order[0, 4:].tolist():
        y, x = 16 * (place // 4), 16 * (place % 4)
        changed[:, :, y : y + 16, x : x + 16] += 1
    model(changed, order, 4)
    assert torch.equal(seen[0], seen[1])
    changed[:, :, 16 * int(order[0, 0] // 4), 16 * int(order[0, 0] % 4)] += 1
    model(changed, order, 4)
    assert not torch.equal(seen[0], seen[2])


def test_the_error_is_that_of_the_hidden_patches_at_their_places() -> None:
    model = network()
    pictures = torch.rand(2, 3, 64, 64)
    order = torch.stack([torch.randperm(16), torch.randperm(16)])
    # A head that says nothing predicts 0 everywhere.
    torch.nn.init.zeros_(model.head[1].weight)
    torch.nn.init.zeros_(model.head[1].bias)
    hidden = np.stack([standardised(patch_values(pictures))[n][order[n, 4:]].numpy() for n in (0, 1)])
    assert float(model(pictures, order, 4).detach()) == pytest.approx(float((hidden**2).mean()), rel=1e-5)


def test_a_pretraining_resumes_and_another_training_starts_from_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_file(train("masked_autoencoder", folder, tmp_path / "whole", **OPTIONS))
    validate = MaskedLearner.validate

    def stopped(self: MaskedLearner, epoch: int) -> dict[str, float]:
        if epoch == 1:
            raise KeyboardInterrupt
        return validate(self, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(MaskedLearner, "validate", stopped)
        with pytest.raises(KeyboardInterrupt):
            train("masked_autoencoder", folder, tmp_path / "killed", **OPTIONS)
    weights = train("masked_autoencoder", folder, tmp_path / "killed", **OPTIONS)
    killed = load_file(weights)
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    record = json.loads((tmp_path / "killed" / "record.json").read_text())
    assert record["resumed_from"] == 1
    assert record["patients"] == ["discs/P0", "discs/P1", "discs/P2"]
    assert record["validation_loss"] > 0
    quick = {"epochs": 1, "batch_size": 4, "side_px": 32, "device": "cpu", "learning_rate": 1e-9}
    after = load_file(train("automatic", folder, tmp_path / "next", ModelSpec("killed", "setr_tiny", weights), **quick))
    torch.testing.assert_close(after["encoder.pos_embed"], killed["encoder.pos_embed"], atol=1e-6, rtol=0)


def test_images_without_annotations_are_trained_on(tmp_path: Path) -> None:
    films = study(4)
    boxed = [replace(film, discs=[replace(disc, box=True) for disc in film.discs]) for film in films]
    lost = [film.image_id for film in films]
    for number, (shown, missing) in enumerate([(boxed, []), ([replace(film, discs=[]) for film in films], lost)]):
        folder, output = write_shard(tmp_path / str(number) / "00", shown, missing), tmp_path / f"model{number}"
        train("masked_autoencoder", folder, output, **{**OPTIONS, "epochs": 1})
        record = json.loads((output / "record.json").read_text())
        assert record["patients"] == ["discs/P0", "discs/P1", "discs/P2"]
        assert (record["images"], record["validation_images"]) == (6, 2)


def test_a_study_without_images_to_validate_on_is_refused(tmp_path: Path) -> None:
    folder = write_shard(tmp_path / "00", study(2))
    with pytest.raises(StudyError, match=r"no validation image in 1 image shards; expected .* one to validate on"):
        train("masked_autoencoder", folder, tmp_path / "model", **OPTIONS)


def test_an_encoder_that_is_no_vision_transformer_is_refused(folder: Path, tmp_path: Path) -> None:
    settings = RecipeSettings.model_validate({"recipe": "masked_autoencoder", "options": OPTIONS})
    with pytest.raises(ConfigError, match="no plain vision transformer"):
        train_segmenter(settings, "sam2_unet_vgg16", None, [folder], tmp_path, 10.0, tmp_path / "x", threads=1)
    with pytest.raises(ValueError, match="needs prompts"):
        RECIPES.load("masked_autoencoder").check(settings.options, "small", "")
