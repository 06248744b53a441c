"""The job of the robustness: its models and classifiers, their files, code, memory and GPUs."""

from __future__ import annotations

from mammoflow.config.classification import INPUTS, NETWORKS
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.planning.classifiers import job_memory_mb
from mammoflow.planning.folds import has_folds
from mammoflow.planning.models import (
    automatic_models,
    classifier_model,
    prompted_models,
    run_folder,
    segment_memory_mb,
    segment_modules,
    weights_inputs,
    weights_path,
)
from mammoflow.planning.workflow import gpus, settings_file, shard_names
from mammoflow.weights.header import read_header

NO_WEIGHTS = "-"
"""Word of the command in place of the weights file of a model whose weights a package brings."""

STAGE = "mammoflow.evaluation.robustness_stage"


def _given_in_colours(config: StudyConfig) -> list[str]:
    """Return the automatic models whose given weights see colours, as the headers of their files say."""
    given = [name for name in automatic_models(config) if name not in config.segmentation.trained_models()]
    found = []
    for name in given:
        file = weights_path(config, name)
        try:
            setup = read_header(file).automatic if file is not None and file.is_file() else None
        except WeightsError:
            continue  # the job that loads a damaged file says what is wrong with it
        if setup is not None and setup.colour == "rgb":
            found.append(name)
    return found


def robustness_classifiers(config: StudyConfig) -> dict[str, str]:
    """Return the classifiers, each with the segmentation model whose masks or embeddings it takes, or "".

    Classifiers that take those of a model that sees colours are left out.
    """
    names = config.robustness.chosen_classifiers(config.classification, config.segmentation)
    takes = {name: {"masks", "model"} & set(config.classification.classifiers[name].needs()) for name in names}
    found = {name: classifier_model(config, name) if takes[name] else "" for name in names}
    in_colours = _given_in_colours(config)
    return {name: model for name, model in found.items() if model not in in_colours}


def robustness_models(config: StudyConfig) -> list[str]:
    """Return the segmentation models: those of the settings without colours, and those that its classifiers take."""
    of_classifiers = [model for model in robustness_classifiers(config).values() if model]
    in_colours = _given_in_colours(config)
    chosen = [model for model in config.robustness.chosen_models(config.segmentation) if model not in in_colours]
    return list(dict.fromkeys([*chosen, *of_classifiers]))


def robustness_modules(config: StudyConfig) -> tuple[str, ...]:
    """Return the modules whose code measures the robustness: the stage, and the members of its models."""
    modules = [STAGE]
    for model in robustness_models(config):
        modules += segment_modules(config, model)
    for name in robustness_classifiers(config):
        entry = config.classification.classifiers[name]
        modules += [INPUTS.module(entry.input), NETWORKS.module(entry.network)]
    return tuple(dict.fromkeys(modules))


def _check_named(config: StudyConfig, able: dict[str, list[str]]) -> None:
    """Refuse models and classifiers that the settings name and whose weights see colours.

    Raises
    ------
    ConfigError
        Naming the key, and what can be measured.
    """
    for key, names in able.items():
        for name in getattr(config.robustness, key) or ():
            if name not in names:
                raise ConfigError(
                    f"robustness.{key} names {name!r}, whose weights, or those of its segmentation model, see colours, "
                    f"and grey images are degraded; expected some of {names}; take it out"
                )


def robustness_inputs(config: StudyConfig) -> dict[str, list[str]]:
    """Return the files that the job reads, beside its settings.

    Raises
    ------
    ConfigError
        If the run makes every fold, has no prompts around the reference, or has nothing that can be measured, or if
        the settings name a model whose weights see colours.
    """
    models, classifiers = robustness_models(config), robustness_classifiers(config)
    _check_named(config, {"models": models, "classifiers": [*classifiers]})
    if has_folds(config):
        raise ConfigError(
            "the target robustness: found cohort.split.fold: all, where every fold has models of its own; expected a "
            "single split; set cohort.split.fold to one number, and run to another name"
        )
    if not config.prompts.reference and set(models) & set(prompted_models(config)):
        raise ConfigError(
            "the target robustness: found prompts.reference: false; expected prompts around the reference, because "
            "readers' boxes are not made again on degraded images; set robustness.models to automatic models, and "
            "robustness.classifiers to those without masks"
        )
    if not models and not classifiers:
        raise ConfigError(
            "the target robustness has nothing to make: found no segmentation model and no classifier that can be "
            "applied to degraded grey images; models that see colours, and classifiers on their masks, cannot"
        )
    run = run_folder(config)
    shards = shard_names(config)
    return {
        "images": [f"{run}/images/{shard}/images.parquet" for shard in shards],
        "lesions": [f"{run}/images/{shard}/lesions.parquet" for shard in shards],
        "model_settings": [settings_file(config, f"segmentation/{model}") for model in models],
        "weights": [file for model in models for file in weights_inputs(config, model)],
        "predictions": [f"{run}/classification/{name}/predictions.parquet" for name in classifiers],
        "training": [f"{run}/classification/{name}/training.json" for name in classifiers],
        "seeds": [f"{run}/classification/{name}/seeds" for name in classifiers],
    }


def reported_robustness(config: StudyConfig) -> list[str]:
    """Return the table and the figure that the report shows, if `report.robustness` asks for them.

    Raises
    ------
    ConfigError
        If it does, and the run has no robustness.
    """
    if not config.report.robustness:
        return []
    try:
        robustness_inputs(config)
    except ConfigError as error:
        raise ConfigError(f"report.robustness is true. {error}; or set report.robustness to false") from error
    folder = f"{run_folder(config)}/robustness"
    return [f"{folder}/{name}" for name in ("robustness.csv", "curves.png", "curves.svg", "curves.csv")]


def robustness_arguments(config: StudyConfig) -> list[str]:
    """Return the words of the command that name models and classifiers; the rule quotes each word."""
    words = []
    for model in robustness_models(config):
        kind = "--promptable" if config.segmentation.is_prompted(model) else "--automatic"
        file = next(iter(weights_inputs(config, model)), NO_WEIGHTS)
        architecture = config.segmentation.architecture_of(model)
        words += [kind, model, architecture, file, settings_file(config, f"segmentation/{model}")]
    for name, model in robustness_classifiers(config).items():
        words += ["--classifier", str(run_folder(config) / "classification" / name), model or NO_WEIGHTS]
    return words


def robustness_memory_mb(config: StudyConfig) -> int:
    """Return the megabytes of the job, which has one model or classifier in memory at a time."""
    needed = [segment_memory_mb(config, model) for model in robustness_models(config)]
    needed += [job_memory_mb(config, name) for name in robustness_classifiers(config)]
    return max(needed, default=0)


def robustness_gpus(config: StudyConfig) -> int:
    """Return the GPUs of the job: one where a model or classifier of it uses one."""
    jobs = [f"segmentation/{model}" for model in robustness_models(config)]
    jobs += [f"classifiers/{name}" for name in robustness_classifiers(config)]
    return max((gpus(config, job) for job in jobs), default=0)
