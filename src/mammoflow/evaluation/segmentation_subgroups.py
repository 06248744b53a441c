"""Segmentation scores of parts of the test split: by lesion type, size, density, source and label."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.segmentation_summary import (
    COUNTS,
    SUMMARISED,
    SUMMARY_COLUMNS,
    mark_of,
    referenced,
    scored_rows,
    summary,
)
from mammoflow.evaluation.segmentation_tables import KEYS
from mammoflow.evaluation.subgroups import NOT_KNOWN

SUBGROUP_COLUMNS = ("grouping", "group", *KEYS, "mark", *SUMMARY_COLUMNS)

PARTS = 3
"""Sizes are parted into terciles."""


def segmentation_subgroups(
    scores: pd.DataFrame, lesions: pd.DataFrame, bootstrap: PatientBootstrap, fewest_cases: int = 1
) -> pd.DataFrame:
    """Summarise the masks that later stages use for each group of test lesions.

    Parameters
    ----------
    scores
        Rows of the SEGMENTATION_SCORES schema.
    lesions
        Indexed by lesion: `split`, `mask_file`, `lesion_type`, `diameter_mm`, `density`, `source`, `malignant`.
    bootstrap
        Resampling of patients.
    fewest_cases
        A row of masks of fewer lesions has counts and no other figure.

    Returns
    -------
    DataFrame
        One row per grouping, group, model, field of view, kind of prompts, feedback and margin; the other columns are
        those of `summary`. The groups of a grouping are parts of the test lesions that have a reference mask.
    """
    rows = scored_rows(scores, lesions)[[*KEYS, *SUMMARISED]]
    rows = rows[(rows["split"] == "test") & rows["chosen"]]
    table = []
    for grouping, labels in lesion_groups(referenced(lesions, "test")).items():
        group_of = rows["lesion_id"].map(labels)
        for group in labels.unique():
            members = labels.index[labels == group]
            for values, part in rows[group_of == group].groupby([*KEYS], sort=True, dropna=False):
                keys = dict(zip(KEYS, values, strict=True))
                mark = mark_of(part, chosen=True)
                estimates = summary(part, members, bootstrap)
                if part["lesion_id"].nunique() < fewest_cases:
                    estimates = {name: estimates[name] for name in COUNTS}
                table.append({"grouping": grouping, "group": group, **keys, "mark": mark} | estimates)
    return pd.DataFrame(table, columns=[*SUBGROUP_COLUMNS])


def lesion_groups(lesions: pd.DataFrame) -> dict[str, pd.Series]:
    """Return, for each grouping, the group of every lesion in the order of the groups.

    Lesions without the value come last, as `NOT_KNOWN`; a grouping of which no lesion has the value is empty.
    """
    density = lesions["density"].astype("Int64")
    label = lesions["malignant"].astype("Int64").map({1: "malignant", 0: "benign"})
    groupings = {
        "lesion type": lesions["lesion_type"].astype("object").dropna().sort_values(),
        "longest diameter": size_terciles(lesions["diameter_mm"]),
        "breast density": density.dropna().sort_values().astype("string").astype("object"),
        "source": lesions["source"].astype("object").dropna().sort_values(),
        "label": label.astype("object").dropna().sort_values(),
    }
    return {name: _with_rest(groups, lesions.index) for name, groups in groupings.items()}


def _with_rest(groups: pd.Series, lesion_ids: pd.Index) -> pd.Series:
    rest = lesion_ids.difference(groups.index)
    return pd.concat([groups, pd.Series(NOT_KNOWN, rest, dtype="object")]) if len(groups) and len(rest) else groups


def size_terciles(diameter_mm: pd.Series) -> pd.Series:
    """Return the third of the lesions that each belongs to by longest diameter, named by its bounds, smallest first.

    Where fewer than three lesions or two diameters leave no thirds, all are one group.
    """
    diameters = diameter_mm.dropna().astype("float64").sort_values()
    low, high = np.quantile(diameters, [1 / PARTS, 2 / PARTS]) if len(diameters) >= PARTS else (np.nan, np.nan)
    if not low < high:
        return pd.Series("all with a diameter", index=diameters.index, dtype="object")
    names = [f"up to {low:.1f} mm", f"{low:.1f} to {high:.1f} mm", f"over {high:.1f} mm"]
    place = np.searchsorted([low, high], diameters.to_numpy(), side="left")
    return pd.Series([names[each] for each in place], index=diameters.index, dtype="object")
