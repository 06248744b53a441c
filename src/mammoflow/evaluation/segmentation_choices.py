"""What other ways to choose an iteration or a head would have given, the oracles among them marked as such."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.metrics import FloatArray
from mammoflow.evaluation.segmentation_summary import ELLIPSE, ORACLE, mark_of, mean_columns, scored_rows
from mammoflow.evaluation.segmentation_tables import KEYS
from mammoflow.tables.detections import AUTOMATIC, FOREIGN_MASKS

HEADS = (1, 2, 3)
BY_PREDICTED_IOU = "best by predicted IoU"
BY_REFERENCE = "best by the reference"

_ESTIMATES = ("dice", "dice_difference")
CHOICE_SPLITS = ("test", "validation")
CHOICE_COLUMNS = (
    "split",
    *KEYS,
    "among",
    "choice",
    "mark",
    "n",
    "patients",
    "missed",
    *(f"{name}{end}" for name in _ESTIMATES for end in ("", "_low", "_high")),
)


def choices_table(scores: pd.DataFrame, lesions: pd.DataFrame, bootstrap: PatientBootstrap) -> pd.DataFrame:
    """Compare ways to choose among iterations and among heads, on the test split and on validation.

    Who picks an iteration or a head by these figures does so on validation; the test rows say what it then gives.

    Published work often reports the best of several iterations or heads by the reference. That is an upper bound, not
    something a reader could have: its rows carry the mark `oracle`.

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
        One row per split, model, field of view, kind of prompts, feedback, margin and way to choose; `among` is
        `iterations` or `heads` (of the first iteration, where all three were asked for). `dice_difference` is that to
        the first row of the same group, on the same prompts.
    """
    rows = scored_rows(scores, lesions)
    compared = rows["split"].isin(CHOICE_SPLITS) & (rows["model"] != ELLIPSE)
    rows = rows[compared & ~rows["origin"].isin([AUTOMATIC, FOREIGN_MASKS])]
    table = []
    for values, group in rows.groupby(["split", *KEYS], sort=True, dropna=False):
        keys = dict(zip(("split", *KEYS), values, strict=True))
        prompts_by_reference = bool(group["oracle_prompt"].any())
        heads_by_reference = mark_of(group, chosen=False) == ORACLE
        for among, patients, ways in _ways(group):
            first = next(iter(ways.values()))
            for choice, dice in ways.items():
                # The heads are compared by themselves; an iteration follows the head that was chosen before it.
                followed = heads_by_reference if among == "iterations" else prompts_by_reference
                oracle = choice == BY_REFERENCE or followed
                estimates = mean_columns(_ESTIMATES, np.column_stack([dice, dice - first]), patients, bootstrap)
                counts = {"n": len(dice), "patients": len(set(patients)), "missed": int((dice == 0).sum())}
                mark = ORACLE if oracle else ""
                table.append({**keys, "among": among, "choice": choice, "mark": mark, **counts} | estimates)
    return pd.DataFrame(table, columns=[*CHOICE_COLUMNS])


def _ways(group: pd.DataFrame) -> Iterator[tuple[str, list[str], dict[str, FloatArray]]]:
    """Give what is chosen among, the patient of each prompt, and the Dice (prompts,) by each way to choose."""
    patients = group.drop_duplicates("prompt_id").set_index("prompt_id")["patient_id"]
    tables = [group.pivot(index="prompt_id", columns="iteration", values=name) for name in ("dice", "predicted_iou")]
    prompt_ids = tables[0].index[tables[0].notna().all(axis=1)]
    if tables[0].shape[1] > 1 and len(prompt_ids):
        dice, predicted = (table.loc[prompt_ids].to_numpy(dtype=np.float64) for table in tables)
        names = [f"iteration {iteration}" for iteration in tables[0].columns]
        yield "iterations", patients.loc[prompt_ids].tolist(), _by_choice(names, dice, predicted)
    asked = group[group["iteration"] == 1].dropna(subset=[f"head_{head}_dice" for head in HEADS])
    if len(asked):
        dice, predicted = (
            asked[[f"head_{head}_{of}" for head in HEADS]].to_numpy(dtype=np.float64)
            for of in ("dice", "predicted_iou")
        )
        yield "heads", asked["patient_id"].tolist(), _by_choice([f"head {head}" for head in HEADS], dice, predicted)


def _by_choice(names: list[str], dice: FloatArray, predicted: FloatArray) -> dict[str, FloatArray]:
    """Return the Dice (prompts,) of each fixed choice, of the best by predicted IoU, of the best by the reference."""
    fixed = {name: dice[:, place] for place, name in enumerate(names)}
    by_model = np.argmax(np.where(np.isnan(predicted), -np.inf, predicted), axis=1)
    return fixed | {BY_PREDICTED_IOU: dice[np.arange(len(dice)), by_model], BY_REFERENCE: dice.max(axis=1)}
