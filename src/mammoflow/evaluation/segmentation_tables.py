"""Segmentation scores as a table: each model, field of view, prompt, margin and iteration beside the ellipse."""

from __future__ import annotations

import pandas as pd

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.segmentation_summary import ELLIPSE, SUMMARY_COLUMNS, mark_of, scored_rows, summary

CHOSEN = "chosen"

KEYS = ("model", "field_of_view", "prompts", "feed", "margin_mm")
SEGMENTATION_COLUMNS = ("split", *KEYS, "selection", "mark", *SUMMARY_COLUMNS)


def segmentation_table(scores: pd.DataFrame, lesions: pd.DataFrame, bootstrap: PatientBootstrap) -> pd.DataFrame:
    """Summarise the scores of each model, prompt, margin and iteration, on the test split and on all lesions.

    Parameters
    ----------
    scores
        Rows of the SEGMENTATION_SCORES schema.
    lesions
        Indexed by lesion, with `split`.
    bootstrap
        Resampling of patients.

    Returns
    -------
    DataFrame
        One row a split, model, field of view, kind of prompts, feedback, margin and selection: `iteration 1`, ... and
        `chosen`, the iteration that went on; `mark` is `oracle` where the iteration or the head was chosen by the
        reference; the other columns are those of `summary`.
    """
    scored = scored_rows(scores, lesions)
    parts = []
    for split in ("test", "all"):
        rows = scored if split == "all" else scored[scored["split"] == split]
        for values, group in rows.groupby([*KEYS], sort=True, dropna=False):
            keys = dict(zip(KEYS, values, strict=True))
            for selection, part in _selections(group, keys["model"] == ELLIPSE).items():
                mark = mark_of(part, chosen=selection == CHOSEN)
                found = summary(part, bootstrap)
                parts.append({"split": split, **keys, "selection": selection, "mark": mark} | found)
    return pd.DataFrame(parts, columns=[*SEGMENTATION_COLUMNS])


def _selections(group: pd.DataFrame, floor: bool) -> dict[str, pd.DataFrame]:
    """Return the masks of each iteration, and those that went on where some did."""
    selections = {} if floor else {f"iteration {number}": part for number, part in group.groupby("iteration")}
    chosen = group[group["chosen"]]
    return selections | ({CHOSEN: chosen} if len(chosen) else {})
