"""Few and weak labels of automatic models: hidden labels, boxes, points, whole images, parts of images."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mammoflow.config.automatic import AutomaticTrainingSettings
from mammoflow.config.base import validate_settings
from mammoflow.config.few_labels import FewLabelsSettings, LabelKindSettings
from mammoflow.config.inference import EncoderUse
from mammoflow.config.recipes import RecipeSettings
from mammoflow.config.training import TRAINERS
from mammoflow.errors import ConfigError, StudyError
from mammoflow.segmentation.automatic import box_masks
from mammoflow.segmentation.automatic.box_masks import CutMask, masks_from_boxes
from mammoflow.segmentation.automatic.copy_paste import paste_lesion
from mammoflow.segmentation.automatic.learner import AutomaticLearner
from mammoflow.segmentation.automatic.parts import Decoder, decoded_by_network, encoded
from mammoflow.segmentation.automatic.samples import COMPLETE, UNLABELLED, read_training_images
from mammoflow.segmentation.automatic.targets import Targets, innermost_point
from mammoflow.segmentation.automatic.weak_losses import image_loss, known_loss
from mammoflow.segmentation.layers.unet import UNet
from mammoflow.segmentation.networks.unet import UNetModel
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.segmentation.training_stage import train_segmenter

from .tiny_images import SIZE, SPACING, Disc, Film, study, write_shard

GRID = NetworkInput(64)
"""The pixels of the tiny images, so that a grid is the image itself with 16 columns of nothing."""


def learner_on(folder: Path, width: int = 2, **options: Any) -> AutomaticLearner:
    values = {"side_px": 32, "batch_size": 2, "epochs": 1, **options}
    settings = validate_settings(AutomaticTrainingSettings, values, "options")
    torch.manual_seed(0)
    model = UNetModel("unet", UNet(base_width=width), "random")
    model.input = NetworkInput(settings.side_px)
    return AutomaticLearner(model, read_training_images([folder], settings.few_labels), settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard(tmp_path_factory.mktemp("shard") / "00", study(12))


def test_hidden_labels_are_those_of_whole_training_patients(folder: Path) -> None:
    everything = read_training_images([folder])
    half = read_training_images([folder], FewLabelsSettings(fraction=0.5))
    assert len(everything.patients("train")) == 8
    labelled, hidden = half.patients("train"), half.patients_of(half.unlabelled(partly=False))
    assert len(labelled) == len(hidden) == 4
    assert not set(labelled) & set(hidden)
    assert half.patients("validation") == everything.patients("validation")
    assert set(half.images.loc[half.images["split"] == "validation", "labels"]) == {COMPLETE}
    assert set(half.images["labels"]) == {COMPLETE, UNLABELLED}
    quarter = read_training_images([folder], FewLabelsSettings(fraction=0.25))
    assert set(quarter.patients("train")) < set(labelled)
    assert half.counts(partly=False).facts(FewLabelsSettings(fraction=0.5))["unlabelled_patients"] == 4
    assert half.content() != everything.content()


def test_unlabelled_batches_have_a_size_of_their_own_and_no_reference(folder: Path) -> None:
    few = {"fraction": 0.5, "unlabelled_batch_size": 3, "epoch_batches": 5}
    learner = learner_on(folder, few_labels=few)
    labelled, others = list(learner.batches(0)), list(learner.sampler.unlabelled_batches(0))
    assert [len(batch) for batch in labelled] == [2] * 5 == [2] * learner.steps()
    assert [len(batch) for batch in others] == [3, 3, 2]
    assert not any(bool(batch.targets.any()) for batch in others)
    again = list(learner.sampler.unlabelled_batches(0))
    assert all(torch.equal(one.inputs, other.inputs) for one, other in zip(others, again, strict=True))


@pytest.mark.parametrize("name", [name for name in TRAINERS.names() if name != "supervised"])
def test_every_trainer_learns_from_unlabelled_images_with_a_unet(folder: Path, name: str) -> None:
    learner = learner_on(folder, few_labels={"fraction": 0.5})
    options = TRAINERS.options(name)(start_share=0.0, ramp_share=0.0, weight=50.0)
    trainer = TRAINERS.load(name).wrap(learner, learner.sampler.unlabelled_batches, options)
    trainer.begin(epochs=1)
    if name == "self_training":
        trainer.rounds, trainer.epochs = 2, 2
    trainer.mode(training=True)
    epoch = 1 if name == "self_training" else 0
    batch = next(iter(trainer.batches(epoch)))
    loss = trainer.loss(batch, epoch, 0)
    parameters = [item for group in trainer.groups(1e-3) for item in group["params"]]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    assert bool(torch.isfinite(loss))
    assert sum(float(gradient.abs().sum()) for gradient in gradients if gradient is not None) > 0
    with torch.no_grad():
        learner.mode(training=True)
        assert float(loss.detach()) != pytest.approx(float(learner.loss(batch[0], epoch, 0)))


def test_parts_of_a_unet_compute_what_the_whole_computes() -> None:
    torch.manual_seed(0)
    network = UNet(base_width=2).eval()
    values = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        stages = encoded(network, values)
        assert torch.equal(decoded_by_network(network, stages), network(values))
        decoders = {name: Decoder(network, name).eval() for name in ("bilinear", "nearest", "transposed")}
        logits = {name: decoder(stages) for name, decoder in decoders.items()}
        assert all(each.shape == (2, 1, 32, 32) for each in logits.values())
        decoders["nearest"].load_state_dict(decoders["bilinear"].state_dict())
        assert not torch.equal(decoders["nearest"](stages), logits["bilinear"])
    assert not torch.equal(decoders["bilinear"].head[0][0].weight, network.head[0][0].weight)


def test_another_network_offers_no_features(folder: Path) -> None:
    learner = learner_on(folder)
    learner.network = torch.nn.Identity()
    with pytest.raises(ConfigError, match="mutual_consistency needs the features between encoder and decoder"):
        learner.further_decoders(["nearest"])


def one_film(tmp_path: Path, discs: list[Disc], lost: bool = False, boxes: bool = False) -> Any:
    """Return the training images of a film with some discs, beside those of the study, and the row of the film."""
    films = [*study(), Film("film", "P9", "train", discs)]
    images = read_training_images([write_shard(tmp_path / "00", films, lost=["film"] if lost else [])], None, boxes)
    return images, int(np.flatnonzero(images.images["image_id"] == "film")[0])


def test_points_are_known_in_a_disc_and_far_away(tmp_path: Path) -> None:
    images, row = one_film(tmp_path, [Disc(30, 20)])
    labels = LabelKindSettings(kind="points", point_mm=1.0, healthy_beyond_mm=8.0)
    target = Targets(images, labels).of(row, GRID)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    distance = np.hypot(y - 29.5, x - 19.5) * SPACING
    assert target.unknown is not None
    assert 4 <= np.count_nonzero(target.lesions) <= 16
    assert distance[target.lesions[:, : SIZE[1]]].max() < 1.5
    known_healthy = ~target.unknown[:, : SIZE[1]] & ~target.lesions[:, : SIZE[1]]
    assert distance[known_healthy].min() > 7.0
    assert distance[target.unknown[:, : SIZE[1]]].max() < 9.0


def test_beside_points_what_is_not_annotated_stays_unknown(tmp_path: Path) -> None:
    images, row = one_film(tmp_path, [Disc(14, 14), Disc(50, 30, box=True)])
    labels = LabelKindSettings(kind="points", point_mm=1.0, healthy_beyond_mm=4.0, partly_annotated=True)
    target = Targets(images, labels).of(row, GRID)
    assert target.unknown is not None
    assert target.unknown[44:56, 24:36].all()
    assert not target.unknown[44:56, :20].any()


def test_patients_whose_lesions_have_boxes_alone_are_drawn_as_patients_with_lesions(tmp_path: Path) -> None:
    films = [
        Film(f"F{number}", f"P{number}", "train", [Disc(30, 20, box=True)] if number < 4 else []) for number in range(8)
    ]
    shard = write_shard(tmp_path / "00", [*films, Film("V", "P9", "validation", [Disc(30, 20)])])
    for draw in range(4):
        images = read_training_images([shard], FewLabelsSettings(fraction=0.5, draw=draw), True)
        labelled = images.images[(images.images["split"] == "train") & (images.images["labels"] == COMPLETE)]
        assert (labelled["boxes"].map(len) > 0).tolist().count(True) == 2
        assert len(labelled) == 4


def test_the_innermost_point_is_in_the_mask_even_if_its_middle_is_not() -> None:
    ring = np.zeros((21, 21), dtype=np.bool_)
    ring[2:19, 2:19] = True
    ring[5:16, 4:16] = False
    y, x = innermost_point(ring)
    assert ring[y, x]


def test_boxes_of_a_listed_image_are_unknown_and_the_rest_is_healthy(tmp_path: Path) -> None:
    images, row = one_film(tmp_path, [Disc(14, 14), Disc(50, 30, box=True)])
    assert row not in images.training_rows(partly=False)
    assert row in images.training_rows(partly=True)
    target = Targets(images, LabelKindSettings(partly_annotated=True)).of(row, GRID)
    assert target.unknown is not None
    expected = np.zeros((64, 64), dtype=np.bool_)
    expected[44:56, 24:36] = True
    assert np.array_equal(target.unknown, expected)
    assert np.array_equal(target.lesions[:, : SIZE[1]], Disc(14, 14).mask())


def test_of_an_image_with_unknown_lesions_only_surroundings_of_masks_are_known(tmp_path: Path) -> None:
    images, row = one_film(tmp_path, [Disc(20, 20)], lost=True)
    target = Targets(images, LabelKindSettings(partly_annotated=True, ring_mm=2.0)).of(row, GRID)
    assert target.unknown is not None
    known = ~target.unknown[:, : SIZE[1]]
    assert np.array_equal(np.argwhere(known).min(axis=0), [10, 10])
    assert np.array_equal(np.argwhere(known).max(axis=0), [29, 29])


def test_images_of_which_a_part_is_trained_on_are_not_unlabelled(tmp_path: Path) -> None:
    films = [
        *study(),
        Film("boxed", "P8", "train", [Disc(14, 14), Disc(50, 30, box=True)]),
        Film("lost", "P9", "train"),
    ]
    shard = write_shard(tmp_path / "00", films, lost=["lost"])
    images = read_training_images([shard])
    names = images.images["image_id"]
    assert sorted(names.iloc[images.unlabelled(partly=False)]) == ["boxed", "lost"]
    assert names.iloc[images.unlabelled(partly=True)].tolist() == ["lost"]
    counts = [images.counts(partly) for partly in (False, True)]
    assert [(each.labelled_patients, each.unlabelled_patients) for each in counts] == [(4, 2), (5, 1)]
    learner = learner_on(shard, labels={"partly_annotated": True}, batch_size=20)
    assert [batch.rows for batch in learner.sampler.unlabelled_batches(0)] == [tuple(images.unlabelled(partly=True))]


def test_a_loss_counts_known_pixels_only() -> None:
    logits = torch.tensor([[[[1.0, -2.0], [7.0, -7.0]]]], requires_grad=True)
    targets = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]])
    known = torch.tensor([[[[True, True], [False, False]]]])
    p = [1 / (1 + math.exp(-1.0)), 1 / (1 + math.exp(2.0))]
    entropy = (-math.log(p[0]) - math.log(1 - p[1])) / 2
    overlap = 1 - (2 * p[0] + 1) / (p[0] + p[1] + 1 + 1)
    loss = known_loss(logits, targets, known, with_dice=True)
    assert float(loss.detach()) == pytest.approx(entropy + overlap, rel=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad.flatten() != 0).tolist() == [True, True, False, False]


def test_batches_of_partly_annotated_images_carry_what_is_known(tmp_path: Path) -> None:
    films = [*study(), Film("film", "P9", "train", [Disc(14, 14), Disc(50, 30, box=True)])]
    shard = write_shard(tmp_path / "00", films)
    learner = learner_on(shard, labels={"partly_annotated": True}, augmentation="none", batch_size=20, side_px=64)
    batch = next(iter(learner.batches(0)))
    assert batch.known is not None
    unknown = (~batch.known).flatten(1).sum(dim=1)
    assert sorted(unknown.tolist())[-2:] == [0, 144]
    assert sum(len(half) for half in batch.halves()) == len(batch)
    assert bool(torch.isfinite(learner.loss(batch, 0, 0)))


def test_the_probability_of_an_image_is_the_mean_of_its_largest_pixels() -> None:
    logits = torch.full((2, 1, 10, 10), -20.0)
    logits[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    targets = torch.zeros(2, 1, 10, 10)
    targets[0] = 1
    p = (0.5 + 1 / (1 + math.exp(-1.0))) / 2
    mean = float(logits.sigmoid().mean())
    expected = (-math.log(p) - math.log(1 - 1e-6)) / 2 + 0.3 * mean
    assert float(image_loss(logits, targets, 0.02, 0.3)) == pytest.approx(expected, rel=1e-4)


def test_a_label_of_the_whole_image_does_not_look_at_masks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = learner_on(folder, labels={"kind": "image"}, augmentation="none")
    monkeypatch.setattr(type(learner.images), "read_lesions", lambda *_: pytest.fail("a mask was read"))
    batch = next(iter(learner.batches(0)))
    assert all(len(target.unique()) == 1 for target in batch.targets)
    assert bool(torch.isfinite(learner.loss(batch, 0, 0)))


class Teacher:
    """Marks a whole image, so that only the box limits its masks."""

    digest = "teacher"

    def decode(self, arrays: Any, prompts: Any, size: tuple[int, int]) -> Any:
        logits = np.ones((1, 1, *size), dtype=np.float32)
        return type("Decoded", (), {"logits": logits, "predicted_iou": np.ones((1, 1))})


def test_boxes_become_masks_of_a_model_that_sees_no_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, row = one_film(tmp_path, [Disc(20, 20), Disc(45, 30, box=True)], boxes=True)
    assert images.images["labels"].iloc[row] == COMPLETE
    monkeypatch.setattr(box_masks, "load_promptable", lambda *_: Teacher())
    monkeypatch.setattr(box_masks, "embeddings", lambda _m, table, *_: ((name, {}) for name in table["image_id"]))
    monkeypatch.setattr(type(images), "read_lesions", lambda *_: pytest.fail("a mask was read"))
    labels = LabelKindSettings(kind="boxes", margin_mm=1.0)
    rows = images.training_rows(partly=False)
    boxes = masks_from_boxes(labels, images, rows, tmp_path, torch.device("cpu"), EncoderUse("fp32"))
    assert boxes.digest == "teacher"
    first, second = boxes.lesions(row)
    assert np.array_equal(np.argwhere(first).min(axis=0), [12, 12])
    assert np.count_nonzero(first) == np.count_nonzero(second) == 16 * 16  # 12 pixels and 1 mm on each side
    target = Targets(images, labels, boxes).of(row, GRID)
    assert np.array_equal(target.lesions[:, : SIZE[1]], first | second)


def test_a_cut_mask_is_the_whole_one_again() -> None:
    mask = Disc(20, 30).mask()
    assert np.array_equal(CutMask.of(mask).whole(), mask)
    empty = np.zeros(SIZE, dtype=np.bool_)
    assert np.array_equal(CutMask.of(empty).whole(), empty)


def test_a_pasted_lesion_is_marked_and_stays_in_the_breast() -> None:
    generator = np.random.default_rng(0)
    channels = np.ones((3, *SIZE), dtype=np.float32)
    channels[:, :, 30:] = 0
    lesions = Disc(20, 10, radius=5).mask()
    source = np.where(Disc(30, 20).mask(), 3.0, 1.0)[None].repeat(3, axis=0).astype(np.float32)
    image, reference = paste_lesion(channels, lesions, source, Disc(30, 20).mask(), generator)
    pasted = reference & ~lesions
    assert np.count_nonzero(pasted) == np.count_nonzero(Disc(30, 20).mask())
    assert image[0][pasted].min() == pytest.approx(3.0)
    assert not image[:, :, 30:].any()
    assert not pasted[:, 30:].any()
    far = (image[0] == 1.0) & (channels[0] == 1.0)
    assert np.count_nonzero(far) > 500
    same = paste_lesion(channels, lesions, source, np.zeros(SIZE, dtype=np.bool_), generator)
    assert np.array_equal(same[0], channels)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": {"kind": "image"}, "input": "patch"}, "a patch has no label of its own"),
        ({"labels": {"kind": "image"}, "copy_paste": 0.5}, "copy_paste needs masks"),
        (
            {"labels": {"kind": "points"}, "copy_paste": 0.5},
            "copy_paste needs masks, but options.labels.kind is points",
        ),
        ({"labels": {"kind": "image"}, "augmentation": ["flips", "cutmix"]}, "expected a list without cutmix"),
        ({"labels": {"kind": "boxes", "model": "unet"}}, "takes no prompts"),
    ],
)
def test_labels_that_do_not_fit_are_refused(options: dict[str, Any], words: str) -> None:
    from mammoflow.segmentation.recipes import automatic

    with pytest.raises(ValueError, match=words):
        automatic.check(AutomaticTrainingSettings.model_validate(options), "unet_16", "")


def test_the_record_names_labelled_and_unlabelled_patients(folder: Path, tmp_path: Path) -> None:
    options = {"side_px": 32, "epochs": 1, "device": "cpu", "few_labels": {"fraction": 0.5, "epoch_batches": 1}}
    values = {"recipe": "automatic", "trainer": "mean_teacher", "options": options}
    settings = validate_settings(RecipeSettings, values, "settings")
    train_segmenter(settings, "unet_16", None, [folder], tmp_path / "store", 0.0, tmp_path / "model", 1)
    record = json.loads((tmp_path / "model" / "record.json").read_text(encoding="utf-8"))
    assert (record["label_fraction"], record["label_draw"]) == (0.5, 0)
    assert (record["labelled_patients"], record["unlabelled_patients"]) == (4, 4)
    assert len(record["patients"]) == 8  # the images of the unlabelled ones were seen
    assert (record["steps"], record["labels"]) == (1, "masks")


def test_labels_of_whole_images_need_images_without_a_lesion(tmp_path: Path) -> None:
    films = [film for film in study(12) if film.discs]
    shard = write_shard(tmp_path / "00", films)
    options = {"side_px": 32, "epochs": 1, "device": "cpu", "labels": {"kind": "image"}}
    settings = validate_settings(RecipeSettings, {"recipe": "automatic", "options": options}, "settings")
    with pytest.raises(StudyError, match="all 8 training images have a lesion"):
        train_segmenter(settings, "unet_16", None, [shard], tmp_path / "store", 0.0, tmp_path / "model", 1)
