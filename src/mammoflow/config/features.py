"""Settings of the feature stage: which feature families run, and the options of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from mammoflow.config.base import Settings, read_settings
from mammoflow.config.members import Family, MemberOf, OptionsOfEach
from mammoflow.config.stability import StabilitySettings


class FeatureOptions(Settings):
    """Options that every feature family has; a family with further ones derives its `Options` from it."""

    mask: Literal["predicted", "reference", "box"] = Field(
        "predicted",
        description="Mask of the lesion: that of the default segmentation model (predicted), the reference mask, or "
        "the whole annotated box (box).",
    )
    spacing_mm: float = Field(
        0.2,
        gt=0,
        description="Pixel spacing to which the patch is resampled before the computation; coarser films keep their "
        "spacing.",
    )

    @property
    def without_pectoral(self) -> bool:
        """Whether the pectoral muscle counts as outside the breast."""
        return False

    @property
    def compares_breasts(self) -> bool:
        """Whether the same place of the other breast is needed."""
        return False

    @property
    def can_use_gpu(self) -> bool:
        """Whether these options can use a GPU, for a family that can; without, no GPU is reserved."""
        return True

    def check_patch(self, patch_mm: float) -> None:
        """Check that the patch around a lesion is large enough; a family that needs all of it says so here.

        Parameters
        ----------
        patch_mm
            Side of the patch in millimetres.

        Raises
        ------
        ValueError
            If it is not; the message begins with the key.
        """


FEATURE_FAMILIES = Family("mammoflow.features.families", "feature family", default_options=FeatureOptions)


class FeaturesSettings(Settings):
    """Features of each lesion, by family."""

    run: list[Annotated[str, MemberOf(FEATURE_FAMILIES)]] = Field(
        default_factory=lambda: ["gabor", "radiomics"],
        description="Feature families to compute; an overlay replaces the list.",
    )
    families: Annotated[dict[str, FeatureOptions], OptionsOfEach(FEATURE_FAMILIES, "run")] = Field(
        default_factory=dict, validate_default=True, description="Options of each feature family."
    )
    stability: StabilitySettings = Field(
        default_factory=StabilitySettings,
        description="How the stability of features is measured, by the separate target `stability`.",
    )

    @field_validator("run")
    @classmethod
    def check_run(cls, names: list[str]) -> list[str]:
        """Refuse a feature family that is named twice."""
        if len(set(names)) < len(names):
            raise ValueError(f"run is {names}; expected each once")
        return names


def read_options(family: str, path: Path) -> FeatureOptions:
    """Read the settings file of a feature family.

    Raises
    ------
    ConfigError
        If the file is missing, is no YAML mapping, or does not fit the options of the family.
    ValueError
        If there is no such family, or its `Options` do not derive from `FeatureOptions`.
    """
    options = read_settings(FEATURE_FAMILIES.options(family), path)
    if not isinstance(options, FeatureOptions):
        raise ValueError(f"feature family {family!r}: its Options derive from Settings; expected FeatureOptions")
    return options
