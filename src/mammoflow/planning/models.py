"""The promptable models of a configuration: how a command is told them, and where their weights lie."""

from __future__ import annotations

from pathlib import Path

from mammoflow.config.study import StudyConfig
from mammoflow.weights.registry import remedy, split_model, weights_source


def model_argument(config: StudyConfig, model: str) -> str:
    """Return how a command is told the model: its name, with the architecture where it is one of the user's own."""
    own = config.segmentation.custom.get(model)
    return f"{model}={own.architecture}" if own else model


def architecture(config: StudyConfig, model: str) -> str:
    """Return the published model whose network a model of the configuration has."""
    own = config.segmentation.custom.get(model)
    return own.architecture if own else model


def tuned_weights(config: StudyConfig, model: str) -> Path:
    """Return the weights file of a model that the configuration tunes."""
    return Path(config.results) / config.run / "tuning" / model / "model.safetensors"


def weights_path(config: StudyConfig, model: str) -> Path | None:
    """Return the weights file of a promptable model of a configuration, there or not; None for what is shipped."""
    own = config.segmentation.custom.get(model)
    if own:
        return Path(own.weights) if own.weights else tuned_weights(config, model)
    named = config.segmentation.weights.get(model)
    if named:
        return Path(named)
    source = weights_source(model)
    return Path(config.prefetch.folder) / source.file if source.url else None


def missing_weights(config: StudyConfig, model: str) -> str:
    """Say what is missing and how it is to be had, where the weights file of a model is not there; else ""."""
    own = config.segmentation.custom.get(model)
    if own and not own.weights:
        return ""  # the workflow makes it
    file = weights_path(config, model)
    if file is None or file.is_file():
        return ""
    way = remedy(*split_model(model_argument(config, model)))
    return f"weights file {file} for {model} does not exist; {way}"
