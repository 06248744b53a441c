"""Training of an encoder and a decoder: what is frozen, at which rates, from which weights, which epoch is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mammoflow.config.automatic import AutomaticTrainingSettings
from mammoflow.config.recipes import RecipeSettings, recipe_modules
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.segmentation.automatic.encoder import encoder_weights_file, prepare_encoder
from mammoflow.segmentation.automatic.frozen_maps import FrozenMaps
from mammoflow.segmentation.automatic.learner import AutomaticLearner
from mammoflow.segmentation.automatic.loading import load_automatic
from mammoflow.segmentation.automatic.samples import read_training_images
from mammoflow.segmentation.loading import build_model
from mammoflow.segmentation.networks.encoder_decoder import EncoderDecoderModel
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.segmentation.training_stage import train_segmenter
from mammoflow.storage.files import file_digest
from mammoflow.weights.header import HEADER
from mammoflow.weights.registry import ModelSpec
from mammoflow.weights.seen_patients import seen_patients

from ....helpers.thin_networks import make_thin
from .tiny_images import study, write_shard

CPU = torch.device("cpu")
QUICK = {"epochs": 1, "batch_size": 4, "side_px": 32, "device": "cpu", "augmentation": "none", "precision": "fp32"}


@pytest.fixture(autouse=True, scope="module")
def thin() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        make_thin(patch)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard(tmp_path_factory.mktemp("images") / "00", study(4))


def model_of(architecture: str) -> EncoderDecoderModel:
    torch.manual_seed(0)
    model = build_model(architecture, None, "random", CPU)
    assert isinstance(model, EncoderDecoderModel)
    model.input = NetworkInput(32)
    return model


def learner_of(architecture: str, folder: Path, has_weights: bool = False, **options: Any) -> AutomaticLearner:
    model, settings = model_of(architecture), AutomaticTrainingSettings(**{**QUICK, **options})
    frozen = prepare_encoder(model.network, architecture, settings, has_weights)
    return AutomaticLearner(model, read_training_images([folder]), settings, frozen)


def train(architecture: str, folder: Path, output: Path, start: ModelSpec | None = None, **options: Any) -> Path:
    settings = RecipeSettings.model_validate({"recipe": "automatic", "options": {**QUICK, **options}})
    train_segmenter(settings, architecture, start, [folder], output / "store", 10.0, output, threads=1)
    return output / "model.safetensors"


@pytest.mark.parametrize(
    ("architecture", "has_weights", "options", "frozen"),
    [
        ("sam2_unet_tiny", True, {}, True),
        ("sam2_unet_tiny", False, {}, False),  # random weights are not worth keeping
        ("sam2_unet_tiny", True, {"encoder": "trained"}, False),
        ("sam2_unet_vgg16", True, {}, False),
        ("sam2_unet_vgg16", False, {"encoder": "frozen"}, True),
        ("setr_tiny", True, {"visual_prompts": 4}, True),
        ("setr_tiny", True, {}, False),
    ],
)
def test_auto_freezes_what_the_publication_freezes(
    architecture: str, has_weights: bool, options: dict[str, Any], frozen: bool, folder: Path
) -> None:
    learner = learner_of(architecture, folder, has_weights, **options)
    network = learner.network
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert bool(learner.frozen) == frozen
    assert any(name.startswith("decoder.") for name in trained)
    of_encoder = {name for name in trained if name.startswith("encoder.")}
    if frozen:
        assert all(".adapters." in name or name.endswith("prompts") for name in of_encoder)
        assert not learner.frozen & trained
        learner.mode(training=True)
        assert not any(module.training for module in network.encoder.modules())
        assert network.decoder.training
    else:
        assert {name for name, _ in network.named_parameters()} == trained


def test_a_frozen_encoder_ends_as_it_began_and_is_in_the_file(folder: Path, tmp_path: Path) -> None:
    first = model_of("sam2_unet_efficientnet_lite0").network.state_dict()
    given = tmp_path / "encoder.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in first.items() if name.startswith("encoder.")}, given)
    options = {"encoder": "frozen", "encoder_weights": str(given)}
    after = load_file(train("sam2_unet_efficientnet_lite0", folder, tmp_path / "frozen", **options))
    assert after.keys() == first.keys()
    changed = {name for name in after if not torch.equal(after[name], first[name])}
    assert changed
    assert all(name.startswith("decoder.") for name in changed)
    record = json.loads((tmp_path / "frozen" / "record.json").read_text())
    assert (record["encoder"], record["encoder_weights"]) == ("frozen", "encoder.safetensors")
    assert record["encoder_weights_sha256"] == file_digest(given)
    trained, total = record["trainable_parameters"], record["total_parameters"]
    assert 0 < trained < total


def test_patients_whom_the_encoder_has_seen_count_as_seen(folder: Path, tmp_path: Path) -> None:
    first = train("setr_tiny", folder, tmp_path / "first")
    other = write_shard(
        tmp_path / "other" / "00", [replace(film, patient_id=f"Q{film.patient_id}") for film in study(4)]
    )
    second = train("setr_tiny", other, tmp_path / "second", encoder_weights=str(first))
    assert {"P0", "P3", "QP0"} <= seen_patients(second)


def test_maps_of_a_frozen_encoder_are_computed_once_and_are_the_same(folder: Path) -> None:
    learner = learner_of("sam2_unet_vgg16", folder, encoder="frozen")
    assert learner.maps is not None
    learner.mode(training=False)
    calls: list[int] = []
    learner.network.encoder.register_forward_hook(lambda *_: calls.append(1))
    batches = list(learner.batches(0))
    with torch.no_grad():
        kept = [learner.outputs(batch) for batch in batches]
        count = len(calls)
        again = [learner.outputs(batch) for batch in batches]
        direct = [learner.model.logits(batch.inputs) for batch in batches]
    assert count == sum(map(len, batches)) == len(calls) - len(batches)
    for one, two, batch, three in zip(kept, again, batches, direct, strict=True):
        assert torch.equal(one, two)
        torch.testing.assert_close(one, learner.model.upscale(three, batch.inputs.shape[-2:]), atol=1e-5, rtol=1e-4)
    assert learner_of("sam2_unet_vgg16", folder, encoder="frozen", augmentation="flips").maps is None
    assert learner_of("sam2_unet_tiny", folder, encoder="frozen").maps is None  # adapters are trained


def test_maps_that_do_not_fit_are_computed_again_and_are_the_same(folder: Path) -> None:
    learner = learner_of("sam2_unet_vgg16", folder, encoder="frozen")
    learner.mode(training=False)
    batch = next(iter(learner.batches(0)))
    assert len(batch) > 1
    rows = range(len(batch))
    with torch.no_grad():
        of_one = sum(level.nbytes for level in learner.network.encode(batch.inputs[:1]))
        calls: list[int] = []
        learner.network.encoder.register_forward_hook(lambda *_: calls.append(1))
        everything, small = FrozenMaps(learner.network), FrozenMaps(learner.network, limit=of_one)
        expected = everything.outputs(batch.inputs, rows)
        found = [small.outputs(batch.inputs, rows) for _ in range(2)]
    assert len(calls) == 3 * len(batch) - 1
    assert list(small.cache.values) == [0]
    for outputs in found:
        for one, other in zip(outputs, expected, strict=True):
            assert torch.equal(one, other)


def test_the_decoder_has_its_own_rate(folder: Path) -> None:
    groups = learner_of("setr_tiny", folder, decoder_rate=10.0).groups(1e-4)
    assert [group["lr"] for group in groups] == [1e-4, pytest.approx(1e-3)]
    (prompts, decoder) = learner_of("setr_tiny", folder, True, visual_prompts=4).groups(1e-3)
    assert len(prompts["params"]) == 1
    assert prompts["params"][0].shape == (2, 4, 32)
    assert decoder["lr"] == 1e-3


def test_prompts_are_in_the_weights_and_come_back(folder: Path, tmp_path: Path) -> None:
    first = ModelSpec("first", "setr_tiny", train("setr_tiny", folder, tmp_path / "first"))
    prompted = train("setr_tiny", folder, tmp_path / "prompted", first, visual_prompts=4)
    before, after = load_file(tmp_path / "first" / "model.safetensors"), load_file(prompted)
    assert after["encoder.prompts"].shape == (2, 4, 32)
    assert torch.equal(before["encoder.blocks.0.attn.qkv.weight"], after["encoder.blocks.0.attn.qkv.weight"])
    loaded = load_automatic(ModelSpec("prompted", "setr_tiny", prompted), CPU, "fp32")
    assert torch.equal(loaded.network.encoder.prompts, after["encoder.prompts"])


def test_deep_supervision_adds_the_losses_of_all_outputs(folder: Path) -> None:
    learner = learner_of("sam2_unet_vgg16", folder, loss="bce")
    learner.mode(training=False)
    batch = next(iter(learner.batches(0)))
    outputs = learner.model.training_logits(batch.inputs)
    assert len(outputs) == 3
    losses = [
        torch.nn.functional.binary_cross_entropy_with_logits(learner.model.upscale(each, (32, 32)), batch.targets)
        for each in outputs
    ]
    assert float(learner.loss(batch, 0, 0).detach()) == pytest.approx(sum(each.item() for each in losses), rel=1e-5)


def test_the_last_epoch_and_a_threshold_may_be_kept(folder: Path, tmp_path: Path) -> None:
    options = {"keep": "last", "threshold": 0.5, "epochs": 2, "input": "stretched", "clahe_clip": 2.0, "clahe_tiles": 4}
    weights = train("unet_16", folder, tmp_path / "last", **options)
    loaded = load_automatic(ModelSpec("last", "unet_16", weights), CPU, "fp32")
    assert loaded.threshold == 0.5
    assert loaded.input == NetworkInput(32, None, True, 2.0, 4)
    assert '"chosen_epoch": 2' in (tmp_path / "last" / "record.json").read_text()
    # weights that do not name their bins of CLAHE were trained with 16 bits
    with safe_open(str(weights), framework="numpy") as file:
        content = json.loads(file.metadata()[HEADER])
    assert content["automatic"].pop("clahe_bins") == 256
    save_file(load_file(weights), tmp_path / "earlier.safetensors", metadata={HEADER: json.dumps(content)})
    earlier = load_automatic(ModelSpec("earlier", "unet_16", tmp_path / "earlier.safetensors"), CPU, "fp32")
    assert earlier.input == replace(loaded.input, clahe_bins=65536)


def test_training_stops_when_the_training_loss_has_not_improved(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = iter(np.linspace(0.1, 0.9, 20))
    monkeypatch.setattr(
        AutomaticLearner,
        "validate",
        lambda self, epoch: {"validation_dice": next(dice), "validation_loss": 1.0, "validation_threshold": 0.5},
    )
    monkeypatch.setattr(AutomaticLearner, "loss", lambda self, batch, *_: 0 * self.outputs(batch).sum() + 1)
    options = {"patience": 3, "patience_on": "train_loss", "epochs": 20}
    train("unet_16", folder, tmp_path / "stopped", **options)
    # The validation Dice improves in each epoch; the training loss is best in the first.
    assert len((tmp_path / "stopped" / "history.csv").read_text().splitlines()) == 1 + 4


def test_a_state_without_the_frozen_encoder_is_small(folder: Path) -> None:
    learner = learner_of("sam2_unet_tiny", folder, True)
    names = set(learner.state())
    assert not any(name.startswith("encoder.trunk.") for name in names)
    assert any(name.startswith("encoder.adapters.") for name in names)
    before = learner.network.state_dict()["encoder.trunk.pos_embed"].clone()
    learner.load_state({name: tensor.clone() for name, tensor in learner.state().items()})
    assert torch.equal(learner.network.state_dict()["encoder.trunk.pos_embed"], before)


@pytest.mark.parametrize("options", [{"encoder_weights": "published"}, {"visual_prompts": 5}, {"encoder": "frozen"}])
def test_a_network_without_encoder_refuses_options_of_one(
    options: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="unet_16 has no encoder"):
        train("unet_16", folder, tmp_path / "refused", **options)


def test_encoder_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no file; expected weights"):
        encoder_weights_file("setr_tiny", str(tmp_path / "none.safetensors"))
    with pytest.raises(WeightsError, match="no package brings weights"):
        encoder_weights_file("setr_tiny", "published")
    assert encoder_weights_file("sam2_unet_tiny_vit", "published").name == "lite_medsam.pth"


def test_the_module_of_a_loss_belongs_to_its_training_alone() -> None:
    settings = RecipeSettings.model_validate({"recipe": "automatic", "options": {"loss": "tversky"}})
    assert recipe_modules(settings) == [
        "mammoflow.segmentation.recipes.automatic",
        "mammoflow.segmentation.mask_losses.tversky",
    ]
