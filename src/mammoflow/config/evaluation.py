"""Settings of the comparison and the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from mammoflow.config.base import Settings
from mammoflow.config.foreign import ForeignPredictions, check_foreign_names


class ComparisonSettings(Settings):
    """The table of every model against BI-RADS."""

    birads_zero: Literal["as_written", "positive", "left_out"] = Field(
        "as_written",
        description="BI-RADS 0 means incomplete: count it as written (not above 3), as positive, or leave the row out.",
    )
    bootstrap: int = Field(1000, ge=100, description="Resamples of patients behind each interval.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Coverage of the intervals.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap.")
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
    predictions: list[ForeignPredictions] = Field(
        default_factory=list,
        description="Scores of other tools, each a table that is compared as a trained classifier is.",
    )

    @model_validator(mode="after")
    def check_ensembles(self) -> Self:
        """Refuse an ensemble without classifiers, or with one twice."""
        for name, members in self.ensembles.items():
            if not name.strip() or not members or len(set(members)) < len(members):
                raise ValueError(
                    f"ensembles.{name} is {members}; expected a name and at least one classifier, each once"
                )
        return self

    def check_classifiers(self, classifiers: Sequence[str]) -> None:
        """Check that ensembles and fusions name classifiers that run.

        Parameters
        ----------
        classifiers
            Names of the classifiers of the run, `classification.run`.

        Raises
        ------
        ValueError
            If one does not, or if an ensemble has the name of a classifier; the message begins with the key.
        """
        check_foreign_names(self.predictions, [*classifiers, *self.ensembles])
        for name, members in self.ensembles.items():
            if name in classifiers:
                raise ValueError(f"comparison.ensembles.{name} has the name of a classifier; expected another name")
            for member in members:
                if member not in classifiers:
                    raise ValueError(
                        f"comparison.ensembles.{name} names {member!r}; expected one of classification.run "
                        f"{[*classifiers]}"
                    )
        for name in self.fusion if isinstance(self.fusion, list) else []:
            known = [*classifiers, *self.ensembles, *(one.name for one in self.predictions)]
            if name not in known:
                raise ValueError(
                    f"comparison.fusion names {name!r}; expected one of classification.run, comparison.ensembles or "
                    f"comparison.predictions {known}"
                )


class ReportSettings(Settings):
    """The HTML report."""

    title: str = Field("mammoflow report", description="Title of the report; phantom studies are marked in any case.")
    overlays: int = Field(
        6, ge=0, le=60, description="Number of lesions shown for each model with outlines and prompt."
    )
    saliency: int = Field(
        6, ge=0, le=60, description="Number of lesions shown for each classifier and method with their saliency map."
    )
