"""The jobs of the hyper-parameter searches: what any trial of a search can read, run and need."""

from __future__ import annotations

from mammoflow.config.search_space import candidates
from mammoflow.config.study import StudyConfig
from mammoflow.planning.classifiers import classifier_inputs, classifier_modules, job_memory_mb, model_options
from mammoflow.planning.models import TRAINING_STAGE, recipe_memory_mb, training, training_modules

FIGURE = "mammoflow.evaluation.search_figure"
SEARCH_MODULES = ("mammoflow.classification.search.stage", FIGURE)
MODEL_SEARCH_MODULES = ("mammoflow.segmentation.search.stage", FIGURE)


def search_modules(config: StudyConfig, name: str) -> tuple[str, ...]:
    """Return the modules whose code the job of a search runs, for its code digest."""
    of_points = [classifier_modules(one, name) for one in _points(config, name)]
    return tuple(dict.fromkeys([*SEARCH_MODULES, *(module for modules in of_points for module in modules)]))


def search_inputs(config: StudyConfig, name: str, fold: str = "") -> dict[str, list[str]]:
    """Return the files that the job of a search reads, beside its settings: those that any of its trials reads.

    Parameters
    ----------
    config
        The configuration of the run.
    name
        Name of the search.
    fold
        Folder of its fold; "" in a run without folds.

    Returns
    -------
    dict
        As `planning.classifiers.classifier_inputs` returns.
    """
    joined: dict[str, list[str]] = {}
    for one in _points(config, name):
        for key, files in classifier_inputs(one, name, fold).items():
            joined[key] = list(dict.fromkeys([*joined.get(key, []), *files]))
    return joined


def search_model_options(config: StudyConfig, name: str) -> list[str]:
    """Return the words of the command about the promptable model; none for a search without one."""
    return max(model_options(one, name) for one in _points(config, name))


def search_memory_mb(config: StudyConfig, name: str) -> int:
    """Return the megabytes of the job of a search: those of its largest trial."""
    return max(job_memory_mb(one, name) for one in _points(config, name))


def searched_model(config: StudyConfig, name: str) -> str:
    """Return the segmentation model of a search."""
    return config.segmentation.searches[name].model


def model_search_modules(config: StudyConfig, name: str) -> tuple[str, ...]:
    """Return the modules whose code the job of a search of a segmentation model runs, for its code digest."""
    model = searched_model(config, name)
    members = [module for one in _model_points(config, name) for module in training_modules(one, model)]
    return tuple(dict.fromkeys([*MODEL_SEARCH_MODULES, *(each for each in members if each != TRAINING_STAGE)]))


def model_search_memory_mb(config: StudyConfig, name: str) -> int:
    """Return the megabytes of the job of a search of a segmentation model: those of its largest trial."""
    return max(recipe_memory_mb(one, searched_model(config, name)) for one in _model_points(config, name))


def _model_points(config: StudyConfig, name: str) -> list[StudyConfig]:
    """Return the configuration for points of the space of a segmentation model."""
    segmentation, model = config.segmentation, searched_model(config, name)
    entry, train = segmentation.models[model], training(config, model)
    points = []
    for options in candidates(segmentation.searches[name], train.options):
        changed = entry.model_copy(update={"train": train.model_copy(update={"options": options})})
        models = {**segmentation.models, model: changed}
        points.append(config.model_copy(update={"segmentation": segmentation.model_copy(update={"models": models})}))
    return points


def _points(config: StudyConfig, name: str) -> list[StudyConfig]:
    """Return the configuration for points of the space, with a classifier that has the name of the search."""
    classification = config.classification
    search = classification.searches[name]
    entries = candidates(search, classification.classifiers[search.classifier])
    return [
        config.model_copy(update={"classification": classification.model_copy(update={"classifiers": {name: entry}})})
        for entry in entries
    ]
