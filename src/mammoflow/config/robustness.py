"""Settings of the robustness: how test images are degraded, and which models see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field, field_validator

from mammoflow.config.base import Seed, Settings
from mammoflow.config.classification import ClassificationSettings
from mammoflow.config.evaluation import IntervalSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.config.segmentation import SegmentationSettings

Bounds = tuple[Callable[[float], bool], str]

LEVELS: dict[str, Bounds] = {
    "gaussian_noise": (lambda level: 0 < level <= 1, "a share above 0 and up to 1"),
    "blur": (lambda level: 0 < level <= 20, "millimetres above 0 and up to 20"),
    "contrast": (lambda level: 0 <= level <= 5, "a factor from 0 to 5"),
    "gamma": (lambda level: 0 < level <= 10, "an exponent above 0 and up to 10"),
    "jpeg": (lambda level: 1 <= level <= 100 and level == int(level), "a whole number from 1 to 100"),
    "resolution": (lambda level: 1 <= level <= 64, "a factor from 1 to 64"),
    "spacing": (lambda level: -0.9 <= level <= 5, "a share from -0.9 to 5"),
    "label": (lambda level: 0 < level <= 200, "millimetres above 0 and up to 200"),
}
"""Which levels each degradation takes."""


def default_degradations() -> dict[str, list[float]]:
    """Return the degradations of the default configuration, each from weak to strong."""
    return {
        "gaussian_noise": [0.02, 0.05, 0.1],
        "blur": [0.5, 1.0, 2.0],
        "contrast": [0.75, 0.5, 0.25],
        "gamma": [0.5, 0.7, 1.4, 2.0],
        "jpeg": [50, 20, 10],
        "resolution": [2, 4],
        "spacing": [-0.09, 0.09],
        "label": [10, 20],
    }


class RobustnessSettings(Settings):
    """How scores of segmentation models and classifiers change if test images are degraded."""

    degradations: dict[str, list[float]] = Field(
        default_factory=default_degradations,
        description="Levels of each degradation; an empty list leaves it out. gaussian_noise: standard deviation as a "
        "share of the range of the breast's grey levels. blur: sigma in mm. contrast: factor. gamma: exponent. jpeg: "
        "quality. resolution: factor of downsampling. spacing: share by which the pixel spacing is taken wrong. label: "
        "width of a film label in mm.",
    )
    lesions: int = Field(
        150,
        ge=5,
        description="Largest number of test lesions. Patients are drawn by the seed and keep all of their lesions.",
    )
    seed: Seed = Field(0, description="Seed of the draw of patients and of the noise.")
    models: list[str] | None = Field(
        None, description="Segmentation models of segmentation.run; null takes all that see grey levels."
    )
    classifiers: list[str] | None = Field(
        None,
        description="Classifiers of classification.run; null takes all whose input can be degraded, which are those of "
        "malignancy whose input and segmentation model see grey levels, without features or words of the case table.",
    )

    @field_validator("degradations")
    @classmethod
    def check_levels(cls, values: dict[str, list[float]]) -> dict[str, list[float]]:
        """Refuse a degradation that does not exist, and levels that it does not take."""
        for name, levels in values.items():
            if name not in LEVELS:
                raise ValueError(f"degradations names {name!r}; expected some of {', '.join(LEVELS)}")
            fits, expected = LEVELS[name]
            wrong = [level for level in levels if not fits(level)]
            if wrong:
                raise ValueError(f"degradations.{name} has {wrong[0]:g}; expected {expected}")
            if len(set(levels)) < len(levels):
                raise ValueError(f"degradations.{name} is {levels}; expected each level once")
        return values

    def conditions(self) -> list[tuple[str, float]]:
        """Return name and level of each degradation, in the order of the settings."""
        return [(name, level) for name, levels in self.degradations.items() for level in levels]

    def chosen_models(self, segmentation: SegmentationSettings) -> list[str]:
        """Return the segmentation models whose scores are taken.

        Raises
        ------
        ValueError
            If `models` names one that does not run, or that sees colours.
        """
        reasons = {name: _colour_reason(_sees_colours(segmentation, name)) for name in segmentation.run}
        return _chosen("models", self.models, reasons, "segmentation.run")

    def chosen_classifiers(
        self, classification: ClassificationSettings, segmentation: SegmentationSettings
    ) -> list[str]:
        """Return the classifiers whose scores are taken.

        Raises
        ------
        ValueError
            If `classifiers` names one that does not run, or whose input cannot be degraded.
        """
        reasons = {name: _why_not(classification, segmentation, name) for name in classification.run}
        return _chosen("classifiers", self.classifiers, reasons, "classification.run")


class RobustnessJob(RobustnessSettings):
    """What the job needs."""

    prompts: PromptSettings = Field(
        default_factory=PromptSettings, description="The one prompt of each lesion that masks of the run come from."
    )
    intervals: IntervalSettings = Field(
        default_factory=IntervalSettings, description="How intervals are computed, as in the comparison."
    )


def robustness_job(settings: RobustnessSettings, prompts: PromptSettings, intervals: IntervalSettings) -> RobustnessJob:
    """Return what the job needs: of the prompts of a run the one whose masks later stages use."""
    values = {name: getattr(settings, name) for name in RobustnessSettings.model_fields}
    margin = prompts.default_margin_mm
    one = {"margins_mm": [margin], "kinds": prompts.kinds[:1], "draws": 0, "jitter_mm": 0.0, "jitter_share": 0.0}
    only = {"reference": True, "readers": [], "splits": ["test"]}
    of_intervals = IntervalSettings(**{name: getattr(intervals, name) for name in IntervalSettings.model_fields})
    return RobustnessJob(**values, prompts=prompts.model_copy(update=one | only), intervals=of_intervals)


def _chosen(key: str, named: Sequence[str] | None, reasons: dict[str, str], origin: str) -> list[str]:
    able = [name for name, reason in reasons.items() if not reason]
    for name in named or ():
        if reasons.get(name, ""):
            raise ValueError(f"robustness.{key} names {name!r}, which {reasons[name]}; expected some of {able}")
        if name not in reasons:
            raise ValueError(f"robustness.{key} names {name!r}; expected some of {able}, which {origin} has")
    return able if named is None else list(dict.fromkeys(named))


def _sees_colours(segmentation: SegmentationSettings, name: str) -> bool:
    """Tell whether a segmentation model sees colours: a promptable one by their setting, another by its training."""
    if segmentation.is_prompted(name):
        return segmentation.colour == "rgb"
    entry = segmentation.models.get(name)
    return entry is not None and entry.train is not None and _is_rgb(entry.train.options)


def _is_rgb(options: Any) -> bool:
    return getattr(options, "colour", "grey") == "rgb"


def _colour_reason(sees_colours: bool) -> str:
    return "sees colours (colour: rgb), and grey images are degraded" if sees_colours else ""


def _why_not(classification: ClassificationSettings, segmentation: SegmentationSettings, name: str) -> str:
    """Say why the input of a classifier cannot be degraded; else ""."""
    entry = classification.classifiers[name]
    if classification.from_run:
        return "the run classification.from_run trained; ask for its robustness in that run"
    if entry.target == "classes":
        return "tells classes of images apart, and the AUC of malignancy is measured"
    if entry.vectors or entry.covariates:
        further = ", ".join(map(str, [*entry.vectors, *entry.covariates]))
        return f"also takes {further}, which are not computed again on degraded images"
    model = getattr(entry.input_options, "model", "") or segmentation.default_model
    if {"masks", "model"} & set(entry.needs()) and _sees_colours(segmentation, model):
        return f"takes masks or embeddings of {model}, which {_colour_reason(sees_colours=True)}"
    return _colour_reason(_is_rgb(entry.input_options))
