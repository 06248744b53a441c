"""The table of the stability of features."""

from __future__ import annotations

from pathlib import Path

import pandera.pandas as pa

from mammoflow.errors import StudyError
from mammoflow.tables.columns import integer, number, text
from mammoflow.tables.files import read_csv

ALL = "all"
PERTURBATIONS = ("box", "margin", "mask", "rotation", "spacing", ALL)

# One row for each feature and kind of change. Lesions are of the training split, each of another patient.
STABILITY = pa.DataFrameSchema(
    {
        "family": text(),
        "feature": text(),
        "perturbation": text(choices=PERTURBATIONS),
        "mask": text(choices=("predicted", "reference", "box")),
        "conditions": integer(2, 1000),  # the unchanged lesion included
        "n": integer(0, 10**6),  # lesions with a value under every condition
        "patients": integer(0, 10**6),
        "icc": number(),
        "icc_low": number(),
        "icc_high": number(),
        "note": text(),
    },
    unique=["feature", "perturbation"],
    name="stability",
)


def stable_features(path: Path, above: float) -> set[str]:
    """Return the features whose ICC under all changes together is above a bound, by the lower limit of its interval.

    A feature that no change affects at all has an ICC of 1 and no interval, and is one of them.

    Raises
    ------
    StudyError
        If the table is missing or does not fit.
    """
    if not path.is_file():
        raise StudyError(f"table {path} does not exist; run the target `stability` first")
    table = read_csv(path, keep_default_na=False, na_values={"icc": [""], "icc_low": [""], "icc_high": [""]})
    missing = sorted(set(STABILITY.columns) - set(table.columns))
    if missing:
        raise StudyError(f"table {path} lacks the columns {', '.join(missing)}; run the target `stability` again")
    together = table[table["perturbation"] == ALL]
    kept = (together["icc_low"] > above) | ((together["icc"] == 1) & together["icc_low"].isna())
    return set(together.loc[kept, "feature"].astype(str))
