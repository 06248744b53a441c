"""Weights files that a run is given: of classifiers' networks, and all together."""

from __future__ import annotations

from pathlib import Path

from mammoflow.config.classification import NETWORKS
from mammoflow.config.study import StudyConfig
from mammoflow.config.weights import PUBLISHED
from mammoflow.planning.models import (
    encoder_weights,
    label_weights,
    needed_models,
    trained_weights,
    weights_inputs,
)
from mammoflow.weights.registry import install


def network_weights(config: StudyConfig, name: str) -> list[str]:
    """Return the file of the first weights of a classifier's network as the inputs of a rule, there or not.

    There is none for random weights, and none for published weights that a package brings.
    """
    entry = config.classification.classifiers[name]
    if entry.weights != PUBLISHED:
        return [entry.weights] if entry.weights else []
    source = NETWORKS.load(entry.network).WEIGHTS
    return [str(Path(config.prefetch.folder) / source.file)] if source.url else []


def given_weights(config: StudyConfig) -> list[str]:
    """Return the weights files that the jobs of a run read and no job of it makes: named or fetched, there or not."""
    segmentation = config.segmentation
    trained = segmentation.trained_models()
    of_models = [weights_inputs(config, name) for name in needed_models(config) if name not in trained]
    of_trainings = [[*encoder_weights(config, name), *label_weights(config, name)] for name in trained]
    of_networks = [network_weights(config, name) for name in config.classification.needed()]
    made = [str(trained_weights(config, name)) for name in trained]
    files = [file for each in (of_models, of_trainings, of_networks) for files in each for file in files]
    return [file for file in dict.fromkeys(files) if file not in made]


def missing_network_weights(config: StudyConfig, name: str) -> str:
    """Say what is missing and how to get it, where the first weights of a network are not there; else ""."""
    entry = config.classification.classifiers[name]
    source = NETWORKS.load(entry.network).WEIGHTS
    key, files = f"classification.classifiers.{name}.weights", network_weights(config, name)
    if entry.weights == PUBLISHED and not files:
        absent = source.installed is None
        return f"{key}: found {PUBLISHED!r}, but {source.file} is not installed; {install(source)}" if absent else ""
    if not files or Path(files[0]).is_file():
        return ""
    is_own = entry.weights != PUBLISHED
    how = (
        f"correct the path, set {PUBLISHED} for the published weights"
        if is_own
        else "fetch it with the target `prefetch`"
    )
    return (
        f"{key}: found {entry.weights!r}, but {files[0]} does not exist; expected a weights file of {source.title}; "
        f"{how}, or leave the setting empty to start from random weights"
    )
