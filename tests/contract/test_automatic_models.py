"""What every automatic architecture does: maps of an image's size, training that survives a kill, matching."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from _pytest.mark import ParameterSet
from safetensors.torch import load_file

from mammoflow.config.architectures import ARCHITECTURE_MODULES, architecture, architecture_names, module_of
from mammoflow.config.detection import AutomaticSettings, DetectionSettings
from mammoflow.config.recipes import RecipeSettings
from mammoflow.errors import ConfigError
from mammoflow.segmentation.automatic.learner import AutomaticLearner
from mammoflow.segmentation.automatic.loading import load_automatic
from mammoflow.segmentation.automatic.stage import segment_automatic
from mammoflow.segmentation.loading import build_model
from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.segmentation.training_stage import train_segmenter
from mammoflow.tables.detections import DETECTIONS, MAPS
from mammoflow.tables.files import read_table
from mammoflow.tables.masks import MASKS, SEGMENTATION_SCORES
from mammoflow.weights.header import read_header
from mammoflow.weights.registry import ModelSpec

from ..helpers.thin_networks import make_thin
from ..unit.segmentation.automatic.tiny_images import SIZE, study, write_shard

CPU = torch.device("cpu")
AUTOMATIC = [name for name in architecture_names() if architecture(name).segments and not architecture(name).prompted]
# Of each module the first architecture is trained in the usual tests: the others differ in size only. A ResNet has no
# thin size, and its weights and optimiser are slow to write.
FIRST = {next(iter(ARCHITECTURE_MODULES.load(module).ARCHITECTURES)) for module in map(module_of, AUTOMATIC)}
FIRST -= {"sam2_unet_resnet18"}
TRAINED = [name if name in FIRST else pytest.param(name, marks=pytest.mark.slow) for name in AUTOMATIC]
# What happens after a training depends on the learner more than on the network.
SOME = ("unet", "setr_large", "sam2_unet_vgg16")
USED = [name if name in SOME else pytest.param(name, marks=pytest.mark.slow) for name in AUTOMATIC]
PATCHES = {"input": "patch", "spacing_mm": 0.6}
RESUMED = [pytest.param(*each.values, {}, marks=each.marks) if isinstance(each, ParameterSet) else (each, {})
           for each in TRAINED]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def thin_networks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        make_thin(patch)
        yield


def model_of(name: str) -> AutomaticModel:
    torch.manual_seed(0)
    model = build_model(name, None, "random", CPU)
    assert isinstance(model, AutomaticModel)
    return model


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard(tmp_path_factory.mktemp("images") / "00", study())


def train(name: str, images: Path, output: Path, start: ModelSpec | None = None, **options: object) -> None:
    chosen = {"epochs": 2, "batch_size": 4, "side_px": 32, "device": "cpu"} | options
    settings = RecipeSettings.model_validate({"recipe": "automatic", "options": chosen})
    train_segmenter(settings, name, start, [images], output.parent / "store", 10.0, output, threads=1)


@pytest.fixture(scope="module")
def trained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the weights of a training of one epoch, which no test changes."""

    @cache
    def weights(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name) / "mine"
        train(name, images, folder, epochs=1)
        return folder / "model.safetensors"

    return weights


@pytest.mark.parametrize("name", AUTOMATIC)
@pytest.mark.parametrize("grid", [NetworkInput(64), NetworkInput(64, spacing_mm=0.7)])
def test_a_map_has_the_size_of_the_image_and_holds_probabilities(name: str, grid: NetworkInput) -> None:
    model = model_of(name)
    image = np.random.default_rng(0).integers(0, 65536, SIZE, dtype=np.uint16)
    placed = grid.place(image, (0.5, 0.5))
    (probability,) = model.probability_maps([placed])
    assert probability.shape == placed.shape
    assert probability.dtype == np.float32
    assert 0 <= probability.min() <= probability.max() <= 1
    assert grid.restore(probability, SIZE, (0.5, 0.5)).shape == SIZE


@pytest.mark.parametrize("name", AUTOMATIC)
def test_images_of_a_batch_do_not_touch_each_other(name: str) -> None:
    model = model_of(name)
    images = list(np.random.default_rng(0).integers(0, 65536, (2, 64, 64), dtype=np.uint16))
    together = model.probability_maps(images)
    alone = [model.probability_maps([image])[0] for image in images]
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("name", AUTOMATIC)
def test_gradients_reach_every_parameter(name: str) -> None:
    model = model_of(name)
    model.network.train()
    inputs = torch.stack([model.preprocess(np.full((64, 64), 900, np.uint16)), torch.rand_like(model.preprocess(
        np.zeros((64, 64), np.uint16)))])  # fmt: skip
    torch.stack([logits.square().mean() for logits in model.training_logits(inputs)]).sum().backward()
    assert all(parameter.grad is not None for parameter in model.network.parameters())


