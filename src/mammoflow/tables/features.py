"""The table of a feature family, and the one definition of what a feature is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from mammoflow.tables.columns import number, text
from mammoflow.tables.files import write_table

OK = "ok"
"""`status` of a lesion whose features are all defined."""

FeatureRow = dict[str, object]

# One row per lesion. Columns that begin with the name of the family are features; all others describe the measurement.
FEATURES = pa.DataFrameSchema(
    {
        "lesion_id": text(),
        "patient_id": text(),
        "mask_model": text(),  # whose mask marks the lesion; "" for the reference, or where there is none
        "status": text(),
        "detail": text(),
        "spacing_mm": number(),
    },
    unique=["lesion_id"],
    name="features",
)


def feature_columns(table: pd.DataFrame, family: str) -> list[str]:
    """Return the columns of a table that are features of a family: those that begin with `<family>_`.

    This is the only definition of a feature. What else a table holds, such as the pixel spacing or the size of a
    region, depends on scanner, breast and position; a model that is trained on it learns the scanner.

    Parameters
    ----------
    table
        Of the FEATURES schema.
    family
        Name of the feature family.
    """
    return [str(column) for column in table.columns if str(column).startswith(f"{family}_")]


def write_features(
    rows: Sequence[Mapping[str, object]],
    family: str,
    columns: Sequence[str],
    description: Sequence[str],
    output: Path,
) -> pd.DataFrame:
    """Write the rows of a family with all columns; what a row lacks and what is infinite is `nan`.

    Parameters
    ----------
    rows
        Keys, `mask_model` (none for the reference mask), `status`, `detail`, `spacing_mm` and numbers by column.
    family
        Name of the feature family.
    columns
        Names of its features.
    description
        Names of further numbers that describe the measurement.
    output
        Table to write (Parquet).

    Raises
    ------
    ValueError
        If a feature lacks the prefix of the family, a description has it, a name is given twice, or a row holds a
        column that is neither.
    """
    _check_names(family, columns, description)
    numbers = ["spacing_mm", *description, *columns]
    texts = [name for name in FEATURES.columns if name != "spacing_mm"]
    undeclared = sorted({name for row in rows for name in row} - {*texts, *numbers})
    if undeclared:
        raise ValueError(
            f"feature family {family!r} gave {', '.join(undeclared)}; expected features that it lists in `columns` and "
            "other numbers that it lists in `description`"
        )
    table = pd.DataFrame(list(rows), columns=[*texts, *numbers]).fillna({"mask_model": ""})
    values = table[numbers].astype("float64").replace([math.inf, -math.inf], math.nan)
    return write_table(pd.concat([table[texts].astype("str"), values], axis=1), FEATURES, output)


def _check_names(family: str, columns: Sequence[str], description: Sequence[str]) -> None:
    """Check that the names alone tell features from descriptions."""
    prefix = f"{family}_"
    wrong = [
        *(name for name in columns if not name.startswith(prefix)),
        *(name for name in description if name.startswith(prefix) or name in FEATURES.columns),
    ]
    if wrong:
        raise ValueError(
            f"feature family {family!r} names the columns {', '.join(wrong)}; expected features that begin with "
            f"{prefix!r}, and descriptions that neither begin so nor have the name of a column of every table"
        )
    names = [*columns, *description]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"feature family {family!r} names {', '.join(twice)} twice; expected each column once")
