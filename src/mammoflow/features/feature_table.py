"""The table of a feature stage: one row a lesion, whether or not its features are defined."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from mammoflow.errors import ExcludedCase
from mammoflow.features.lesion_patch import LesionPatch, PatchReader
from mammoflow.tables.features import FEATURES
from mammoflow.tables.files import write_table

OK = "ok"
Row = dict[str, object]
Compute = Callable[[LesionPatch], Mapping[str, object]]


def feature_row(reader: PatchReader, index: int, compute: Compute) -> Row:
    """Compute the features of one lesion.

    Parameters
    ----------
    reader
        The shard's patches.
    index
        Row of the lesion.
    compute
        Turns a patch into features by name; it may raise `ExcludedCase`, and may set `status` and `detail` itself.

    Returns
    -------
    dict
        Keys, `status` (ok, or the reason why features are missing), `detail` (what was found and expected),
        `spacing_mm` (pixel spacing of the computation) and the features.
    """
    row: Row = {**reader.keys(index), "status": OK, "detail": "", "spacing_mm": reader.spacing(index)}
    try:
        row.update(compute(reader.read(index)))
    except ExcludedCase as error:
        row.update(status=str(error.reason), detail=error.detail)
    return row


def write_features(rows: Sequence[Row], numbers: Sequence[str], output: Path) -> pd.DataFrame:
    """Write the rows with all columns named in `numbers`; what a row lacks or what is infinite is `nan`."""
    texts = ["lesion_id", "patient_id", "status", "detail"]
    table = pd.DataFrame(list(rows), columns=[*texts, "spacing_mm", *numbers])
    values = table[["spacing_mm", *numbers]].astype("float64").replace([math.inf, -math.inf], math.nan)
    return write_table(pd.concat([table[texts].astype("str"), values], axis=1), FEATURES, output)
