"""Segmentation scores as a table: each model, field of view, prompt, margin and iteration beside the ellipse."""

from __future__ import annotations

import pandas as pd

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.segmentation_summary import (
    ELLIPSE,
    SUMMARISED,
    SUMMARY_COLUMNS,
    mark_of,
    referenced,
    scored_rows,
    summary,
)

CHOSEN = "chosen"

FEEDS = {
    "logits": "logits fed back",
    "box": "box fed back",
    "both": "box and logits fed back",
}
"""What an iteration takes from the one before, in words."""

KEYS = ("model", "field_of_view", "prompts", "feed", "margin_mm")
SEGMENTATION_COLUMNS = ("split", *KEYS, "selection", "mark", *SUMMARY_COLUMNS)


def segmentation_table(scores: pd.DataFrame, lesions: pd.DataFrame, bootstrap: PatientBootstrap) -> pd.DataFrame:
    """Summarise the scores of each model, prompt, margin and iteration, on the test split and on all lesions.

    Parameters
    ----------
    scores
        Rows of the SEGMENTATION_SCORES schema.
    lesions
        Indexed by lesion, with `split` and `mask_file`, null where the reference is a box.
    bootstrap
        Resampling of patients.

    Returns
    -------
    DataFrame
        One row per split, model, field of view, kind of prompts, feedback, margin and selection: `iteration 1`, ... and
        `chosen`, the iteration that later stages use; `mark` is `oracle` where the reference chose the iteration, the
        head or the mask that the prompt was made around; the other columns are those of `summary`.
    """
    scored = scored_rows(scores, lesions)[[*KEYS, *SUMMARISED]]
    table = []
    for split in ("test", "all"):
        rows = scored if split == "all" else scored[scored["split"] == split]
        lesion_ids = referenced(lesions, split).index
        for values, group in rows.groupby([*KEYS], sort=True, dropna=False):
            keys = dict(zip(KEYS, values, strict=True))
            for selection, part in _selections(group, keys["model"] == ELLIPSE).items():
                mark = mark_of(part, chosen=selection == CHOSEN)
                estimates = summary(part, lesion_ids, bootstrap)
                table.append({"split": split, **keys, "selection": selection, "mark": mark} | estimates)
    return pd.DataFrame(table, columns=[*SEGMENTATION_COLUMNS])


def _selections(group: pd.DataFrame, floor: bool) -> dict[str, pd.DataFrame]:
    """Return the masks of each iteration, and those that later stages use, if any."""
    selections = {} if floor else {f"iteration {number}": part for number, part in group.groupby("iteration")}
    chosen = group[group["chosen"]]
    return selections | ({CHOSEN: chosen} if len(chosen) else {})
