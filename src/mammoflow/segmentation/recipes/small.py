"""The training of `small` from random weights, as the shipped weights were made; see docs/model-card-small.md."""

from __future__ import annotations

from mammoflow.config.small import SmallTrainingSettings
from mammoflow.segmentation.training_task import TrainingTask

Options = SmallTrainingSettings
PROMPTED = True


def check(options: SmallTrainingSettings, architecture: str, start: str) -> None:
    """Refuse another architecture, and a model to start from.

    Raises
    ------
    ValueError
        Naming the key below `train`.
    """
    if architecture != "small":
        raise ValueError(f"recipe is small, but the architecture is {architecture}; expected architecture: small")
    if start:
        raise ValueError(f"from is {start!r}, but the recipe small starts from random weights; expected none, or tune")


def train(task: TrainingTask) -> None:
    """Train the small network from random weights."""
    from mammoflow.segmentation.small.stage import train_small

    train_small(task.options, task.images, task.output, task.threads)
