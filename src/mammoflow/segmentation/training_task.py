"""What a training recipe is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mammoflow.config.inference import Precision
from mammoflow.weights.registry import ModelSpec


@dataclass(frozen=True)
class TrainingTask:
    """One segmentation model to train.

    Attributes
    ----------
    options
        Options of the recipe, an instance of its `Options`.
    architecture
        Architecture of the model.
    start
        The model to start from; None for random weights.
    images
        Folders of image-stage shards. Test patients are not used.
    store
        Folder of the embeddings.
    margin_mm
        Margin of the box with which validation lesions are prompted.
    precision
        Numbers of an image encoder that is not trained: those of the segmentation, so that no image is encoded twice.
    output
        Folder for the weights, their record and the learning curve; its name is the model's.
    threads
        Threads of this job.
    """

    options: Any
    architecture: str
    start: ModelSpec | None
    images: list[Path]
    store: Path
    margin_mm: float
    precision: Precision
    output: Path
    threads: int
