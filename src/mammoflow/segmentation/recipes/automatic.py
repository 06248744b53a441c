"""Training of an automatic model on whole images or patches; see docs/segmentation-automatic.md."""

from __future__ import annotations

from mammoflow.config.architectures import architecture as architecture_of
from mammoflow.config.automatic import AutomaticTrainingSettings
from mammoflow.segmentation.training_task import TrainingTask

Options = AutomaticTrainingSettings
PROMPTED = False


def check(options: AutomaticTrainingSettings, architecture: str, start: str) -> None:
    """Refuse a promptable architecture.

    Raises
    ------
    ValueError
        Naming the key below `train`.
    """
    if architecture_of(architecture).prompted:
        raise ValueError(f"recipe is automatic, but {architecture} needs prompts; expected the recipe tune, or small")


def train(task: TrainingTask) -> None:
    """Train the model, from random weights or from those that the task starts from."""
    from mammoflow.segmentation.automatic.training import train_automatic

    train_automatic(task)