@pytest.mark.parametrize(("name", "options"), [*RESUMED, ("unet", PATCHES)])
def test_a_killed_training_continues_to_the_same_weights(
    name: str, options: dict[str, object], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(name, images, tmp_path / "whole" / "unet", **options)
    validate = AutomaticLearner.validate

    def stopped(self: AutomaticLearner, epoch: int) -> dict[str, float]:
        if epoch == 1:
            raise KeyboardInterrupt
        return validate(self, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(AutomaticLearner, "validate", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(name, images, tmp_path / "killed" / "unet", **options)
    train(name, images, tmp_path / "killed" / "unet", **options)
    whole, killed = (load_file(tmp_path / each / "unet" / "model.safetensors") for each in ("whole", "killed"))
    assert whole.keys() == killed.keys()
    assert all(torch.equal(whole[key], killed[key]) for key in whole)
    records = [json.loads((tmp_path / each / "unet" / "record.json").read_text()) for each in ("whole", "killed")]
    assert [record["resumed_from"] for record in records] == [0, 1]
    assert records[0]["threshold"] == records[1]["threshold"]
    assert not (tmp_path / "killed" / ".training").exists()


@pytest.mark.parametrize("name", USED)
def test_what_was_trained_segments(name: str, trained: Callable[[str], Path], images: Path, tmp_path: Path) -> None:
    weights = trained(name)
    record = json.loads((weights.parent / "record.json").read_text())
    setup = read_header(weights).automatic
    assert setup is not None
    assert (setup.side_px, setup.spacing_mm, setup.threshold) == (32, None, record["threshold"])
    assert record["patients"] == ["discs/P0", "discs/P1", "discs/P2", "discs/P5"]
    assert record["validation_patients"] == ["discs/P3"]
    assert "seconds" in record
    assert len((weights.parent / "history.csv").read_text().splitlines()) == 2

    spec = ModelSpec("mine", name, weights)
    model = load_automatic(spec, CPU, "fp32")
    assert (model.input, model.threshold) == (NetworkInput(32), setup.threshold)
    output = tmp_path / "segmentation"
    settings = AutomaticSettings(device="cpu", precision="fp32", detection=DetectionSettings(least_area_mm2=0))
    segment_automatic(settings, spec, images, output, threads=1)
    maps, scores = read_table(output / "maps.parquet", MAPS), read_table(output / "scores.parquet", SEGMENTATION_SCORES)
    detections, masks = (
        read_table(output / "detections.parquet", DETECTIONS),
        read_table(output / "masks.parquet", MASKS),
    )
    assert len(maps) == len(study())
    assert set(maps["threshold"]) == {setup.threshold}
    assert len(scores) == sum(len(film.discs) for film in study())
    matched = detections[detections["is_mask"]]
    assert sorted(matched["lesion_id"]) == sorted(masks["lesion_id"])
    assert scores.set_index("lesion_id")["iou"].loc[matched["lesion_id"]].tolist() == pytest.approx(
        matched["iou"].tolist()
    )
    # The record names patients of a source that is no phantom; all but the test patient are seen.
    assert maps.groupby("patient_id")["seen"].all().to_dict() == {f"P{number}": number != 4 for number in range(6)}


@pytest.mark.parametrize("name", USED)
def test_a_training_may_start_from_another_one(
    name: str, trained: Callable[[str], Path], images: Path, tmp_path: Path
) -> None:
    first = trained(name)
    start, second = ModelSpec("first", name, first), tmp_path / "second"
    train(name, images, second, start, epochs=1, learning_rate=1e-9, augmentation="none")
    before, after = load_file(first), load_file(second / "model.safetensors")
    changes = {
        key: (before[key].float() - after[key].float()).abs().max().item() for key in before if "running" not in key
    }
    assert all(change < 1e-6 for key, change in changes.items() if "num_batches" not in key)
    record = json.loads((second / "record.json").read_text())
    assert record["from"] == "first"
    assert "seen by first/P0" in record["patients"]


def test_a_promptable_model_is_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs prompts"):
        train("small", images, tmp_path / "small")
