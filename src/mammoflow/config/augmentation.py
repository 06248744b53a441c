"""Names of the random changes of training images."""

from __future__ import annotations

from typing import Literal, get_args

AugmentationName = Literal[
    "flips",
    "rotation",
    "scale",
    "shear",
    "elastic",
    "contrast",
    "brightness",
    "noise",
    "blur",
    "density",
    "cutmix",
]

AUGMENTATIONS: tuple[AugmentationName, ...] = get_args(AugmentationName)
"""All changes, in the order in which they are applied."""

STANDARD: tuple[AugmentationName, ...] = ("flips", "rotation", "scale", "contrast", "brightness")
"""What `augmentation: standard` means."""

Augmentation = Literal["none", "flips", "standard"] | list[AugmentationName]


def augmentation_names(setting: Augmentation) -> tuple[AugmentationName, ...]:
    """Return the changes that a setting names."""
    if isinstance(setting, list):
        return tuple(setting)
    named: dict[str, tuple[AugmentationName, ...]] = {"standard": STANDARD, "flips": ("flips",), "none": ()}
    return named[setting]
