"""Settings of the split of the patients into train, validation and test."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mammoflow.config.base import Settings


class SplitSettings(Settings):
    """How patients are divided; no patient is on two sides, except where the method says so."""

    method: Literal["official", "random", "kfold", "leave_one_source_out", "by_image", "apply"] = Field(
        "random",
        description="official keeps the data set's own test set (training rows of its patients are left out). random "
        "draws patients, stratified by malignancy. kfold uses each of `folds` parts of the patients as "
        "test, in turn. leave_one_source_out uses one data set as test. by_image is the published "
        "protocol, which puts patients on both sides and is marked as leaking everywhere. apply trains "
        "nothing: every patient is test.",
    )
    test_fraction: float = Field(
        0.3, gt=0, lt=1, description="Share of patients for test (method random), or of images (by_image)."
    )
    validation_fraction: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Share of the training patients for validation, on whom thresholds and epochs are chosen; for "
        "by_image, share of images.",
    )
    folds: int = Field(5, ge=2, description="For the method kfold: number of parts; every patient is in one of them.")
    fold: Annotated[int, Field(ge=0)] | Literal["all"] = Field(
        "all",
        description="For the method kfold: all makes every fold in one run, so each patient is in the test split "
        "once. A number, from 0, makes only that fold.",
    )
    test_source: str = Field(
        "", description="For the method leave_one_source_out: name of the data set that is used as test."
    )
    seed: int = Field(0, ge=0, description="Seed of the draw.")

    @property
    def leaking(self) -> bool:
        """Whether the split puts patients on several sides on purpose."""
        return self.method == "by_image"

    @property
    def all_folds(self) -> bool:
        """Whether one run makes every fold."""
        return self.method == "kfold" and self.fold == "all"

    def of_fold(self, fold: int) -> Self:
        """Return the settings of one fold of the run."""
        return self.model_copy(update={"fold": fold})

    @model_validator(mode="after")
    def check_method(self) -> Self:
        """Refuse a fold that does not exist, and a test source that the method would not look at or lacks."""
        if self.fold != "all" and self.fold >= self.folds:
            raise ValueError(f"fold is {self.fold}, expected all, or 0 to {self.folds - 1}, as folds is {self.folds}")
        if (self.method == "leave_one_source_out") != bool(self.test_source):
            raise ValueError(
                f"method is {self.method!r} and test_source is {self.test_source!r}; expected the name of a data set "
                "with leave_one_source_out, and an empty one with any other method"
            )
        return self
