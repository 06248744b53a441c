"""The command line: `mammoflow STAGE --settings FILE inputs… outputs…`, for the rules of the workflow and for people.

Each command reads its settings file, calls one function of the library, and does nothing else. A stage is imported when
it is called, so that `mammoflow --help` is instant and no stage loads what only another one needs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from mammoflow import __version__
from mammoflow.errors import ConfigError, MammoflowError

Command = TypeVar("Command", bound=Callable[..., Any])
file = partial(click.Path, path_type=Path, dir_okay=False)
folder = partial(click.Path, path_type=Path, file_okay=False)

settings_option = click.option(
    "--settings", required=True, type=file(exists=True), help="Settings of the stage (YAML), and of nothing else."
)
threads_option = click.option(
    "--threads", default=1, show_default=True, type=click.IntRange(min=1), help="Threads or processes to use."
)


def output_file(help_text: str) -> Callable[[Command], Command]:
    """Return the option for a stage that writes one file."""
    return click.option("--output", required=True, type=file(), help=help_text)


def output_folder(help_text: str) -> Callable[[Command], Command]:
    """Return the option for a stage that writes a folder."""
    return click.option("--output", required=True, type=folder(), help=help_text)


def input_folder(name: str, help_text: str) -> Callable[[Command], Command]:
    """Return the option for one folder that an earlier stage wrote."""
    return click.option(name, required=True, type=folder(exists=True), help=help_text)


def input_folders(name: str, help_text: str, required: bool = True) -> Callable[[Command], Command]:
    """Return the option for several folders that an earlier stage wrote; it is given once for each."""
    return click.option(name, required=required, multiple=True, type=folder(exists=True), help=help_text)


def input_files(name: str, help_text: str, required: bool = True) -> Callable[[Command], Command]:
    """Return the option for several files that an earlier stage wrote; it is given once for each."""
    return click.option(name, required=required, multiple=True, type=file(exists=True), help=help_text)


def check_choice(option: str, value: str, choices: object) -> None:
    """Refuse a value that is none of a setting's literals."""
    if value not in get_args(choices):
        raise ConfigError(f"{option}: found {value!r}; expected one of {', '.join(get_args(choices))}")


class Stages(click.Group):
    """The group of all commands: an error that a user can act on becomes one message and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command; exit with 2 for a wrong configuration and with 1 for any other problem of the data."""
        try:
            return super().invoke(context)
        except MammoflowError as error:
            click.echo(f"mammoflow {context.invoked_subcommand}: {error}", err=True)
            context.exit(2 if isinstance(error, ConfigError) else 1)

    def list_commands(self, context: click.Context) -> list[str]:
        """List the commands in the order of the workflow."""
        return list(self.commands)


