"""The weights files of segmentation models that are given: named by the configuration, fetched, or of a package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mammoflow.config.architectures import architecture, published_names
from mammoflow.config.base import Settings
from mammoflow.config.few_labels import LabelKindSettings
from mammoflow.config.recipes import TrainSettings
from mammoflow.config.segmentation import ModelSettings, SegmentationSettings


def given_file(segmentation: SegmentationSettings, folder: str, model: str) -> str:
    """Return the weights file of a model that the run does not train.

    Parameters
    ----------
    segmentation
        Its `models` may name the file.
    folder
        Folder of fetched weights, for a published model whose file is not named.
    model
        Name of the model: an entry of `models`, or a published one.

    Returns
    -------
    str
        The path, there or not; "" for a file that a package brings.
    """
    named = segmentation.models.get(model, ModelSettings()).weights
    if named:
        return named
    source = architecture(segmentation.architecture_of(model)).source
    return str(Path(folder) / source.file) if source and source.url else ""


def box_labels(train: TrainSettings) -> LabelKindSettings | None:
    """Return the labels of a training whose masks a promptable model makes of boxes; None for other labels."""
    labels = getattr(train.options, "labels", None)
    return labels if labels is not None and labels.kind == "boxes" else None


def options_with_label_weights(train: TrainSettings, segmentation: SegmentationSettings, folder: str) -> Settings:
    """Return the options of a training with the weights file of the model that makes masks of boxes.

    Parameters
    ----------
    train
        The training. Its options stay as they are where they name the file, or need none.
    segmentation, folder
        Where a published file is, as `given_file` takes them.
    """
    labels = box_labels(train)
    if labels is None or labels.weights:
        return train.options
    with_file = labels.model_copy(update={"weights": given_file(segmentation, folder, labels.model)})
    return train.options.model_copy(update={"labels": with_file})


def prefetched_models(segmentation: SegmentationSettings, of_exam: Sequence[str]) -> dict[str, str]:
    """Return the published models that run, that trainings start from or take masks of boxes from, and of the exam.

    Parameters
    ----------
    segmentation
        Models and trainings.
    of_exam
        Models of the page of the real exam.

    Returns
    -------
    dict
        Name -> file that the configuration names for it, or "".
    """
    trainings = [entry.train for entry in segmentation.models.values() if entry.train]
    # Weights that the labels name are the user's own, or those of a model that the run trains.
    labels = [one.model for one in map(box_labels, trainings) if one is not None and not one.weights]
    names = [*segmentation.run, *(train.start for train in trainings)]
    names += [name for name in (*labels, *of_exam) if _is_fetched(name)]
    named = {name: segmentation.models.get(name, ModelSettings()).weights for name in names}
    return {name: file for name, file in named.items() if name in published_names()}


def _is_fetched(model: str) -> bool:
    """Tell whether the published weights of a model have an address."""
    source = architecture(model).source
    return source is not None and bool(source.url)
