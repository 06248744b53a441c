"""Commands that train segmentation models: `train-segmenter` and `search-segmenter`."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import (
    Command,
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


def training_options(command: Command) -> Command:
    """Add the options that name what a segmentation training reads; the command gets them as keywords of its stage.

    `architecture`, `start`, `images`, `store`, `default_margin_mm`, `use` and `lesion_weights` come as `task`.
    """

    @click.option("--architecture", required=True, help="Architecture of the model, such as small or unet.")
    @click.option(
        "--from", "start", default="", show_default=False, help="Model to start from; random weights if omitted."
    )
    @weights_option
    @click.option("--lesion-weights", type=file(), help="Weights of the model that draws synthetic lesions.")
    @input_folders("--images", "Folder of a shard of images; once for each shard.")
    @store_option
    @margin_option
    @encoder_options
    @wraps(command)
    def with_task(
        architecture: str,
        start: str,
        weights: Path | None,
        lesion_weights: Path | None,
        images: tuple[Path, ...],
        store: Path,
        default_margin_mm: float,
        use: EncoderUse,
        **arguments: Any,
    ) -> Any:
        from mammoflow.weights.registry import ModelSpec

        task = {
            "architecture": architecture,
            "start": ModelSpec(start, architecture, weights) if start else None,
            "images": list(images),
            "store": store,
            "default_margin_mm": default_margin_mm,
            "use": use,
            "lesion_weights": lesion_weights,
        }
        return command(task=task, **arguments)

    return cast(Command, with_task)


@main.command("train-segmenter")
@settings_option
@output_folder("Folder of the weights, with the name of the model.")
@training_options
@threads_option
def train_segmenter(settings: Path, task: dict[str, Any], output: Path, threads: int) -> None:
    """Train a segmentation model on training patients."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.recipes import RecipeSettings
    from mammoflow.segmentation.training_stage import train_segmenter as run

    run(read_settings(RecipeSettings, settings), output=output, threads=threads, **task)
    say_end("train-segmenter", output)


@main.command("search-segmenter", hidden=True)  # the workflow calls it
@settings_option
@click.option("--name", required=True, help="Name of the search.")
@output_folder("Folder of the search.")
@training_options
@threads_option
def search_segmenter(settings: Path, name: str, task: dict[str, Any], output: Path, threads: int) -> None:
    """Search for the best options of a segmentation training.

    Trials are trained on inner folds of the training patients.
    """
    from mammoflow.config.base import read_settings
    from mammoflow.config.model_search import ModelSearchJob

    job = read_settings(ModelSearchJob, settings)
    from mammoflow.evaluation.search_figure import draw_trials
    from mammoflow.segmentation.search.stage import search_segmenter as run

    run(job, name, output=output, threads=threads, **task)
    draw_trials(output)
