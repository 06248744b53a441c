"""The table of predictions."""

from __future__ import annotations

import pandera.pandas as pa

from mammoflow.config.split_names import SPLITS
from mammoflow.tables.columns import NUMBER, integer, number, text

# One row per lesion, model and seed.
PREDICTIONS = pa.DataFrameSchema(
    {
        "lesion_id": text(),
        "image_id": text(),
        "patient_id": text(),
        "model": text(),
        "seed": integer(0, 2**31),
        "split": text(choices=SPLITS),
        "malignant": integer(0, 1),
        "probability": pa.Column(NUMBER, checks=[pa.Check.in_range(0, 1)], nullable=True, coerce=True),
        "threshold": number(nullable=False),  # chosen on validation
        "predicted": integer(0, 1),
    },
    unique=["lesion_id", "model", "seed"],
    name="predictions",
)
