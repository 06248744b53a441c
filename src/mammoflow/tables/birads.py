"""The table of BI-RADS as a model, from case tables alone."""

from __future__ import annotations

from typing import Literal

import pandera.pandas as pa

from mammoflow.tables.columns import integer, number, text

LEVELS = ("row", "finding", "patient")
POLICIES: tuple[Literal["as_written", "positive", "left_out"], ...] = ("as_written", "positive", "left_out")
ESTIMATED = ("accuracy", "precision", "recall", "specificity", "npv", "f1", "auc")
COUNTED = ("true_positive", "false_positive", "false_negative", "true_negative")

# One row for each study, part of its rows, level, policy for BI-RADS 0, and threshold.
BIRADS = pa.DataFrameSchema(
    {
        "source": text(),  # name of the data set
        "level": text(choices=LEVELS),  # row: a lesion on one view; finding: its views joined
        "lesion_type": text(),  # or "all", as in the next three
        "split": text(),
        "density": text(),
        "view": text(),
        "birads_zero": text(choices=POLICIES),
        "threshold": integer(1, 5),  # the lowest assessment that is called malignant
        "rule": text(),  # the threshold in words
        "n": integer(0, 10**9),
        "n_malignant": integer(0, 10**9),
        "patients": integer(0, 10**9),
        "n_birads_zero": integer(0, 10**9),  # rows of the case tables with BI-RADS 0 in this part
        **{name: integer(0, 10**9) for name in COUNTED},
        **{f"{name}{end}": number() for name in ESTIMATED for end in ("", "_low", "_high")},
        "note": text(),
    },
    name="birads",
)
