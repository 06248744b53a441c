"""The job of the page of the real exam: its code, the weights of its models, and its memory."""

from __future__ import annotations

from mammoflow.config.architectures import ARCHITECTURE_MODULES, architecture, module_of
from mammoflow.config.study import StudyConfig
from mammoflow.errors import WeightsError
from mammoflow.planning.models import missing_weights, weights_inputs

EXAM_STAGE = "mammoflow.prediction.exam_page"

FILMS_MB = 1000
"""Megabytes of the films, masks and pictures of the page."""


def exam_modules(config: StudyConfig) -> tuple[str, ...]:
    """Return the modules whose code makes the page: the stage, and those that build its models."""
    models = [ARCHITECTURE_MODULES.module(module_of(model)) for model in config.real_exam.models]
    return (EXAM_STAGE, *dict.fromkeys(models))


def exam_weights(config: StudyConfig) -> dict[str, str]:
    """Return the weights file of each model of the page that no package brings.

    Raises
    ------
    WeightsError
        If a file does not exist; the message says how to get it.
    """
    files = {model: file for model in config.real_exam.models for file in weights_inputs(config, model)}
    for model in files:
        missing = missing_weights(config, model)
        if missing:
            raise WeightsError(f"the target real_exam: {missing}")
    return files


def exam_memory_mb(config: StudyConfig) -> int:
    """Return the megabytes of the job, which has the films and one model in memory at a time."""
    return FILMS_MB + max(architecture(model).memory_mb for model in config.real_exam.models)


def exam_arguments(config: StudyConfig) -> list[str]:
    """Return the words of the command that name weights files; the rule quotes each word."""
    return [word for model, file in exam_weights(config).items() for word in ("--weights", model, file)]
