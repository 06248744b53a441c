"""Settings of the hyper-parameter search of a classifier, and the check of its space before the first job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from mammoflow.config.search_space import SpaceSettings, check_points, refuse_keys

ANOTHER_CLASSIFIER = ("target", "input", "network", "trainer", "weights", "input_options.model")
"""Keys that make another classifier, with files of its own."""

OTHER_LABELS = ("labels", "few_labels.fraction", "few_labels.draw")
"""Keys that choose the labels of a training."""

WITHOUT_EFFECT = ("title", "note", "device", "seeds", "calibrate", "threshold")
"""Keys on which the AUC of one training does not depend."""


class SearchSettings(SpaceSettings):
    """One hyper-parameter search of a classifier, within the training patients."""

    classifier: str = Field(description="The classifier: an entry of `classifiers`, which need not be in `run`.")

    @model_validator(mode="after")
    def check_keys(self) -> Self:
        """Refuse keys that a search cannot or need not change."""
        remedy = "Give each classifier a search of its own"
        refuse_keys(self, ANOTHER_CLASSIFIER, "which makes another classifier", remedy)
        refuse_keys(self, OTHER_LABELS, "which chooses other labels")
        refuse_keys(self, WITHOUT_EFFECT, "on which the AUC of one training does not depend")
        return self


def check_searches(searches: Mapping[str, SearchSettings], classifiers: Mapping[str, Any]) -> None:
    """Refuse a search of a classifier that does not exist or hides labels, and a space that its settings refuse.

    Raises
    ------
    ValueError
        If there is no such classifier, or if it does not learn from the true labels of all training patients.
    ValidationError
        If its settings refuse a point of the space; the key is below `searches.<name>.space`.
    """
    for name, search in searches.items():
        if search.classifier not in classifiers:
            raise ValueError(
                f"searches.{name}.classifier is {search.classifier!r}; expected one of classifiers: "
                f"{', '.join(classifiers)}"
            )
        entry = classifiers[search.classifier]
        if entry.few_labels.fraction < 1 or entry.labels != "true":
            raise ValueError(
                f"searches.{name}.classifier is {search.classifier!r} with few_labels.fraction "
                f"{entry.few_labels.fraction:g} and labels: {entry.labels}, but the search needs the true labels of "
                "all training patients for its inner folds; expected fraction: 1 and labels: true, or no search"
            )
        check_points(name, search, entry)
