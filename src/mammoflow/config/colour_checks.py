"""What models and classifiers that see colours expect of the image stage, checked before the first job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mammoflow.config.images import ImagesSettings
from mammoflow.config.segmentation import SegmentationSettings


def check_colour(
    images: ImagesSettings, segmentation: SegmentationSettings, classifiers: Sequence[tuple[str, str, Any]]
) -> None:
    """Refuse models and classifiers with `colour: rgb` where the image stage does not keep colours.

    Parameters
    ----------
    images
        Settings of the image stage.
    segmentation
        The models; those of `segmentation.run` are looked at.
    classifiers
        Key, name and settings of each classifier.

    Raises
    ------
    ValueError
        Naming the key.
    """
    models = {name: segmentation.models[name].train for name in segmentation.run if name in segmentation.models}
    options = [(f"segmentation.models.{name}.train.options", train.options) for name, train in models.items() if train]
    options += [(f"classification.{key}.input_options", entry.input_options) for key, _, entry in classifiers]
    for key, each in options:
        if getattr(each, "colour", "grey") == "rgb" and images.colour != "keep":
            raise ValueError(
                f"{key}.colour is rgb, but images.colour is {images.colour}; expected images.colour: keep, or colour: "
                "grey"
            )
