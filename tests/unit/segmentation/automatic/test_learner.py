"""Samples, batches and validation of the training of an automatic model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mammoflow.config.automatic import AutomaticTrainingSettings
from mammoflow.errors import StudyError
from mammoflow.segmentation.automatic.augmentation import augment, cut_patch
from mammoflow.segmentation.automatic.learner import AutomaticLearner
from mammoflow.segmentation.automatic.samples import read_training_images
from mammoflow.segmentation.automatic.sampling import ImageBatch
from mammoflow.segmentation.layers.unet import UNet
from mammoflow.segmentation.networks.grey_levels import grey_channels
from mammoflow.segmentation.networks.unet import UNetModel
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS

from .tiny_images import Disc, Film, study, write_shard


def learner_on(folder: Path, **options: Any) -> AutomaticLearner:
    settings = AutomaticTrainingSettings(**{"side_px": 32, "batch_size": 3, "epochs": 1} | options)
    torch.manual_seed(0)
    model = UNetModel("unet", UNet(base_width=2), "random")
    model.input = NetworkInput(settings.side_px, settings.spacing_mm if settings.input == "patch" else None)
    return AutomaticLearner(model, read_training_images([folder]), settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_shard(tmp_path / "00", study())


def test_training_sees_images_with_and_without_lesions_and_no_test_patient(folder: Path) -> None:
    images = read_training_images([folder])
    assert len(images.rows("train")) == 8
    assert len(images.with_lesions("train")) == 4
    assert images.patients("train") == ["discs/P0", "discs/P1", "discs/P2", "discs/P5"]
    assert images.patients("validation") == ["discs/P3"]
    assert "test" not in set(images.images["split"])


def test_images_whose_reference_is_incomplete_are_left_out(tmp_path: Path) -> None:
    films = [*study(), Film("box", "P9", "train", [Disc(20, 20), Disc(50, 20, box=True)])]
    images = read_training_images([write_shard(tmp_path / "00", films, lost=["P0_b"])])
    assert images.left_out == 2
    assert not {"box", "P0_b"} & set(images.images["image_id"].iloc[images.rows("train")])
    assert {"box", "P0_b"} == set(images.images["image_id"].iloc[images.unlabelled(partly=False)])


def test_two_runs_with_the_same_ids_are_not_mixed_up(folder: Path, tmp_path: Path) -> None:
    again = write_shard(tmp_path / "other" / "00", study()[:1])
    with pytest.raises(StudyError, match=r"1 images have an id that another one has too, such as 'P0_a'"):
        read_training_images([folder, again])


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [("lesions", "area_mm2", 20.0), ("lesions", "diameter_mm", 9.0), ("images", "fully_annotated", False)],
)
def test_a_training_does_not_continue_on_other_references(
    tmp_path: Path, name: str, column: str, value: float | bool
) -> None:
    # the first film has a lesion with a mask and one with a box alone, so that its reference is never complete
    films = [Film("box", "P9", "train", [Disc(20, 20), Disc(50, 20, box=True)]), *study()]
    folder = write_shard(tmp_path / "00", films)
    before = read_training_images([folder]).content()
    assert read_training_images([folder]).content() == before
    schema = {"lesions": CANONICAL_LESIONS, "images": CANONICAL_IMAGES}[name]
    table = read_table(folder / f"{name}.parquet", schema)
    table.loc[0, column] = value
    write_table(table, schema, folder / f"{name}.parquet")
    assert read_training_images([folder]).content() != before


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_side_without_lesions_stops_with_its_name(tmp_path: Path, split: str) -> None:
    films = [film for film in study() if film.split != split or not film.discs]
    with pytest.raises(StudyError, match=f"no {split} image with a lesion"):
        read_training_images([write_shard(tmp_path / "00", films)])


def test_reference_and_image_lie_on_each_other(folder: Path) -> None:
    images = read_training_images([folder])
    for row in images.with_lesions("train"):
        grey, lesions = images.read(int(row), NetworkInput(32))
        assert grey.shape == lesions.shape == (32, 32)
        assert grey[lesions].min() > grey[~lesions & (grey > 0)].mean()


def test_an_epoch_holds_every_image_once_and_follows_from_seed_and_epoch(folder: Path) -> None:
    learner = learner_on(folder)
    first, again, next_epoch = (list(learner.batches(epoch)) for epoch in (0, 0, 1))
    assert [len(batch) for batch in first] == [3, 3, 2]
    assert len(first) == learner.steps()
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.targets, other.targets)
    assert not torch.equal(first[0].inputs, next_epoch[0].inputs)


def test_patches_are_cut_from_every_image(folder: Path) -> None:
    learner = learner_on(folder, input="patch", spacing_mm=0.5, patches=3, lesion_share=1.0)
    batches = list(learner.batches(0))
    assert sum(map(len, batches)) == 24
    assert all(batch.inputs.shape[1:] == (3, 32, 32) for batch in batches)
    with_lesion = sum(int(batch.targets.flatten(1).any(dim=1).sum()) for batch in batches)
    assert with_lesion >= 10  # 12 patches are for a lesion; turning an image may move one out of it


def test_without_augmentation_images_come_as_they_are(folder: Path) -> None:
    learner = learner_on(folder, augmentation="none")
    seen = torch.cat([batch.inputs for batch in learner.batches(0)])
    for row in learner.sampler.rows:
        grey, _ = learner.images.read(int(row), learner.model.input)
        assert any(np.array_equal(grey_channels(grey), each.numpy()) for each in seen)


def test_loss_is_cross_entropy_and_dice(folder: Path) -> None:
    batch = next(iter(learner_on(folder).batches(0)))
    losses = {name: learner_on(folder, loss=name).loss(batch, 0, 0) for name in ("bce", "dice_bce")}
    logits = learner_on(folder).outputs(batch)
    entropy = torch.nn.functional.binary_cross_entropy(logits.sigmoid(), batch.targets)
    probabilities = logits.sigmoid().flatten(1)
    shared = (probabilities * batch.targets.flatten(1)).sum(dim=1)
    dice = (2 * shared + 1) / (probabilities.sum(dim=1) + batch.targets.flatten(1).sum(dim=1) + 1)
    assert losses["bce"].item() == pytest.approx(entropy.item(), rel=1e-4)
    assert losses["dice_bce"].item() == pytest.approx(entropy.item() + (1 - dice).mean().item(), rel=1e-4)


def test_a_batch_is_halved(folder: Path) -> None:
    learner = learner_on(folder)
    batch = ImageBatch(torch.arange(3.0).reshape(3, 1, 1, 1), torch.zeros(3, 1, 1, 1))
    assert [half.inputs.flatten().tolist() for half in learner.split(batch)] == [[0.0, 1.0], [2.0]]
    assert len(learner.split(learner.split(batch)[1])) == 1


def test_validation_gives_the_best_dice_and_its_threshold(folder: Path) -> None:
    learner = learner_on(folder, loss="mse")
    list(learner.batches(0))
    row = int(learner.validation_rows[0])
    _, lesions = learner.images.read(row, learner.model.input)
    assert len(learner.validation_rows) == 1  # the image without a lesion has no Dice
    # A model that is right at thresholds from .3 to .7.
    known = torch.logit(torch.where(torch.from_numpy(lesions), 0.72, 0.28))
    learner.model.logits = lambda batch: known[None, None]  # type: ignore[method-assign]
    figures = learner.validate(0)
    assert figures["validation_dice"] == 1.0
    assert figures["validation_threshold"] == pytest.approx(0.5)
    assert figures["validation_loss"] == pytest.approx(-np.log(0.72), rel=1e-3)
    assert figures["validation_objective"] == pytest.approx(0.28**2, rel=1e-3)  # the loss by name


def test_validation_uses_statistics_of_the_epoch(folder: Path) -> None:
    learner = learner_on(folder)
    layer = next(module for module in learner.network.modules() if isinstance(module, torch.nn.BatchNorm2d))
    layer.running_mean.fill_(100.0)
    learner.mode(training=True)
    list(learner.batches(0))
    learner.mode(training=False)
    with torch.no_grad():
        learner.validate(0)
    assert layer.running_mean.abs().max() < 10
    assert not layer.training


def test_augmentation_moves_image_and_reference_alike() -> None:
    lesions = Disc(30, 20, radius=9).mask()
    channels = np.repeat(np.where(lesions, 2.0, -1.0).astype(np.float32)[None], 3, axis=0)
    for seed in range(10):
        moved, (target,) = augment(channels, [lesions], np.random.default_rng(seed))
        assert moved.shape == channels.shape
        high = moved[0] > (moved[0].max() + moved[0].min()) / 2
        assert np.count_nonzero(high & target) / np.count_nonzero(high | target) > 0.8


def test_a_patch_may_reach_beyond_the_image() -> None:
    lesions = np.zeros((20, 10), dtype=np.bool_)
    lesions[0, 0] = True
    channels = np.ones((1, 20, 10), dtype=np.float32)
    for seed in range(20):
        patch, (target,) = cut_patch(channels, [lesions], 16, True, np.random.default_rng(seed))
        assert patch.shape == (1, 16, 16)
        assert np.count_nonzero(target) == 1
        assert patch[0][target].tolist() == [1.0]
    patch, _ = cut_patch(channels, [lesions], 32, False, np.random.default_rng(0))
    assert patch.sum() == 200
