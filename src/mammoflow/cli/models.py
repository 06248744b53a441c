"""Commands on classifiers: `classify`, `saliency`, `search`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import (
    Command,
    encoder_options,
    file,
    folder,
    input_files,
    input_folder,
    input_folders,
    output_folder,
    settings_option,
    threads_option,
)
from mammoflow.cli.summary import say_end
from mammoflow.errors import ConfigError

if TYPE_CHECKING:
    from mammoflow.classification.samples import Files
    from mammoflow.config.inference import EncoderUse


def files_options(command: Command) -> Command:
    """Add the options that name what earlier stages wrote; the command gets `files`, which reads them when called."""

    @input_folders("--images", "Folder of a shard of images; once for each shard.")
    @input_folders(
        "--masks", "Folder of a shard's masks; once for each shard, if the input needs them.", required=False
    )
    @input_files(
        "--scores", "Scores of a shard; once for each shard, to tell which patients were seen.", required=False
    )
    @input_files("--prompts", "Prompts of a shard; once for each shard, if the input needs them.", required=False)
    @input_files(
        "--features", "Table FAMILY/SHARD.parquet of features; once for each family and shard.", required=False
    )
    @click.option("--model", help="Name of the promptable model, if the input needs one.")
    @click.option(
        "--architecture",
        default="",
        show_default=False,
        help="Architecture of the model, unless it is a published one.",
    )
    @click.option("--weights", type=file(), help="Weights of the model.")
    @click.option("--network-weights", type=file(), help="Initial weights of the network.")
    @click.option("--store", type=folder(), help="Folder of the embeddings, if the input needs a promptable model.")
    @click.option("--default-margin-mm", type=float, help="Margin of the prompts, if the input needs them.")
    @encoder_options
    @wraps(command)
    def with_files(
        images: tuple[Path, ...],
        masks: tuple[Path, ...],
        scores: tuple[Path, ...],
        prompts: tuple[Path, ...],
        features: tuple[Path, ...],
        model: str | None,
        architecture: str,
        weights: Path | None,
        network_weights: Path | None,
        store: Path | None,
        default_margin_mm: float | None,
        use: EncoderUse,
        **arguments: Any,
    ) -> Any:
        def files() -> Files:
            from mammoflow.classification.samples import Files, PromptableSource
            from mammoflow.weights.registry import ModelSpec

            promptable = None
            if model is not None:
                if store is None or default_margin_mm is None:
                    raise ConfigError("--model is given alone; expected --store and --default-margin-mm beside it")
                spec = ModelSpec(model, architecture or model, weights)
                promptable = PromptableSource(spec, use, store, default_margin_mm)
            tables = (list(images), list(masks), list(prompts), list(features), list(scores))
            return Files(*tables, promptable, network_weights)

        return command(files=files, **arguments)

    return cast(Command, with_files)


@main.command()
@settings_option
@click.option("--name", required=True, help="The classifier's name in the tables.")
@files_options
@click.option(
    "--trained",
    type=folder(exists=True),
    help="Classifier of a finished run, to apply.",
)
@click.option("--classes", type=file(exists=True), help="Table of the classes of the images.")
@output_folder("Folder of the classifier.")
@threads_option
def classify(
    settings: Path,
    name: str,
    files: Callable[[], Files],
    trained: Path | None,
    classes: Path | None,
    output: Path,
    threads: int,
) -> None:
    """Train a classifier with its seeds; predict all lesions."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.classification import ClassifierSettings

    stage = read_settings(ClassifierSettings, settings)
    if trained is not None:
        from mammoflow.classification.applied import apply_trained

        apply_trained(stage, name, files(), trained, output, threads)
    elif stage.target == "classes":
        from mammoflow.classification.classes.stage import train_class_classifier

        train_class_classifier(stage, name, replace(files(), classes=classes), output, threads)
    else:
        from mammoflow.classification.stage import train_classifier

        train_classifier(stage, name, files(), output, threads)
    say_end("classify", output)


@main.command()
@settings_option
@input_folder("--classifier", "Folder of the trained classifier.")
@input_folders("--images", "Folder of a shard of images; once for each shard.")
@input_folders("--masks", "Folder of a shard's masks; once for each shard, if the input needs them.", required=False)
@output_folder("Folder of the table and the pictures.")
@threads_option
def saliency(
    settings: Path, classifier: Path, images: tuple[Path, ...], masks: tuple[Path, ...], output: Path, threads: int
) -> None:
    """Make saliency maps of a trained classifier.

    This command also compares them with the reference masks.
    """
    from mammoflow.config.base import read_settings
    from mammoflow.config.saliency import SaliencyJob

    stage = read_settings(SaliencyJob, settings)
    from mammoflow.classification.saliency.stage import write_saliency
    from mammoflow.classification.samples import Files

    write_saliency(stage, classifier, Files(list(images), list(masks)), output, threads)
    say_end("saliency", output)


@main.command()
@settings_option
@click.option("--name", required=True, help="Name of the search.")
@files_options
@output_folder("Folder of the search.")
@threads_option
def search(settings: Path, name: str, files: Callable[[], Files], output: Path, threads: int) -> None:
    """Search for the best settings of a classifier.

    Trials are trained on inner folds of the training patients.
    """
    from mammoflow.config.base import read_settings
    from mammoflow.config.search_job import SearchJob

    job = read_settings(SearchJob, settings)
    from mammoflow.classification.search.stage import search_classifier
    from mammoflow.evaluation.search_figure import draw_trials

    search_classifier(job, name, files(), output, threads)
    draw_trials(output)
