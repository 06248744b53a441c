"""Trainings of segmentation models at the edge end with weights, or with one sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from mammoflow.config.automatic import AutomaticTrainingSettings
from mammoflow.config.recipes import RecipeSettings
from mammoflow.config.small import SmallTrainingSettings
from mammoflow.errors import StudyError
from mammoflow.segmentation.automatic.learner import AutomaticLearner
from mammoflow.segmentation.automatic.samples import read_training_images
from mammoflow.segmentation.layers.unet import UNet
from mammoflow.segmentation.networks.unet import UNetModel
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.segmentation.training_stage import train_segmenter
from mammoflow.training.loop import Fit, fit
from mammoflow.training.plan import Plan

from .tiny_images import study, write_shard


def fewest(folder: Path, splits: tuple[str, ...]) -> Path:
    """Keep one image with a lesion of each split in a shard."""
    images, lesions = (pd.read_parquet(folder / f"{name}.parquet") for name in ("images", "lesions"))
    chosen = lesions[lesions["split"].isin(splits)].drop_duplicates("split")
    images[images["image_id"].isin(chosen["image_id"])].to_parquet(folder / "images.parquet")
    chosen.to_parquet(folder / "lesions.parquet")
    return folder


def train(recipe: str, architecture: str, options: Any, folder: Path, output: Path) -> Path:
    settings = RecipeSettings(recipe=recipe, options=options)
    train_segmenter(settings, architecture, None, [folder], output.parent / "store", 10.0, output, threads=1)
    return output / "model.safetensors"


def fit_thin(folder: Path, state: Path, rate: float, batch_size: int) -> Fit:
    """Train a thin U-Net on pictures of the smallest side."""
    options = AutomaticTrainingSettings(epochs=2, batch_size=batch_size, side_px=32, device="cpu")
    torch.manual_seed(0)
    model = UNetModel("unet", UNet(base_width=2), "random")
    model.input = NetworkInput(32, None)
    learner = AutomaticLearner(model, read_training_images([folder]), options)
    return fit(learner, replace(Plan.of(options, torch.device("cpu")), learning_rate=rate), state, "thin")


@pytest.mark.parametrize("batch_size", [1, 4])
def test_one_image_of_the_smallest_side_is_enough_for_an_automatic_model(tmp_path: Path, batch_size: int) -> None:
    folder = fewest(write_shard(tmp_path / "00", study()), ("train", "validation"))
    assert len(fit_thin(folder, tmp_path / "state", 1e-3, batch_size).history) == 2


@pytest.mark.parametrize("rate", [1e20, 1e38, 1e300])
def test_a_huge_learning_rate_is_one_sentence(tmp_path: Path, rate: float) -> None:
    folder = fewest(write_shard(tmp_path / "00", study()), ("train", "validation"))
    with pytest.raises(StudyError, match="Lower the learning rate"):
        fit_thin(folder, tmp_path / "state", rate, 1)


def test_one_lesion_is_enough_for_small(tmp_path: Path) -> None:
    folder = fewest(write_shard(tmp_path / "00", study()), ("train",))
    options = SmallTrainingSettings(epochs=1, batch_size=1, prompts=1, device="cpu")
    assert train("small", "small", options, folder, tmp_path / "mine").is_file()


@pytest.mark.parametrize(
    ("recipe", "options", "splits", "said"),
    [
        ("small", SmallTrainingSettings(epochs=1), ("validation",), "no training lesion with a mask"),
        ("automatic", AutomaticTrainingSettings(epochs=1), ("train",), "no validation image with a lesion"),
        ("automatic", AutomaticTrainingSettings(epochs=1), ("validation",), "no train image with a lesion"),
    ],
)
def test_a_side_without_lesions_stops_before_training(
    tmp_path: Path, recipe: str, options: Any, splits: tuple[str, ...], said: str
) -> None:
    folder = fewest(write_shard(tmp_path / "00", study()), splits)
    with pytest.raises(StudyError, match=said):
        train(recipe, "small" if recipe == "small" else "unet", options, folder, tmp_path / "mine")
