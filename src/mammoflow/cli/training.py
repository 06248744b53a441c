"""The command that trains a segmentation model: `train-segmenter`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import (
    encoder_options,
    file,
    input_folders,
    margin_option,
    output_folder,
    settings_option,
    store_option,
    threads_option,
    weights_option,
)
from mammoflow.cli.summary import say_end

if TYPE_CHECKING:
    from mammoflow.config.inference import EncoderUse


@main.command("train-segmenter")
@settings_option
@click.option("--architecture", required=True, help="Architecture of the model, such as small or unet.")
@click.option("--from", "start", default="", show_default=False, help="Model to start from; random weights if omitted.")
@weights_option
@click.option("--lesion-weights", type=file(), help="Weights of the model that draws synthetic lesions.")
@input_folders("--images", "Folder of a shard of images; once for each shard.")
@store_option
@margin_option
@encoder_options
@output_folder("Folder of the weights, with the name of the model.")
@threads_option
def train_segmenter(
    settings: Path,
    architecture: str,
    start: str,
    weights: Path | None,
    lesion_weights: Path | None,
    images: tuple[Path, ...],
    store: Path,
    default_margin_mm: float,
    use: EncoderUse,
    output: Path,
    threads: int,
) -> None:
    """Train a segmentation model on training patients."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.recipes import RecipeSettings
    from mammoflow.segmentation.training_stage import train_segmenter as run
    from mammoflow.weights.registry import ModelSpec

    stage = read_settings(RecipeSettings, settings)
    begin = ModelSpec(start, architecture, weights) if start else None
    files = (list(images), store, default_margin_mm, output)
    run(stage, architecture, begin, *files, threads, use, lesion_weights)
    say_end("train-segmenter", output)