@click.group(cls=Stages, context_settings={"max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """Bring mammograms and a case table to lesion masks, features, predictions and tables against BI-RADS.

    Each stage reads its settings file and what earlier stages wrote. The workflow calls these commands; they run by
    hand just as well. Research software, not a medical device.
    """


@main.command()
@settings_option
@output_folder("Folder of the study to write.")
@threads_option
def phantom(settings: Path, output: Path, threads: int) -> None:
    """Write the phantom study, laid out like a CBIS-DDSM download."""
    from mammoflow.cohort.phantom.stage import write_phantom_study
    from mammoflow.config.base import read_settings
    from mammoflow.config.phantom import PhantomSettings

    write_phantom_study(read_settings(PhantomSettings, settings), output, threads)


@main.command()
@settings_option
@input_folder("--study", "Folder of the study.")
@output_folder("Folder of the cohort tables.")
def cohort(settings: Path, study: Path, output: Path) -> None:
    """Read a study's case tables; exclude, split by patient, cut into shards."""
    from mammoflow.cohort.stage import build_cohort
    from mammoflow.config.base import read_settings
    from mammoflow.config.cohort import CohortSettings

    build_cohort(read_settings(CohortSettings, settings), study, output)


@main.command()
@settings_option
@input_folder("--study", "Folder of the study.")
@input_folder("--cohort-shard", "Folder of one shard of the cohort.")
@output_folder("Folder of the shard's images.")
@threads_option
def images(settings: Path, study: Path, cohort_shard: Path, output: Path, threads: int) -> None:
    """Bring the films of a shard to canonical images, breast regions and lesion patches."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.images import ImagesSettings
    from mammoflow.imaging.stage import prepare_images

    prepare_images(read_settings(ImagesSettings, settings), study, cohort_shard, output, threads)


@main.command()
@settings_option
@input_folder("--images", "Folder of one shard of images.")
@output_file("Table of prompts to write.")
def prompts(settings: Path, images: Path, output: Path) -> None:
    """Make box prompts at each margin for the lesions of a shard."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.segmentation import PromptSettings
    from mammoflow.segmentation.prompts import make_prompts

    make_prompts(read_settings(PromptSettings, settings), images, output)


model_option = click.option("--model", required=True, help="Name of the promptable model, as in the configuration.")
weights_option = click.option("--weights", type=file(), help="Weights of the model; `small` brings its own.")
store_option = click.option("--store", required=True, type=folder(), help="Folder of the embeddings.")
margin_option = click.option(
    "--default-margin-mm", required=True, type=float, help="Margin whose masks go on to features and classifiers."
)


@main.command()
@settings_option
@model_option
@weights_option
@input_folder("--images", "Folder of one shard of images.")
@click.option("--prompts", required=True, type=file(exists=True), help="Prompts of the shard.")
@store_option
@margin_option
@output_folder("Folder of the shard's masks and scores.")
@threads_option
def segment(
    settings: Path,
    model: str,
    weights: Path | None,
    images: Path,
    prompts: Path,
    store: Path,
    default_margin_mm: float,
    output: Path,
    threads: int,
) -> None:
    """Segment the lesions of a shard from its prompts with one promptable model."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.segmentation import SegmentSettings
    from mammoflow.segmentation.stage import segment as run

    stage = read_settings(SegmentSettings, settings)
    run(stage, model, weights, images, prompts, store, default_margin_mm, output, threads)


@main.command()
@settings_option
@input_folder("--images", "Folder of one shard of images.")
@input_folder("--masks", "Folder of the shard's masks.")
@output_file("Table of features to write.")
@threads_option
def gabor(settings: Path, images: Path, masks: Path, output: Path, threads: int) -> None:
    """Measure Gabor texture near each lesion and in the tissue around it."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.features import GaborSettings
    from mammoflow.features.gabor_stage import extract_gabor

    extract_gabor(read_settings(GaborSettings, settings), images, masks, output, threads)


@main.command()
@settings_option
@input_folder("--images", "Folder of one shard of images.")
@input_folder("--masks", "Folder of the shard's masks.")
@output_file("Table of features to write.")
@threads_option
def radiomics(settings: Path, images: Path, masks: Path, output: Path, threads: int) -> None:
    """Measure radiomics of each lesion."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.features import RadiomicsSettings
    from mammoflow.features.radiomics_stage import extract_radiomics

    extract_radiomics(read_settings(RadiomicsSettings, settings), images, masks, output, threads)


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
@model_option
@weights_option
@input_folders("--images", "Folder of a shard of images; once for each shard.")
@input_folders("--masks", "Folder of a shard's masks; once for each shard.")
@input_files("--prompts", "Prompts of a shard; once for each shard.")
@store_option
@margin_option
@output_folder("Folder of the classifier.")
@threads_option
def perceptron(
    settings: Path,
    variant: Any,
    model: str,
    weights: Path | None,
    images: tuple[Path, ...],
    masks: tuple[Path, ...],
    prompts: tuple[Path, ...],
    store: Path,
    default_margin_mm: float,
    output: Path,
    threads: int,
) -> None:
    """Train the perceptron on a promptable model's embeddings and predict all splits."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.classification import PerceptronTraining, PerceptronVariant

    check_choice("--variant", variant, PerceptronVariant)
    from mammoflow.classification.perceptron_stage import train_perceptron

    stage = read_settings(PerceptronTraining, settings)
    inputs = (list(images), list(masks), list(prompts))
    train_perceptron(stage, variant, model, weights, *inputs, store, default_margin_mm, output, threads)


@main.command("small-model")
@settings_option
@input_folders("--images", "Folder of a shard of images; once for each shard.")
@output_folder("Folder of the trained weights.")
@threads_option
def small_model(settings: Path, images: tuple[Path, ...], output: Path, threads: int) -> None:
    """Train the small promptable model on the training patients of the shards."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.small import SmallTrainingSettings
    from mammoflow.segmentation.small.stage import train_small

    train_small(read_settings(SmallTrainingSettings, settings), list(images), output, threads)


@main.command()
@settings_option
@input_folder("--cohort", "Folder of the cohort tables.")
@input_folders("--images", "Folder of a shard of images; once for each shard.")
@input_folders("--segmentation", "Folder of a model's shard; once for each model and shard.")
@input_files("--gabor", "Gabor features of a shard; once for each shard.")
@input_files("--radiomics", "Radiomics of a shard; once for each shard.")
@input_folders("--predictions", "Folder of a classifier; once for each.", required=False)
@output_folder("Folder of the tables and figures.")
def compare(
    settings: Path,
    cohort: Path,
    images: tuple[Path, ...],
    segmentation: tuple[Path, ...],
    gabor: tuple[Path, ...],
    radiomics: tuple[Path, ...],
    predictions: tuple[Path, ...],
    output: Path,
) -> None:
    """Hold every model against BI-RADS and the floors; write tables and figures."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.evaluation import ComparisonSettings
    from mammoflow.evaluation.stage import compare as run

    shards = (list(images), list(segmentation), list(gabor), list(radiomics))
    run(read_settings(ComparisonSettings, settings), cohort, *shards, list(predictions), output)


@main.command()
@settings_option
@input_folder("--cohort", "Folder of the cohort tables.")
@input_folder("--comparison", "Folder of the tables and figures.")
@input_folders("--images", "Folder of a shard of images; once for each shard.")
@input_folders("--masks", "Folder of the default model's shard; once for each shard.")
@output_file("Page to write.")
def report(
    settings: Path, cohort: Path, comparison: Path, images: tuple[Path, ...], masks: tuple[Path, ...], output: Path
) -> None:
    """Write the self-contained HTML page."""
    from mammoflow.config.base import read_settings
    from mammoflow.config.evaluation import ReportSettings
    from mammoflow.report.stage import write_report

    write_report(read_settings(ReportSettings, settings), cohort, comparison, list(images), list(masks), output)


@main.group()
def weights() -> None:
    """List and fetch the weights of the promptable models."""


@weights.command("list")
def weights_list() -> None:
    """Show each model's weights file, its checksum, licence and source."""
    from mammoflow.segmentation.weights import WEIGHTS

    for name, source in WEIGHTS.items():
        origin = source.url or "inside the package"
        click.echo(f"{name}\n  {source.architecture}; {source.licence}\n  {source.file}  {source.checksum}\n  {origin}")


@weights.command("fetch")
@click.argument("name")
@click.option("--to", "target", required=True, type=folder(), help="Folder that the file goes to.")
@click.option("--url", help="Another address of the same file, such as a mirror.")
def weights_fetch(name: str, target: Path, url: str | None) -> None:
    """Fetch and check the weights of model NAME; a broken download goes on where it stopped."""
    from mammoflow.segmentation.weights import fetch_weights

    path = fetch_weights(name, target, url)
    click.echo(f"{path}\nname it in the configuration:\nsegmentation: {{weights: {{{name}: {path}}}}}")


@main.group()
def config() -> None:
    """Show the configuration, its defaults and its schema."""


@config.command("show")
@click.argument("files", nargs=-1, type=file(exists=True))
@click.option("--stage", help="Show the settings file of one stage instead of the whole.")
def config_show(files: tuple[Path, ...], stage: str | None) -> None:
    """Check FILES, each laid over the one before, and print the configuration that they give."""
    from mammoflow.config.documentation import settings_text
    from mammoflow.config.reading import read_config

    study = read_config(list(files))
    stages = study.stages()
    if stage is not None and stage not in stages:
        raise ConfigError(f"found stage {stage!r}; expected one of {', '.join(stages)}")
    click.echo(settings_text(study if stage is None else stages[stage]), nl=False)


@config.command("results")
@click.argument("files", nargs=-1, type=file(exists=True))
def config_results(files: tuple[Path, ...]) -> None:
    """Print where the run of a configuration puts its report and its comparison table."""
    from mammoflow.config.reading import read_config

    study = read_config(list(files))
    run = (Path(study.results) / study.run).absolute()
    click.echo(f"report            {run / 'report' / 'report.html'}")
    click.echo(f"comparison table  {run / 'comparison' / 'comparison.csv'}")


@config.command("defaults")
def config_defaults() -> None:
    """Print the documented default `config.yaml`."""
    from mammoflow.config.documentation import default_config

    click.echo(default_config(), nl=False)


@config.command("schema")
def config_schema() -> None:
    """Print the JSON schema of the configuration."""
    from mammoflow.config.documentation import config_schema as schema

    click.echo(schema(), nl=False)


if __name__ == "__main__":
    sys.exit(main())
