"""What models and classifiers that see colours expect of the image stage, checked before the first job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mammoflow.config.architectures import architecture, why_grey_only
from mammoflow.config.images import ImagesSettings
from mammoflow.config.segmentation import SegmentationSettings


def check_colour(
    images: ImagesSettings, segmentation: SegmentationSettings, classifiers: Sequence[tuple[str, str, Any]]
) -> None:
    """Refuse models and classifiers with `colour: rgb` where the image stage keeps no colours, or they see none.

    Parameters
    ----------
    images
        Settings of the image stage.
    segmentation
        The models; of those with `train.options.colour`, those that segment or are searched are looked at.
    classifiers
        Key, name and settings of each classifier.

    Raises
    ------
    ValueError
        Naming the key.
    """
    names = [*segmentation.run, *(search.model for search in segmentation.searches.values())]
    models = {name: segmentation.models[name].train for name in names if name in segmentation.models}
    options = [(f"segmentation.models.{name}.train.options", train.options) for name, train in models.items() if train]
    options += [(f"classification.{key}.input_options", entry.input_options) for key, _, entry in classifiers]
    for key, each in [("segmentation", segmentation), *options]:
        if getattr(each, "colour", "grey") == "rgb" and images.colour != "keep":
            raise ValueError(
                f"{key}.colour is rgb, but images.colour is {images.colour}; expected images.colour: keep, or colour: "
                "grey"
            )
    if segmentation.colour == "rgb":
        _check_promptable(segmentation)


def _check_promptable(segmentation: SegmentationSettings) -> None:
    """Refuse promptable models that see grey levels only, where `segmentation.colour` is rgb."""
    trained = {name: segmentation.models[name].train for name in segmentation.trained_models()}
    networks = {f"segmentation.run names {name}": segmentation.architecture_of(name) for name in segmentation.run}
    networks |= {f"segmentation.models trains {name}": segmentation.architecture_of(name) for name in trained}
    networks = {place: network for place, network in networks.items() if architecture(network).prompted}
    for name, train in trained.items():
        labels = getattr(train.options, "labels", None) if train else None
        if labels is not None and labels.kind == "boxes":
            networks[f"segmentation.models.{name}.train.options.labels names {labels.model}"] = labels.model
    for place, network in networks.items():
        problem = why_grey_only(network)
        if problem:
            raise ValueError(f"segmentation.colour is rgb, but {place}, and {problem}")
