"""Segmentation models on each data set: those that they were not trained on, and those that further training forgot."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.few_labels import DiceOfImages
from mammoflow.evaluation.few_labels_trainings import training_of
from mammoflow.evaluation.inputs import Run, measured_maps
from mammoflow.evaluation.paired_masks import EVERY_IMAGE, by_conditions
from mammoflow.evaluation.segmentation_summary import ELLIPSE, mark_of, mean_columns, scored_rows
from mammoflow.evaluation.segmentation_tables import KEYS

ESTIMATES = ("dice", "difference_to_start")
TRANSFER_COLUMNS = (
    *("model", "started_from", "trained_on", "data_set", "in_training", *KEYS[1:], "mark"),
    *("n", "patients", "patients_seen"),
    *(f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")),
)


def transfer_table(run: Run, scores: pd.DataFrame, lesions: pd.DataFrame, bootstrap: PatientBootstrap) -> pd.DataFrame:
    """Return the Dice of each segmentation model on each data set of the test split.

    Parameters
    ----------
    run
        The tables of the run.
    scores
        Rows of the SEGMENTATION_SCORES schema.
    lesions
        Indexed by lesion, with `split` and `source`.
    bootstrap
        Resampling of patients.

    Returns
    -------
    DataFrame
        Columns TRANSFER_COLUMNS; no row in a run of one data set. `trained_on` names the data sets of the training
        patients, as far as the record of the training says; it is empty for weights without a record. `in_training`
        says whether the data set is among them. `difference_to_start` is the Dice minus that of the model that the
        training started from, on the same images or prompts: what further training gained or forgot.
    """
    sources = sorted(set(run.cohort_images["source"]))
    if len(sources) < 2:
        return pd.DataFrame(columns=[*TRANSFER_COLUMNS])
    rows = scored_rows(scores, lesions)
    rows = rows[rows["chosen"].astype(bool) & (rows["split"] == "test") & (rows["model"] != ELLIPSE)]
    of_lesion, of_image = lesions["source"], run.images.set_index("image_id")["source"]
    automatic = set(run.maps["model"])
    maps = measured_maps(run)
    source_of_map = maps["image_id"].map(of_image)
    measures = {source: DiceOfImages(maps[source_of_map == source], bootstrap) for source in sources}
    table: list[dict[str, Any]] = []
    for model in dict.fromkeys([*run.maps["model"], *rows["model"]]):
        said = run.weights.get(model, {}).get("training", {})
        trained_on = said.get("sources", [])
        for source in sources:
            named = {
                "model": model,
                "started_from": said.get("from", ""),
                "trained_on": ", ".join(trained_on),
                "data_set": source,
                "in_training": source in trained_on if trained_on else None,
            }
            if model in automatic:
                table += [{**named, **row} for row in _of_images(named, measures[source])]
            else:
                prompted = rows[rows["lesion_id"].map(of_lesion) == source]
                table += [{**named, **row} for row in _of_prompts(named, prompted, bootstrap)]
    return pd.DataFrame(table, columns=[*TRANSFER_COLUMNS])


def _of_images(named: Mapping[str, Any], measure: DiceOfImages) -> Iterator[dict[str, Any]]:
    """Give what an automatic model has on the images of a data set; nothing where it has no image with a lesion."""
    this, start = training_of(str(named["model"])), training_of(str(named["started_from"]))
    if not measure.has(this):
        return
    found, difference = measure.measure([this]), Estimate(math.nan, math.nan, math.nan)
    if measure.has(start):
        difference = measure.difference([this], [start])
    yield {
        "prompts": EVERY_IMAGE,
        "mark": "",
        "n": found.n,
        "patients": found.patients,
        "patients_seen": found.seen,
        **found.value.columns("dice"),
        **difference.columns("difference_to_start"),
    }


def _of_prompts(named: Mapping[str, Any], rows: pd.DataFrame, bootstrap: PatientBootstrap) -> Iterator[dict[str, Any]]:
    """Give what a promptable model has on the lesions of a data set, for each kind of prompt and margin."""
    for conditions, group, difference in by_conditions(rows, str(named["model"]), str(named["started_from"])):
        patients = group["patient_id"].tolist()
        yield {
            **conditions,
            "mark": mark_of(group, chosen=True),
            "n": len(group),
            "patients": len(set(patients)),
            "patients_seen": int(group.loc[group["seen"].astype(bool), "patient_id"].nunique()),
            **mean_columns(ESTIMATES, np.column_stack([group["dice"], difference]), patients, bootstrap),
        }
