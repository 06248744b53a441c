"""Threads that compute in a training."""

from __future__ import annotations

from pydantic import Field

from mammoflow.config.base import Settings


class TrainingThreads(Settings):
    """Threads of a training on a CPU; on a GPU other threads load its samples, and the result is the same."""

    classifier: int = Field(
        1, ge=1, le=64, description="Threads of the training of one classifier, of its search and of its saliency maps."
    )
    segmentation: int = Field(
        2, ge=1, le=64, description="Threads of the training of one segmentation model, and of its search."
    )
