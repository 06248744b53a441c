"""Counts of a study: by type, label, density, assessment, view and data set, as published and as usable, by split."""

from __future__ import annotations

import pandas as pd

from mammoflow.cohort.audit.study_tables import MALIGNANT, StudyTables
from mammoflow.cohort.step_counts import names_lesion
from mammoflow.config.split_names import SPLITS

NOT_GIVEN = "not given"
MOST_WORDS = 20
"""More words of pathology than these are free text, which no table can count and no page should show."""
GROUPINGS = {
    "source": "data set",
    "lesion_type": "type",
    "label": "label",
    "pathology": "pathology",
    "birads": "BI-RADS",
    "density": "density",
    "view": "view",
    "laterality": "side",
}


def count_groups(tables: StudyTables) -> pd.DataFrame:
    """Count rows as read and lesions that can be used, for all and for each value of each grouping.

    Returns
    -------
    DataFrame
        `grouping`, `value`; `rows` and `rows_malignant`, of the case tables; `usable` and `malignant`, lesions that
        later stages use, with their `images` and `patients`; for each split its lesions and malignant ones.
    """
    rows = tables.rows[names_lesion(tables.rows)]
    usable = tables.usable.assign(label=_labels(tables.usable["malignant"]))
    counted = [_count("all", "all", rows, usable)]
    for column, grouping in GROUPINGS.items():
        values = {name: _as_text(table[column]) for name, table in (("rows", rows), ("usable", usable))}
        groups = {*values["rows"], *values["usable"]}
        if column == "pathology" and len(groups) > MOST_WORDS:
            continue
        for value in sorted(groups, key=lambda text: (text == NOT_GIVEN, text)):
            chosen = rows[values["rows"] == value], usable[values["usable"] == value]
            counted.append(_count(grouping, value, *chosen))
    return pd.DataFrame(counted)


def assessment_by_pathology(rows: pd.DataFrame) -> pd.DataFrame:
    """Cross the assessment with the pathology of every row, as the case tables have both.

    Parameters
    ----------
    rows
        The table of rows; those of normal images are left out.

    Returns
    -------
    DataFrame
        One row per assessment and one for all: `birads`, one column per word of the pathology (a label where they are
        more than 20) with the malignant ones first, `all`, and `malignant_share` among the rows whose label is known
        (null where there is none).
    """
    rows = rows[names_lesion(rows)]
    words = rows["pathology"].where(rows["pathology"].notna(), rows["label"]).fillna(NOT_GIVEN)
    if words.nunique() > MOST_WORDS:
        words = rows["label"].fillna("unknown")
    order = rows.assign(word=words, share=rows["label"] == MALIGNANT).groupby("word")["share"].mean()
    crossed = pd.crosstab(_as_text(rows["birads"]), words)
    columns = sorted(crossed.columns, key=lambda word: (-order[word], -crossed[word].sum(), word))
    crossed = crossed.reindex(columns=columns)
    crossed = crossed.loc[sorted(crossed.index, key=lambda value: (value == NOT_GIVEN, value))]
    crossed.loc["all"] = crossed.sum()
    assessments = _as_text(rows["birads"])[rows["label"].notna()]
    malignant = (rows["label"] == MALIGNANT)[rows["label"].notna()].astype("float64")
    shares = {"all": malignant.mean(), **malignant.groupby(assessments).mean().to_dict()}
    crossed["all"] = crossed.sum(axis=1)
    crossed["malignant_share"] = pd.Series(shares).reindex(crossed.index)
    return crossed.rename_axis("birads", axis=0).rename_axis(None, axis=1).reset_index()


def _count(grouping: str, value: str, rows: pd.DataFrame, usable: pd.DataFrame) -> dict[str, object]:
    malignant = usable["malignant"] == 1
    by_split: dict[str, object] = {}
    for split in SPLITS:
        inside = usable["split"] == split
        by_split |= {split: int(inside.sum()), f"{split}_malignant": int((inside & malignant).sum())}
    return {
        "grouping": grouping,
        "value": value,
        "rows": len(rows),
        "rows_malignant": int((rows["label"] == MALIGNANT).sum()),
        "usable": len(usable),
        "malignant": int(malignant.sum()),
        "images": int(usable["image_id"].nunique()),
        "patients": int(usable["patient_id"].nunique()),
        **by_split,
    }


def _labels(malignant: pd.Series) -> pd.Series:
    return malignant.map({1: "malignant", 0: "benign"}).astype(object)


def _as_text(values: pd.Series) -> pd.Series:
    text = values.astype(object).where(values.notna() & (values.astype(object) != ""), NOT_GIVEN)
    return text.map(str)
