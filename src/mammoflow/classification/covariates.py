"""What the case table says about a lesion or its image, as one-hot vectors beside a network's features."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from mammoflow.classification.cases import Cases
from mammoflow.classification.vectors import FeatureVectors
from mammoflow.training.batching import Rows

UNKNOWN = ("", "unknown", "<NA>", "nan")


def covariate_vectors(names: list[str], cases: Cases, training: Rows) -> FeatureVectors:
    """Return one column of 0 and 1 for each value that some, not all, training lesions have.

    Parameters
    ----------
    names
        Columns of the table of lesions: `lesion_type`, `density`, `view`.
    cases
        The lesions.
    training
        Rows of the lesions whose values make columns. A value that is unknown, or that no training lesion has, is 0 in
        each column. Where no value makes a column, a line on standard error says so.
    """
    columns: dict[str, pd.Series] = {}
    values = cases.lesions[names].astype("string").fillna("")
    for name in names:
        for value in sorted(set(values[name].iloc[training]) - set(UNKNOWN)):
            column = values[name] == value
            if 0 < column.iloc[training].sum() < len(training):
                columns[f"{name}={value}"] = column
    if not columns:
        print(
            f"covariates: found {', '.join(names)}, of which no value differs between the training lesions; the "
            "classifier is trained without them",
            file=sys.stderr,
            flush=True,
        )
    matrix = np.array([column.to_numpy(dtype=np.float32) for column in columns.values()], dtype=np.float32)
    missing = int(values.isin(UNKNOWN).all(axis=1).sum())
    return FeatureVectors(matrix.reshape(len(columns), len(cases.lesions)).T.copy(), list(columns), missing)
