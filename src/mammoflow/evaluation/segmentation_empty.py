"""Images without a lesion that promptable models were asked about: how often the mask is empty, and how large it is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.segmentation_summary import mean_columns

SPLITS = ("test", "validation")
_ESTIMATES = ("dice", "area_mm2", "predicted_iou")
EMPTY_COLUMNS = (
    "split",
    "model",
    "n",
    "patients",
    "patients_seen",
    "empty_against_empty",
    *(f"{name}{end}" for name in _ESTIMATES for end in ("", "_low", "_high")),
)


def empty_images_table(scores: pd.DataFrame, bootstrap: PatientBootstrap) -> pd.DataFrame:
    """Summarise the masks of images without a lesion.

    Parameters
    ----------
    scores
        Rows of the EMPTY_SCORES schema.
    bootstrap
        Resampling of patients.

    Returns
    -------
    DataFrame
        One row per split and model. `dice` is 1 for an empty mask and 0 for any other, so its mean is the share of
        empty masks, of which `empty_against_empty` is the number. `area_mm2` is the mean area of all masks.
    """
    rows = scores[scores["split"].isin(SPLITS)]
    table = []
    for (split, model), group in rows.groupby(["split", "model"], sort=True):
        patients, empty = group["patient_id"].tolist(), group["empty"].to_numpy(dtype=np.float64)
        columns = np.column_stack([empty, group[["area_mm2", "predicted_iou"]].to_numpy(dtype=np.float64)])
        table.append(
            {
                "split": split,
                "model": model,
                "n": len(group),
                "patients": len(set(patients)),
                "patients_seen": int(group.loc[group["seen"].astype(bool), "patient_id"].nunique()),
                "empty_against_empty": int(empty.sum()),
                **mean_columns(_ESTIMATES, columns, patients, bootstrap),
            }
        )
    return pd.DataFrame(table, columns=[*EMPTY_COLUMNS])
