"""Settings of further models on features: which features they take, how these are chosen, and how they are fitted."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.config.base import Settings


class FeatureModelSettings(Settings):
    """One more model on features, as a row of the comparison. All that it chooses, it chooses on training lesions."""

    name: str = Field(min_length=1, description="Name of its row, such as 'Stable texture'.")
    families: list[str] = Field(
        default_factory=list, description="Feature families that it takes, of features.run; empty takes all of them."
    )
    method: Literal["ridge", "elastic_net", "lasso", "boosting"] = Field(
        "elastic_net",
        description="Logistic regression with an L2 penalty (ridge), half L1 and half L2 (elastic_net) or an L1 "
        "penalty (lasso), whose strength is chosen on validation; or gradient boosting of small trees (boosting).",
    )
    correlation_at_most: float | None = Field(
        0.95,
        gt=0,
        le=1,
        description="Largest rank correlation between two features on the training lesions; of a pair with more, the "
        "later column is left out. null keeps all.",
    )
    stability_above: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Keep features whose ICC under all changes of the target stability is above this bound, by the "
        "lower limit of its interval; null keeps all.",
    )
    standardised_similarity: bool = Field(
        False,
        description="Add the cosine similarity of Gabor features that were standardised by the training lesions.",
    )
    size: bool = Field(
        False, description="Add the logarithm of the lesion's longest diameter, to see what features add to size."
    )
