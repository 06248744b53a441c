"""Methods of tuning in one table: what each trains and takes, and what its masks are worth on the same lesions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.paired_masks import dice_difference, under_same_conditions
from mammoflow.evaluation.segmentation_summary import mark_of, mean_columns, scored_rows
from mammoflow.evaluation.segmentation_tables import KEYS

UNTUNED = "none"
SPLITS = ("test", "validation")
MEGABYTE = 2**20
_ESTIMATES = ("dice", "iou", "difference_to_untuned")
METHOD_COLUMNS = (
    "split",
    *KEYS,
    "method",
    "untuned",
    "mark",
    "trainable_parameters",
    "total_parameters",
    "training_patients",
    "validation_patients",
    "training_images",
    "epochs",
    "chosen_epoch",
    "training_peak_mb",
    "training_seconds",
    "seconds_per_image",
    "device",
    "threads",
    "precision",
    "n",
    "patients",
    "patients_seen",
    "missed",
    *(f"{name}{end}" for name in _ESTIMATES for end in ("", "_low", "_high")),
)


def tuning_methods(
    scores: pd.DataFrame, lesions: pd.DataFrame, weights: Mapping[str, Any], bootstrap: PatientBootstrap
) -> pd.DataFrame:
    """Compare models that were tuned in different ways with the one that they started from.

    Parameters
    ----------
    scores
        Rows of the SEGMENTATION_SCORES schema.
    lesions
        Indexed by lesion, with `split`.
    weights
        What `weights.json` of each model says; `training` in it is from the record of its training.
    bootstrap
        Resampling of patients.

    Returns
    -------
    DataFrame
        One row per split, model, field of view, kind of prompts, feedback and margin, for the chosen masks. A model
        that others started from has the method `none`. `training_peak_mb` is the peak memory of the training: of the
        GPU, or of the process on a CPU. `seconds_per_image` is the time of the training for each training image and
        epoch, the validation included. `difference_to_untuned` is that of Dice on the same prompts. No row where no
        model was tuned.
    """
    trained = {model: said["training"] for model, said in weights.items() if said.get("training", {}).get("method")}
    starts = {said["from"] for said in trained.values()}
    rows = scored_rows(scores, lesions)
    rows = rows[rows["chosen"].astype(bool) & rows["split"].isin(SPLITS) & rows["model"].isin({*trained, *starts})]
    table = []
    for values, group in rows.groupby(["split", *KEYS], sort=True, dropna=False):
        named = dict(zip(("split", *KEYS), values, strict=True))
        said = trained.get(str(named["model"]), {})
        others = rows[rows["model"] == said.get("from")]
        conditions = {key: value for key, value in named.items() if key != "model"}
        patients = group["patient_id"].tolist()
        dice = group["dice"].to_numpy(dtype=np.float64)
        difference = dice_difference(group, under_same_conditions(others, conditions))
        columns = np.column_stack([dice, group["iou"].to_numpy(dtype=np.float64), difference])
        table.append(
            {
                **named,
                "method": said.get("method", UNTUNED),
                "untuned": said.get("from", ""),
                "mark": mark_of(group, chosen=True),
                **_cost(said),
                "n": len(group),
                "patients": len(set(patients)),
                "patients_seen": int(group.loc[group["seen"].astype(bool), "patient_id"].nunique()),
                "missed": int(group["missed"].astype(bool).sum()),
                **mean_columns(_ESTIMATES, columns, patients, bootstrap),
            }
        )
    found = pd.DataFrame(table, columns=[*METHOD_COLUMNS])
    order = ["split", "prompts", "field_of_view", "feed", "margin_mm", "trainable_parameters", "model"]
    return found.sort_values(order, ignore_index=True, na_position="first")


def training_effort(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of what a training trained and took, from its record.

    Parameters
    ----------
    said
        The record, or what `weights.json` repeats of it.

    Returns
    -------
    dict
        `trainable_parameters`, `total_parameters`, `training_peak_mb`, `training_seconds`, `seconds_per_image` (for
        each training image and epoch) and `device`.
    """
    steps = said["epochs"] * said.get("images", 0)
    return {
        "trainable_parameters": said["trainable_parameters"],
        "total_parameters": said["total_parameters"],
        "training_peak_mb": said["peak_memory_bytes"] / MEGABYTE,
        "training_seconds": said["seconds"],
        "seconds_per_image": said["seconds"] / steps if steps else np.nan,
        "device": said["device"],
    }


def _cost(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a training; a model that was not tuned trained 0 parameters."""
    if not said:
        return {"trainable_parameters": 0}
    return {
        **training_effort(said),
        "training_patients": said["patients"],
        "validation_patients": said["validation_patients"],
        "training_images": said.get("images", 0),
        "epochs": said["epochs"],
        "chosen_epoch": said["chosen_epoch"],
        "threads": said["threads"],
        "precision": said["precision"],
    }
