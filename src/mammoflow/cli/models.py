"""Commands that train classifiers: `efficientnet`, `perceptron`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import (
    check_choice,
    input_files,
    input_folders,
    margin_option,
    model_options,
    output_folder,
    precision_option,
    settings_option,
    store_option,
    threads_option,
)

if TYPE_CHECKING:
    from mammoflow.weights.registry import ModelSpec


@main.command()
@settings_option
@click.option("--input", "kind", required=True, help="What the network sees, as in the configuration.")
@input_folders("--images", "Folder of a shard of images; once for each shard.")
@input_folders("--masks", "Folder of a shard's masks; once for each shard.")
@input_files("--radiomics", "Radiomics of a shard; once for each shard where the network sees them.", required=False)
@output_folder("Folder of the classifier.")
@threads_option
def efficientnet(
    settings: Path,
    kind: Any,
    images: tuple[Path, ...],
    masks: tuple[Path, ...],
    radiomics: tuple[Path, ...],
    output: Path,
    threads: int,
) -> None:
    """Train EfficientNet-B0 on one kind of input and predict all splits."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.classification import EfficientNetInput, EfficientNetTraining

    check_choice("--input", kind, EfficientNetInput)
    from mammoflow.classification.efficientnet_stage import train_efficientnet

    stage = read_settings(EfficientNetTraining, settings)
    train_efficientnet(stage, kind, list(images), list(masks), list(radiomics), output, threads)


@main.command()
@settings_option
@click.option("--variant", required=True, help="What is trained beside the perceptron, as in the configuration.")
@model_options
@input_folders("--images", "Folder of a shard of images; once for each shard.")
@input_folders("--masks", "Folder of a shard's masks; once for each shard.")
@input_files("--prompts", "Prompts of a shard; once for each shard.")
@store_option
@margin_option
@precision_option
@output_folder("Folder of the classifier.")
@threads_option
def perceptron(
    settings: Path,
    variant: Any,
    model: ModelSpec,
    images: tuple[Path, ...],
    masks: tuple[Path, ...],
    prompts: tuple[Path, ...],
    store: Path,
    default_margin_mm: float,
    precision: Any,
    output: Path,
    threads: int,
) -> None:
    """Train the perceptron on a promptable model's embeddings and predict all splits."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.classification import PerceptronTraining, PerceptronVariant
    from mammoflow.config.inference import Precision

    check_choice("--variant", variant, PerceptronVariant)
    check_choice("--precision", precision, Precision)
    from mammoflow.classification.perceptron_stage import train_perceptron

    stage = read_settings(PerceptronTraining, settings)
    inputs = (list(images), list(masks), list(prompts))
    train_perceptron(stage, variant, model, *inputs, store, default_margin_mm, output, threads, precision)
