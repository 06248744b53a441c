"""The command that tunes a promptable model: `tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import (
    check_choice,
    input_folders,
    margin_option,
    model_option,
    output_folder,
    precision_option,
    settings_option,
    store_option,
    threads_option,
    weights_option,
)


@main.command()
@settings_option
@click.option("--method", required=True, help="What is trained: decoder, all, lora or adapters.")
@model_option
@weights_option
@input_folders("--images", "Folder of a shard of images; once for each shard.")
@store_option
@margin_option
@precision_option
@output_folder("Folder of the tuned model, named as the model.")
@threads_option
def tune(
    settings: Path,
    method: Any,
    model: str,
    weights: Path | None,
    images: tuple[Path, ...],
    store: Path,
    default_margin_mm: float,
    precision: Any,
    output: Path,
    threads: int,
) -> None:
    """Tune a promptable model on the training patients of the shards, stopped by their validation patients."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.inference import Precision
    from mammoflow.config.tuning import TuneSettings, TuningMethod

    check_choice("--method", method, TuningMethod)
    check_choice("--precision", precision, Precision)
    from mammoflow.segmentation.tuning.stage import tune as run

    stage = read_settings(TuneSettings, settings)
    run(stage, method, model, weights, list(images), store, default_margin_mm, output, threads, precision)
