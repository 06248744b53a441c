"""Settings of the comparison and the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from mammoflow.config.ablation import AblationSettings
from mammoflow.config.base import Settings
from mammoflow.config.feature_models import FeatureModelSettings
from mammoflow.config.foreign import ForeignMasks, ForeignPredictions
from mammoflow.config.paths import UserPath
from mammoflow.config.row_names import (
    BIRADS_ROW,
    WORDS_ROW,
    built_in_rows,
    check_own_names,
    fused_rows,
    joined_row,
    mean_row,
)
from mammoflow.config.study_modality import PageSettings

PROTOCOL_TABLE = "protocol_comparison.csv"
"""Name of the table of `mammoflow protocols`."""


class PrimarySettings(Settings):
    """The primary comparison, named before the results are known."""

    model: str = Field(
        min_length=1,
        description="The model: a row of comparison.csv, such as a classifier, an ensemble, or 'NAME + BI-RADS'.",
    )
    against: str = Field(
        BIRADS_ROW, min_length=1, description="The row that it is compared with; the default is the radiologist."
    )

    @model_validator(mode="after")
    def check_pair(self) -> Self:
        """Refuse a model against itself."""
        if self.model == self.against:
            raise ValueError(f"model and against are both {self.model!r}; expected two rows of comparison.csv")
        return self


class IntervalSettings(Settings):
    """How intervals are computed, and for how few patients and cases there are none."""

    bootstrap: int = Field(
        10000, ge=100, description="Resamples of patients behind each interval that has no closed form."
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Coverage of the intervals.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap.")
    fewest_patients: int = Field(
        5,
        ge=2,
        description="No interval is given where fewer patients have a malignant lesion, or fewer a benign one.",
    )
    fewest_cases: int = Field(
        10, ge=1, description="No figure of a subgroup is given where it has fewer lesions; its row says so."
    )


class ComparisonSettings(IntervalSettings):
    """The table of every model against BI-RADS."""

    primary: PrimarySettings | None = Field(
        None,
        description="The one comparison that the study is about, such as {model: context_crop, against: BI-RADS > 3}, "
        "named before the results are known; its p value is not adjusted. null names none.",
    )
    non_inferiority_margin: float | None = Field(
        None,
        gt=0,
        lt=0.5,
        description="Margin in AUC, named before the results are known: a model counts as not inferior where its "
        "difference is above minus the margin with the confidence of the intervals; null tests no such claim.",
    )
    power: float = Field(
        0.8, gt=0.5, lt=1, description="Power behind the smallest difference in AUC that the study could have found."
    )
    prevalence: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of malignant lesions for which predictive values are stated too, such as 0.3 for lesions "
        "that are sent to biopsy; null states those of the test lesions alone.",
    )
    birads_zero: Literal["as_written", "positive", "left_out"] = Field(
        "as_written",
        description="BI-RADS 0 means incomplete: count it as written (not above 3), as positive, or leave the row out.",
    )
    fusion: bool | list[str] = Field(
        True,
        description="Join each classifier with the BI-RADS assessment and with the reader's words, with weights fitted "
        "on validation: true for all classifiers and ensembles, false for none, or a list of names.",
    )
    ensembles: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Ensembles by name, each a list of classifiers of classification.run; the score is the mean of "
        "their logits over classifiers and seeds.",
    )
    joined_views: list[str] = Field(
        default_factory=list,
        description="Classifiers and ensembles that get one more row, in which each lesion has the mean logit over all "
        "views of its finding. The reader of a case table has seen all views too.",
    )
    predictions: list[ForeignPredictions] = Field(
        default_factory=list,
        description="Scores of other tools, each a table that is compared as a trained classifier is.",
    )
    masks: list[ForeignMasks] = Field(
        default_factory=list,
        description="Masks of other tools, each a folder that is scored as the masks of a segmentation model are: "
        "[{name: Vendor AI, folder: vendor/masks, file: '{lesion_id}.png'}].",
    )

    feature_models: list[FeatureModelSettings] = Field(
        default_factory=list,
        description="Further models on features beside those of each family, such as [{name: Stable texture, families: "
        "[gabor], stability_above: 0.75}].",
    )
    ablation: AblationSettings = Field(
        default_factory=AblationSettings,
        description="Models that are trained again with a change each, and compared with the unchanged model.",
    )
    stability_table: str = Field(
        "", description="Table of the target stability; empty takes that of the run. Only stability_above reads it."
    )

    @property
    def needs_stability(self) -> bool:
        """Whether a model on features is limited to stable ones."""
        return any(one.stability_above is not None for one in self.feature_models)

    @model_validator(mode="after")
    def check_ensembles(self) -> Self:
        """Refuse an ensemble without classifiers or with one twice, and views that are joined twice."""
        if len(set(self.joined_views)) < len(self.joined_views):
            raise ValueError(f"joined_views is {self.joined_views}; expected each name once")
        for name, members in self.ensembles.items():
            if not name.strip() or not members or len(set(members)) < len(members):
                raise ValueError(
                    f"ensembles.{name} is {members}; expected a name and at least one classifier, each once"
                )
        return self

    def check_families(self, families: Sequence[str]) -> None:
        """Check that models on features have families, and that these run.

        Parameters
        ----------
        families
            Feature families of the run, `features.run`.

        Raises
        ------
        ValueError
            If one has none or names another; the message begins with the key.
        """
        for one in self.feature_models:
            if not one.families and not families:
                raise ValueError(
                    f"comparison.feature_models: {one.name!r} takes all families and features.run is empty; expected "
                    "at least one family; name one in features.run, or take the model out"
                )
            unknown = [family for family in one.families if family not in families]
            if unknown:
                raise ValueError(
                    f"comparison.feature_models: {one.name!r} names the family {unknown[0]!r}; expected some of "
                    f"features.run {[*families]}"
                )
            if one.standardised_similarity and "gabor" not in (one.families or families):
                raise ValueError(
                    f"comparison.feature_models: {one.name!r} has standardised_similarity and not the family gabor; "
                    "expected gabor among its families"
                )

    def check_classifiers(self, classifiers: Mapping[str, int], families: Sequence[str] = ()) -> None:
        """Check that each row has a name of its own, and that all settings name classifiers of malignancy that run.

        Parameters
        ----------
        classifiers
            Number of seeds of each classifier of the run, `classification.run`.
        families
            Feature families of the run, `features.run`.

        Raises
        ------
        ValueError
            If an ensemble, a tool or a model on features has the name of another row, or if a setting names no row
            that there may be; the message begins with the key.
        """
        given = {f"comparison.ensembles.{name}": name for name in self.ensembles}
        given |= {f"comparison.predictions.{place}.name": one.name for place, one in enumerate(self.predictions)}
        given |= {f"comparison.feature_models.{place}.name": one.name for place, one in enumerate(self.feature_models)}
        check_own_names(given, [*classifiers, *built_in_rows(families), *map(joined_row, self.joined_views)])
        for name in self.ablation.classifiers:
            if name not in classifiers:
                raise ValueError(
                    f"comparison.ablation.classifiers names {name!r}, a classifier of classes; expected one of "
                    f"malignancy {[*classifiers]}. The differences of classifiers of classes are in "
                    "class_differences.csv"
                )
        for name, members in self.ensembles.items():
            for member in members:
                if member not in classifiers:
                    raise ValueError(
                        f"comparison.ensembles.{name} names {member!r}; expected one of classification.run "
                        f"{[*classifiers]}"
                    )
        for key, name in (("model", self.primary.model), ("against", self.primary.against)) if self.primary else ():
            if name not in self._rows(classifiers, families):
                raise ValueError(
                    f"comparison.primary.{key} names {name!r}; expected {BIRADS_ROW!r}, a classifier of "
                    f"classification.run or an ensemble {[*classifiers, *self.ensembles]}, one of these with "
                    "' + BI-RADS' or \" + reader's words\" that comparison.fusion joins, a classifier with "
                    "' (mean of N seeds)' for its number of seeds, features of features.run such as 'Gabor features', "
                    "or a floor"
                )
        for name in self.joined_views:
            if name not in [*classifiers, *self.ensembles]:
                raise ValueError(
                    f"comparison.joined_views names {name!r}; expected classifiers of classification.run or ensembles "
                    f"{[*classifiers, *self.ensembles]}"
                )
        for name in self.fusion if isinstance(self.fusion, list) else []:
            if name not in self._names(classifiers):
                raise ValueError(
                    f"comparison.fusion names {name!r}; expected one of classification.run, comparison.ensembles, "
                    f"comparison.feature_models or comparison.predictions {self._names(classifiers)}"
                )

    def _names(self, classifiers: Iterable[str]) -> list[str]:
        """Return the names that the user gave to rows, and those of their joined views."""
        own = (*(one.name for one in self.feature_models), *(one.name for one in self.predictions))
        return [*classifiers, *self.ensembles, *map(joined_row, self.joined_views), *own]

    def _rows(self, classifiers: Mapping[str, int], families: Sequence[str]) -> list[str]:
        """Return the names of all rows that the comparison may have."""
        names = self._names(classifiers)
        of_features = [one.name for one in self.feature_models]
        fused = [name for name in names if name not in of_features] if self.fusion is True else self.fusion or []
        means = [mean_row(name, seeds) for name, seeds in classifiers.items() if seeds > 1]
        built_in = [row for row in built_in_rows(families) if row != WORDS_ROW or self.fusion is not False]
        return [*names, *fused_rows(fused), *means, *built_in]


class ReportSettings(PageSettings):
    """The HTML report."""

    title: str = Field("mammoflow report", description="Title of the report; phantom studies are marked in any case.")
    overlays: int = Field(
        6, ge=0, le=60, description="Number of lesions shown for each model with outlines and prompt."
    )
    saliency: int = Field(
        6, ge=0, le=60, description="Number of lesions shown for each classifier and method with their saliency map."
    )
    protocols: UserPath = Field(
        "",
        description="Folder that `mammoflow protocols` wrote; the page shows its comparison of two runs, such as one "
        "with a leaking split and one without. Empty shows none.",
    )
    robustness: bool = Field(
        False,
        description="Show the scores on degraded test images. The report then needs the table of the target "
        "robustness, which is made first. false shows none, even if the table is there.",
    )
    gallery: int = Field(
        1000,
        ge=0,
        description="Largest number of test lesions in the gallery of cases; 0 makes a report without the gallery.",
    )
    gallery_px: int = Field(
        384, ge=64, le=1024, description="Longest side of each picture of the gallery; larger ones make a larger page."
    )
