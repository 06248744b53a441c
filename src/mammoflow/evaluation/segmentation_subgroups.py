"""Segmentation scores of parts of the test split: by lesion type, size, density, source and label."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.segmentation_summary import SUMMARY_COLUMNS, mark_of, scored_rows, summary
from mammoflow.evaluation.segmentation_tables import KEYS

SUBGROUP_COLUMNS = ("grouping", "group", *KEYS, "mark", *SUMMARY_COLUMNS)

PARTS = 3
"""Sizes are parted into terciles."""


def segmentation_subgroups(scores: pd.DataFrame, lesions: pd.DataFrame, bootstrap: PatientBootstrap) -> pd.DataFrame:
    """Summarise the masks that went on for each group of test lesions.

    Parameters
    ----------
    scores
        Rows of the SEGMENTATION_SCORES schema.
    lesions
        Indexed by lesion: `split`, `lesion_type`, `diameter_mm`, `density`, `source`, `malignant`.
    bootstrap
        Resampling of patients.

    Returns
    -------
    DataFrame
        One row a grouping, group, model, field of view, kind of prompts, feedback and margin; the other columns are
        those of `summary`.
    """
    rows = scored_rows(scores, lesions)
    rows = rows[(rows["split"] == "test") & rows["chosen"]]
    parts = []
    for grouping, labels in lesion_groups(lesions.loc[rows["lesion_id"].unique()]).items():
        group_of = rows["lesion_id"].map(labels)
        for group in labels.dropna().unique():
            for values, part in rows[group_of == group].groupby([*KEYS], sort=True, dropna=False):
                keys = dict(zip(KEYS, values, strict=True))
                mark = mark_of(part, chosen=True)
                parts.append({"grouping": grouping, "group": group, **keys, "mark": mark} | summary(part, bootstrap))
    return pd.DataFrame(parts, columns=[*SUBGROUP_COLUMNS])


def lesion_groups(lesions: pd.DataFrame) -> dict[str, pd.Series]:
    """Return, for each grouping, the group of every lesion in the order of the groups; null where it has none."""
    density = lesions["density"].astype("Int64")
    label = lesions["malignant"].astype("Int64").map({1: "malignant", 0: "benign"})
    found = {
        "lesion type": lesions["lesion_type"].astype("object"),
        "longest diameter": size_terciles(lesions["diameter_mm"]),
        "breast density": density.astype("string").astype("object").where(density.notna()),
        "source": lesions["source"].astype("object"),
        "label": label.astype("object"),
    }
    named = {name: groups.sort_values() for name, groups in found.items() if name != "longest diameter"}
    return {name: named.get(name, groups) for name, groups in found.items()}


def size_terciles(diameter_mm: pd.Series) -> pd.Series:
    """Return the third of the lesions that each belongs to by longest diameter, named by its bounds, smallest first.

    Where fewer than three lesions or two diameters leave no thirds, all are one group.
    """
    known = diameter_mm.dropna().astype("float64").sort_values()
    low, high = np.quantile(known, [1 / PARTS, 2 / PARTS]) if len(known) >= PARTS else (np.nan, np.nan)
    if not low < high:
        return pd.Series("all with a diameter", index=known.index, dtype="object")
    names = [f"up to {low:.1f} mm", f"{low:.1f} to {high:.1f} mm", f"over {high:.1f} mm"]
    place = np.searchsorted([low, high], known.to_numpy(), side="left")
    return pd.Series([names[each] for each in place], index=known.index, dtype="object")
