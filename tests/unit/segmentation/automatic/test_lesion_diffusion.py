"""Diffusion of lesion crops: noising and loss by hand, sampling of a known Gaussian, whose lesions are learned from."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mammoflow.config.lesion_diffusion import LesionDiffusionSettings
from mammoflow.config.recipes import RecipeSettings, recipe_modules
from mammoflow.config.synthetic_lesions import GENERATOR, SyntheticLesionSettings
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.imaging.geometry import box_of
from mammoflow.segmentation.automatic.copy_paste import paste_levels
from mammoflow.segmentation.automatic.lesion_crops import LEVEL_DEVIATIONS, lesion_crops
from mammoflow.segmentation.automatic.samples import read_training_images
from mammoflow.segmentation.automatic.sampling import Sampler
from mammoflow.segmentation.automatic.synthetic_lesions import (
    SyntheticLesions,
    changed_shape,
    draw_lesions,
    load_generator,
)
from mammoflow.segmentation.diffusion.learner import CropBatch, DiffusionLearner
from mammoflow.segmentation.diffusion.network import LesionUNet
from mammoflow.segmentation.diffusion.process import TIMES, noised, sampled, signal_shares
from mammoflow.segmentation.loading import build_model
from mammoflow.segmentation.protocol.lesion_generator import LESION_PX, MALIGNANT, SIDE, UNKNOWN
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.segmentation.training_stage import train_segmenter
from mammoflow.storage.files import file_digest

from .tiny_images import SIZE, SPACING, Disc, study, write_shard

CPU = torch.device("cpu")
TINY = {"width": 8, "epochs": 2, "batch_size": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shard(tmp_path_factory.mktemp("shard") / "00", study(6))


def train(
    recipe: str, architecture: str, folder: Path, output: Path, weights: Path | None = None, **options: Any
) -> Path:
    settings = RecipeSettings.model_validate({"recipe": recipe, "options": options})
    train_segmenter(settings, architecture, None, [folder], output / "store", 10.0, output, 1, lesion_weights=weights)
    return output / "model.safetensors"


@pytest.fixture(scope="module")
def weights(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(GENERATOR, GENERATOR, folder, tmp_path_factory.mktemp("trained") / "lesions", **TINY)


def random_network() -> LesionUNet:
    """Return a network without its zero-initialised parts."""
    torch.manual_seed(0)
    network = LesionUNet(8)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


def cosine_share(time: int) -> float:
    """Return alpha-bar of Nichol and Dhariwal, equation 17, for betas below their limit; times count from 1 there."""
    curve = [math.cos((step / TIMES + 0.008) / 1.008 * math.pi / 2) ** 2 for step in (time + 1, 0)]
    return curve[0] / curve[1]


def test_noised_images_have_the_mean_and_variance_of_the_cosine_schedule() -> None:
    torch.manual_seed(0)
    assert signal_shares()[0] > 0.9999
    assert signal_shares()[-1] < 1e-6
    for time in (0, 250, 700):
        share = cosine_share(time)
        values = noised(torch.full((1, 1, 300, 300), 0.5), torch.randn(1, 1, 300, 300), torch.tensor([time]))
        assert float(values.mean()) == pytest.approx(0.5 * math.sqrt(share), abs=0.012)
        assert float(values.var()) == pytest.approx(1 - share, rel=0.02)


def test_the_loss_of_a_step_is_the_mean_squared_error_of_v(folder: Path) -> None:
    images = read_training_images([folder])
    crops = lesion_crops(images, images.with_lesions("train"))
    network, time, generator = random_network(), 400, torch.Generator().manual_seed(1)
    learner = DiffusionLearner(network, crops, crops, LesionDiffusionSettings(width=8), CPU)
    image, mask = (torch.from_numpy(each[:1, None].astype(np.float32)) for each in (crops.levels, crops.masks))
    noise, kind = torch.randn(1, 1, SIDE, SIDE, generator=generator), torch.tensor([MALIGNANT])
    signal, spread = math.sqrt(cosine_share(time)), math.sqrt(1 - cosine_share(time))
    with torch.no_grad():
        found = learner.error(CropBatch(image, mask, kind), torch.tensor([time]), noise)
        predicted = network(signal * image + spread * noise, torch.tensor([time]), mask, kind)
    assert float(found) == pytest.approx(float(((predicted - (signal * noise - spread * image)) ** 2).mean()), rel=1e-4)


def test_sampling_with_a_perfect_denoiser_recovers_a_gaussian() -> None:
    mean, deviation = 0.3, 0.1
    torch.manual_seed(0)

    def oracle(values: Tensor, times: Tensor) -> Tensor:
        share = torch.tensor(cosine_share(int(times[0])) if times[0] < TIMES - 1 else 0.0)
        signal, variance = share.sqrt(), 1 - share
        gain = deviation**2 * signal / (deviation**2 * share + variance)
        expected = mean + gain * (values - signal * mean)
        return (signal * values - expected) / variance.sqrt()

    drawn = sampled(oracle, torch.randn(1, 1, SIDE, SIDE), 200)
    assert float(drawn.mean()) == pytest.approx(mean, abs=0.005)
    assert float(drawn.std()) == pytest.approx(deviation, rel=0.06)


def test_mask_time_and_malignancy_reach_the_network() -> None:
    network = random_network()
    crops, mask = torch.randn(1, 1, SIDE, SIDE), torch.zeros(1, 1, SIDE, SIDE)
    first = {"times": torch.tensor([5]), "masks": mask, "classes": torch.tensor([0])}
    changed = mask.clone()
    changed[..., 20:40, 20:40] = 1
    with torch.no_grad():
        before = network(crops, **first)
        for name, value in (("times", torch.tensor([900])), ("masks", changed), ("classes", torch.tensor([UNKNOWN]))):
            assert float((network(crops, **{**first, name: value}) - before).abs().max()) > 1e-3


def test_a_crop_has_the_lesion_in_fixed_pixels_and_levels_in_deviations(folder: Path) -> None:
    images = read_training_images([folder])
    rows = images.with_lesions("train")
    crops = lesion_crops(images, rows)
    assert len(crops) == len(rows) == 4
    assert set(crops.classes) == {MALIGNANT}
    for number, row in enumerate(rows):
        (mask,) = images.read_lesions(int(row))
        y0, x0, y1, x1 = box_of(mask)  # type: ignore[misc]
        assert crops.longest_mm[number] == max(y1 - y0, x1 - x0) * SPACING
        b0, c0, b1, c1 = box_of(crops.masks[number])  # type: ignore[misc]
        assert max(b1 - b0, c1 - c0) == pytest.approx(LESION_PX, abs=2)
        assert abs((b0 + b1) / 2 - SIDE / 2) <= 2
        grey = images.read_picture(int(row), NetworkInput(64)).astype(float)[: SIZE[0], : SIZE[1]]
        # discs of 50000 on a background with a mean of 15000
        expected = min(1.0, 35000 / (LEVEL_DEVIATIONS * grey.std()))
        assert float(crops.levels[number, SIDE // 2, SIDE // 2]) == pytest.approx(expected, rel=0.03)
        assert abs(float(crops.levels[number, :6].mean())) < 0.1


def test_a_changed_shape_keeps_its_size_in_pixels_and_says_that_in_millimetres() -> None:
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    ellipse = (x / 16) ** 2 + (y / 8) ** 2 <= 1
    generator = np.random.default_rng(0)
    for _ in range(20):
        mask, factor = changed_shape(ellipse, generator)
        y0, x0, y1, x1 = box_of(mask)  # type: ignore[misc]
        assert max(y1 - y0, x1 - x0) == pytest.approx(LESION_PX, abs=2)
        # the area in square millimetres changes with the square of a scale between 0.8 and 1.25
        assert 0.78 < math.sqrt(mask.sum() / ellipse.sum()) * factor < 1.28


def test_a_killed_training_of_the_diffusion_continues_to_the_same_weights(
    folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate = DiffusionLearner.validate

    def stopped(self: DiffusionLearner, epoch: int) -> dict[str, float]:
        if epoch == 1:
            raise KeyboardInterrupt
        return validate(self, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(DiffusionLearner, "validate", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(GENERATOR, GENERATOR, folder, tmp_path / "lesions", **TINY)
    again = train(GENERATOR, GENERATOR, folder, tmp_path / "lesions", **TINY)
    assert json.loads(again.with_name("record.json").read_text())["resumed_from"] == 1
    whole, killed = load_file(weights), load_file(again)
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


def test_only_training_patients_are_learned_from(folder: Path, weights: Path, tmp_path: Path) -> None:
    record = json.loads(weights.with_name("record.json").read_text())
    assert record["patients"] == ["discs/P0", "discs/P1", "discs/P2", "discs/P5"]
    assert record["validation_patients"] == ["discs/P3"]  # a figure of the history; no choice depends on them
    assert (record["chosen_epoch"], record["lesions"]) == (2, {"benign": 0, "malignant": 4, "unknown": 0})
    half = train(GENERATOR, GENERATOR, folder, tmp_path / "half", **TINY, few_labels={"fraction": 0.5})
    fewer = json.loads(half.with_name("record.json").read_text())
    assert set(fewer["patients"]) < set(record["patients"])
    assert fewer["lesions"]["malignant"] == len(fewer["patients"]) == 2


def test_drawn_lesions_are_finite_in_range_and_the_same_again(folder: Path, weights: Path) -> None:
    images, settings = read_training_images([folder]), SyntheticLesionSettings(model="lesions", number=3, steps=2)
    generator = load_generator(weights, CPU)
    first, again, other = (draw_lesions(generator, images, settings, seed) for seed in (0, 0, 1))
    assert first.levels.shape == first.masks.shape == (3, SIDE, SIDE)
    assert np.isfinite(first.levels).all()
    assert 0.01 < np.abs(first.levels).max() <= LEVEL_DEVIATIONS
    assert np.array_equal(first.levels, again.levels)
    assert first.digest == again.digest != other.digest


def test_a_synthetic_lesion_is_blended_with_its_size_and_its_level() -> None:
    levels = np.where(Disc(32, 32, radius=16).mask()[:, :48], 1.5, 0.0)
    square = np.zeros((SIDE, SIDE), dtype=np.float32)
    square[:, :48] = levels
    lesions = SyntheticLesions(square[None], square[None] > 0, np.array([16 * SPACING]), "digest")
    piece, mask = lesions.on_grid(0, (SPACING, SPACING))
    y0, x0, y1, x1 = box_of(mask)  # type: ignore[misc]
    assert max(y1 - y0, x1 - x0) == pytest.approx(16, abs=1)
    channels = np.random.default_rng(0).normal(5.0, 2.0, (3, *SIZE)).astype(np.float32)
    channels[:, :, 40:] = 0
    nothing = np.zeros(SIZE, dtype=np.bool_)
    image, reference = paste_levels(channels, nothing, piece, mask, np.random.default_rng(3))
    assert np.count_nonzero(reference) == np.count_nonzero(mask)
    assert not reference[:, 40:].any()
    assert not image[:, :, 40:].any()
    added = (image - channels)[:, reference]
    assert np.median(added) == pytest.approx(1.5 * 2.0, rel=0.05)


def test_training_with_synthetic_lesions_uses_them_and_says_so(
    folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pasted: list[np.ndarray] = []
    with_pasted = Sampler._with_pasted

    def watched(self: Sampler, row: int, channels: Any, lesions: Any, generator: Any) -> Any:
        changed = with_pasted(self, row, channels, lesions, generator)
        assert self.synthetic is not None
        pasted.append(np.count_nonzero(changed[1]) - np.count_nonzero(lesions))
        return changed

    monkeypatch.setattr(Sampler, "_with_pasted", watched)
    synthetic = {"model": "crops", "number": 2, "steps": 2}
    options = {"side_px": 32, "epochs": 1, "device": "cpu", "copy_paste": 1.0, "synthetic_lesions": synthetic}
    record = json.loads(
        train("automatic", "unet_16", folder, tmp_path / "unet", weights, **options)
        .with_name("record.json")
        .read_text()
    )
    assert max(pasted) > 0
    assert record["supplementary"] == {"synthetic_lesions": 1.0}
    assert (record["lesion_model"], record["synthetic_lesions"]) == ("crops", 2)
    assert record["lesion_model_sha256"] == file_digest(weights)
    assert "seen by crops/P0" in record["patients"]
    with pytest.raises(WeightsError, match="name it with --lesion-weights"):
        train("automatic", "unet_16", folder, tmp_path / "without", None, **options)
    settings = RecipeSettings.model_validate({"recipe": "automatic", "options": options})
    assert "mammoflow.segmentation.models.lesion_diffusion" in recipe_modules(settings)


def test_what_draws_lesions_makes_no_masks() -> None:
    with pytest.raises(ConfigError, match="draws lesions and makes no masks"):
        build_model(GENERATOR, None, "random", CPU)
