"""Settings of the saliency maps, which show where in its picture a classifier finds evidence for malignancy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from mammoflow.config.base import SeededSettings
from mammoflow.config.classification import INPUTS, ClassificationSettings

SaliencyMethod = Literal["grad_cam", "integrated_gradients"]


class SaliencyJob(SeededSettings):
    """What the job of one classifier needs."""

    methods: list[SaliencyMethod] = Field(
        ["grad_cam"],
        min_length=1,
        description="How maps are made: Grad-CAM on the last feature map, or integrated gradients of the picture.",
    )
    lesions: int = Field(
        200,
        ge=1,
        description="Largest number of test lesions of a classifier that get a map; if there are more, they are drawn.",
    )
    tolerance: float = Field(
        0.03,
        ge=0,
        le=0.5,
        description="Distance from the mask up to which the maximum of a map is a hit, as a share of the picture's "
        "side; 0.03 is about 15 pixels of a photograph, as published.",
    )
    steps: int = Field(32, ge=2, le=1000, description="Steps of integrated gradients.")

    @field_validator("methods")
    @classmethod
    def check_each_once(cls, values: list[str]) -> list[str]:
        """Refuse a method that is named twice."""
        if len(set(values)) < len(values):
            raise ValueError(f"methods is {values}; expected each once")
        return values


class SaliencySettings(SaliencyJob):
    """Saliency maps, and which classifiers get them."""

    run: bool | list[str] = Field(
        True,
        description="Classifiers that get maps: true for each of classification.run whose pictures a lesion's mask "
        "can be mapped to and whose target is malignant, false for none, or a list of names.",
    )

    def classifiers(self, classification: ClassificationSettings) -> list[str]:
        """Return the classifiers that get maps.

        Raises
        ------
        ValueError
            If `run` names a classifier that does not run, or whose input cannot bring a mask onto its pictures.
        """
        able = [name for name in classification.of_malignancy() if _shows_masks(classification.classifiers[name].input)]
        if isinstance(self.run, bool):
            return able if self.run else []
        for name in self.run:
            if name not in able:
                raise ValueError(
                    f"saliency.run names {name!r}; expected some of {able}, the classifiers of classification.run onto "
                    "whose pictures a lesion's mask can be brought"
                )
        return list(dict.fromkeys(self.run))


def _shows_masks(name: str) -> bool:
    """Tell whether an input can bring masks of lesions onto its pictures."""
    return hasattr(INPUTS.load(name), "masks_on_pictures")
