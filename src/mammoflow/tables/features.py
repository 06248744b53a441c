"""The table of features."""

from __future__ import annotations

import pandera.pandas as pa

from mammoflow.tables.columns import text

# One row a lesion; every further column is a feature.
FEATURES = pa.DataFrameSchema({"lesion_id": text(), "patient_id": text()}, unique=["lesion_id"], name="features")
