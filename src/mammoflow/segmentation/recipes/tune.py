"""Tuning of a promptable model on a study: its decoder, all weights, LoRA or adapters; see docs/tuning.md."""

from __future__ import annotations

from mammoflow.config.architectures import architecture as architecture_of
from mammoflow.config.tuning import TuneSettings
from mammoflow.segmentation.training_task import TrainingTask

Options = TuneSettings
PROMPTED = True


def check(options: TuneSettings, architecture: str, start: str) -> None:
    """Refuse a training without a model to start from, and LoRA or adapters where there is no attention.

    Raises
    ------
    ValueError
        Naming the key below `train`.
    """
    if not start:
        raise ValueError("from is empty; the recipe tune expects the model that it starts from")
    if options.method in ("lora", "adapters") and not architecture_of(architecture).attention:
        raise ValueError(
            f"options.method is {options.method}, but {architecture} has no attention; expected decoder or all"
        )


def train(task: TrainingTask) -> None:
    """Tune the model that the task starts from."""
    from mammoflow.errors import ConfigError
    from mammoflow.segmentation.tuning.stage import tune

    if task.start is None:
        raise ConfigError("the recipe tune expects the model that it starts from (--from)")
    files = (task.images, task.store, task.margin_mm, task.output, task.threads, task.precision)
    tune(task.options, task.start, *files)
