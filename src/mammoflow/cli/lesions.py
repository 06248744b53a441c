"""Commands on lesions: `prompts`, `segment`, `segment-automatic`, `features`, `stability`, `robustness`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import (
    check_member,
    file,
    folder,
    input_files,
    input_folder,
    input_folders,
    margin_option,
    model_options,
    output_file,
    output_folder,
    settings_option,
    store_option,
    threads_option,
)
from mammoflow.cli.summary import say_end

# The names of the modules, so that the help lists them without loading the configuration.
FAMILY_NAMES = sorted(
    module.stem
    for module in (Path(__file__).resolve().parents[1] / "features" / "families").glob("*.py")
    if not module.stem.startswith("_")
)

if TYPE_CHECKING:
    from mammoflow.weights.registry import ModelSpec


@main.command()
@settings_option
@input_folder("--images", "Folder of one shard of images.")
@click.option("--cohort", type=folder(exists=True), help="Folder of the cohort; needed for boxes of readers.")
@click.option(
    "--masks", type=folder(exists=True), help="Folder of another model's masks; makes only prompts from these."
)
@click.option("--excluded", type=file(), help="Table to write with lesions and boxes that give no prompt.")
@output_file("Table of prompts to write.", ["prompt_id", "lesion_id"])
def prompts(
    settings: Path, images: Path, cohort: Path | None, masks: Path | None, excluded: Path | None, output: Path
) -> None:
    """Make prompts for the lesions of a shard.

    Each lesion gets one prompt of each kind and margin.
    """
    from mammoflow.config.base import read_settings
    from mammoflow.config.prompts import PromptSettings
    from mammoflow.segmentation.prompting.prompts import make_prompts
    from mammoflow.storage.outputs import claim_file

    if excluded is not None:
        claim_file(excluded, "prompts", ["stage", "reason", "detail"])

    make_prompts(read_settings(PromptSettings, settings), images, output, excluded, cohort, masks)
    say_end("prompts", output, excluded)


@main.command()
@settings_option
@model_options
@input_folder("--images", "Folder of one shard of images.")
@input_files("--prompts", "Prompts of the shard; once for each table.")
@store_option
@margin_option
@output_folder("Folder of the shard's masks and scores.")
@threads_option
def segment(
    settings: Path,
    model: ModelSpec,
    images: Path,
    prompts: tuple[Path, ...],
    store: Path,
    default_margin_mm: float,
    output: Path,
    threads: int,
) -> None:
    """Segment the lesions of a shard from their prompts.

    This command runs one promptable model.
    """
    from mammoflow.config.base import read_settings
    from mammoflow.config.prompted import SegmentSettings
    from mammoflow.segmentation.prompted.stage import segment as run

    stage = read_settings(SegmentSettings, settings)
    run(stage, model, images, prompts, store, default_margin_mm, output, threads)
    say_end("segment", output)


@main.command("segment-automatic")
@settings_option
@model_options
@input_folder("--images", "Folder of one shard of images.")
@output_folder("Folder of the shard's maps, detections, masks and scores.")
@threads_option
def segment_automatic(settings: Path, model: ModelSpec, images: Path, output: Path, threads: int) -> None:
    """Segment the images of a shard without prompts.

    This command runs one automatic model.
    """
    from mammoflow.config.base import read_settings
    from mammoflow.config.detection import AutomaticSettings
    from mammoflow.segmentation.automatic.stage import segment_automatic as run

    run(read_settings(AutomaticSettings, settings), model, images, output, threads)
    say_end("segment-automatic", output)


@main.command()
@settings_option
@click.option("--family", required=True, metavar=f"[{'|'.join(FAMILY_NAMES)}]", help="Feature family.")
@input_folder("--images", "Folder of one shard of images.")
@click.option("--masks", type=folder(exists=True), help="Folder of the shard's masks; not needed for reference masks.")
@output_file("Table of features to write.", ["lesion_id", "status", "spacing_mm"])
@threads_option
def features(settings: Path, family: str, images: Path, masks: Path | None, output: Path, threads: int) -> None:
    """Compute features of the lesions of a shard.

    This command computes one feature family.
    """
    from mammoflow.config.features import FEATURE_FAMILIES, read_options
    from mammoflow.features.stage import extract

    check_member("--family", family, FEATURE_FAMILIES)
    extract(family, read_options(family, settings), images, masks, output, threads)
    say_end("features", output)


@main.command()
@settings_option
@input_folder("--cohort", "Folder of the cohort.")
@input_folders("--images", "Folder of a shard of images; once for each shard.")
@input_folders("--masks", "Folder of a shard's masks; once for each shard, for predicted masks.", required=False)
@click.option("--model", help="Default segmentation model, if other boxes are to be tried.")
@click.option("--architecture", default="", show_default=False, help="Its architecture, unless it is published.")
@click.option("--weights", type=file(), help="Its weights.")
@click.option("--segment-settings", type=file(exists=True), help="Settings file of the model's own job.")
@click.option("--store", type=folder(), help="Folder of the embeddings.")
@click.option("--default-margin-mm", type=float, help="Margin of the boxes of the study's masks.")
@output_file("Table of stability to write (CSV); its figure goes beside it.", ["family", "feature", "icc"])
@threads_option
def stability(
    settings: Path,
    cohort: Path,
    images: tuple[Path, ...],
    masks: tuple[Path, ...],
    model: str | None,
    architecture: str,
    weights: Path | None,
    segment_settings: Path | None,
    store: Path | None,
    default_margin_mm: float | None,
    output: Path,
    threads: int,
) -> None:
    """Measure how stable each feature is.

    This command computes features again under other boxes, masks, rotations and pixel spacings.
    """
    from mammoflow.config.base import read_settings
    from mammoflow.config.features import FeaturesSettings
    from mammoflow.config.prompted import SegmentSettings
    from mammoflow.evaluation.stability_masks import Segmenter
    from mammoflow.evaluation.stability_stage import stability as run
    from mammoflow.weights.registry import ModelSpec

    segmenter = None
    if model is not None:
        if segment_settings is None or store is None or default_margin_mm is None:
            raise click.UsageError("--model needs --segment-settings, --store and --default-margin-mm")
        spec = ModelSpec(model, architecture or model, weights)
        segmenter = Segmenter(read_settings(SegmentSettings, segment_settings), spec, store, default_margin_mm)
    run(read_settings(FeaturesSettings, settings), cohort, images, masks, segmenter, output, threads)


MODEL_WORDS = "as four words: name, architecture, weights file or -, settings file of its own job"


@main.command()
@settings_option
@input_folder("--cohort", "Folder of the cohort.")
@input_folders("--images", "Folder of a shard of images; once for each shard.")
@click.option("--promptable", nargs=4, multiple=True, help=f"A promptable model {MODEL_WORDS}; once for each.")
@click.option("--automatic", nargs=4, multiple=True, help=f"An automatic model {MODEL_WORDS}; once for each.")
@click.option(
    "--classifier",
    nargs=2,
    multiple=True,
    help="Folder of a trained classifier, and the model whose masks or embeddings it takes or -; once for each.",
)
@output_file("Table of robustness to write (CSV); its figure goes beside it.", ["model", "degradation", "difference"])
@threads_option
def robustness(
    settings: Path,
    cohort: Path,
    images: tuple[Path, ...],
    promptable: tuple[tuple[str, str, str, str], ...],
    automatic: tuple[tuple[str, str, str, str], ...],
    classifier: tuple[tuple[str, str], ...],
    output: Path,
    threads: int,
) -> None:
    """Score models on degraded images of test lesions.

    This command writes curves of Dice and AUC; it trains nothing.
    """
    from mammoflow.config.base import read_settings
    from mammoflow.config.detection import AutomaticSettings
    from mammoflow.config.prompted import SegmentSettings
    from mammoflow.config.robustness import RobustnessJob
    from mammoflow.evaluation.robustness_stage import Classifying, Segmenting
    from mammoflow.evaluation.robustness_stage import robustness as run
    from mammoflow.weights.registry import ModelSpec

    def spec(name: str, architecture: str, weights: str) -> ModelSpec:
        return ModelSpec(name, architecture, None if weights == "-" else Path(weights))

    models = [Segmenting(spec(*words), read_settings(SegmentSettings, Path(own))) for *words, own in promptable]
    models += [Segmenting(spec(*words), read_settings(AutomaticSettings, Path(own))) for *words, own in automatic]
    classifiers = [Classifying(Path(trained), "" if model == "-" else model) for trained, model in classifier]
    run(read_settings(RobustnessJob, settings), cohort, images, models, classifiers, output, threads)
