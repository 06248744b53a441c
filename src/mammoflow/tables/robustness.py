"""The table of the robustness of segmentation models and classifiers."""

from __future__ import annotations

import pandera.pandas as pa

from mammoflow.tables.columns import integer, number, text

NONE = "none"
"""Name of the condition without a degradation; its level is 0."""

SEGMENTATION, CLASSIFICATION = "segmentation", "classification"

CURVES = "curves"
"""Name of the files of the figure, without the suffix."""

# One row for each model, degradation and level; the first row of a model is of the undegraded images.
ROBUSTNESS = pa.DataFrameSchema(
    {
        "model": text(),
        "kind": text(choices=(SEGMENTATION, CLASSIFICATION)),
        "degradation": text(),
        "level": number(nullable=False),
        "n": integer(0, 10**6),  # lesions with a score under this condition and without it
        "patients": integer(0, 10**6),
        "score": text(choices=("Dice", "AUC")),
        "undegraded": number(),  # on the undegraded images of the same lesions
        "value": number(),
        "low": number(),
        "high": number(),
        "difference": number(),  # value minus undegraded, paired by lesion
        "difference_low": number(),
        "difference_high": number(),
        "note": text(),
    },
    unique=["kind", "model", "degradation", "level"],
    name="robustness",
)
