"""Names of the families of hypotheses in the tables of paired tests, and p values in words."""

from __future__ import annotations

PRIMARY = "primary"
AGAINST_READER = "models against BI-RADS"
AGAINST_BEST = "models against the best model"
EXPLORATORY = "exploratory"


def probability_value(p: float | None) -> str:
    """Write a p value: `p = 0.012`, or that it is smaller than 0.001."""
    if p is None:
        return "no p value"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
