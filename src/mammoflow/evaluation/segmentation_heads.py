"""The three heads for ambiguous prompts one by one: what each gives beside the selected one and the oracle's."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.segmentation_summary import ELLIPSE, ORACLE, mean_columns, scored_rows
from mammoflow.evaluation.segmentation_tables import KEYS

HEADS = (1, 2, 3)
SELECTED = "selected"
BEST = "best by the reference"
SPLITS = ("test", "validation")
_ESTIMATES = ("dice", "iou", "difference_to_selected", "predicted_iou", "iou_error")
HEAD_COLUMNS = (
    "split",
    *(key for key in KEYS if key != "feed"),
    "head",
    "mark",
    "n",
    "patients",
    "patients_seen",
    "missed",
    "selected_share",
    *(f"{name}{end}" for name in _ESTIMATES for end in ("", "_low", "_high")),
)


def heads_table(scores: pd.DataFrame, lesions: pd.DataFrame, bootstrap: PatientBootstrap) -> pd.DataFrame:
    """Score each of the three heads of the first iteration, the selected one, and the best by the reference.

    A model answers an ambiguous prompt with three masks and an estimate of the IoU of each. The mask with the highest
    estimate is the selected one. Single heads that are better than it show that the estimate chooses badly.

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
        One row per split, model, field of view, kind of prompts, margin and head. `selected_share` is the share of
        prompts for which this head has the highest estimate. `difference_to_selected` is that of Dice on the same
        prompts, `iou_error` the mean absolute error of the estimate. The best by the reference has the mark `oracle`.
    """
    rows = scored_rows(scores, lesions)
    asked = (rows["iteration"] == 1) & rows["head_1_dice"].notna() & rows["split"].isin(SPLITS)
    keys = [key for key in KEYS if key != "feed"]
    rows = rows[asked & (rows["model"] != ELLIPSE)].drop_duplicates([*keys, "prompt_id"])
    table = []
    for values, group in rows.groupby(["split", *keys], sort=True, dropna=False):
        named = dict(zip(("split", *keys), values, strict=True))
        by_reference = bool(group["oracle_prompt"].any())
        for head, facts in _heads(group, bootstrap).items():
            mark = ORACLE if head == BEST or by_reference else ""
            table.append({**named, "head": head, "mark": mark, **facts})
    return pd.DataFrame(table, columns=[*HEAD_COLUMNS])


def _heads(group: pd.DataFrame, bootstrap: PatientBootstrap) -> dict[str, dict[str, float]]:
    """Return the columns of each head, of the selected one and of the best by the reference."""
    dice, predicted = (
        group[[f"head_{head}_{of}" for head in HEADS]].to_numpy(dtype=np.float64) for of in ("dice", "predicted_iou")
    )
    every = np.arange(len(group))
    selected, best = np.argmax(predicted, axis=1), np.argmax(dice, axis=1)
    taken = {f"head {head}": np.full(len(group), place) for place, head in enumerate(HEADS)}
    taken |= {SELECTED: selected, BEST: best}
    patients = group["patient_id"].tolist()
    counts = {
        "n": len(group),
        "patients": len(set(patients)),
        "patients_seen": int(group.loc[group["seen"].astype(bool), "patient_id"].nunique()),
    }
    rows = {}
    for head, places in taken.items():
        own, estimate = dice[every, places], predicted[every, places]
        iou = own / (2 - own)
        columns = np.column_stack([own, iou, own - dice[every, selected], estimate, np.abs(estimate - iou)])
        rows[head] = {
            **counts,
            "missed": int((own == 0).sum()),
            "selected_share": float((places == selected).mean()),
            **mean_columns(_ESTIMATES, columns, patients, bootstrap),
        }
    return rows
