"""The ablation as a table: each changed model beside the unchanged one, with paired differences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.config.ablation import UNCHANGED, AblationSettings, Changes, variants
from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.few_labels import AreaOfLesions, DiceOfImages
from mammoflow.evaluation.few_labels_trainings import Training, training_of
from mammoflow.evaluation.inputs import Run, measured_maps
from mammoflow.evaluation.paired_masks import EVERY_IMAGE, by_conditions
from mammoflow.evaluation.segmentation_summary import mark_of, mean_columns, scored_rows
from mammoflow.evaluation.segmentation_tables import KEYS

ESTIMATES = ("value", "difference")
ABLATION_COLUMNS = (
    *("base", "change", "model", "figure", *KEYS[1:], "mark"),
    *("n", "patients", "patients_seen", "seeds"),
    *(f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")),
    *("trainable_parameters", "training_seconds"),
)


def ablation_table(
    settings: AblationSettings,
    run: Run,
    scores: pd.DataFrame,
    candidates: Sequence[Candidate],
    lesions: pd.DataFrame,
    bootstrap: PatientBootstrap,
) -> pd.DataFrame:
    """Compare each changed model with the one that it was changed from, on the test split.

    Parameters
    ----------
    settings
        The models and their changes.
    run
        The tables of the run.
    scores
        Rows of the SEGMENTATION_SCORES schema.
    candidates
        What the comparison compares.
    lesions
        Labelled lesions, indexed by lesion; all lesions of a study without labels.
    bootstrap
        Resampling of patients, and coverage of the intervals.

    Returns
    -------
    DataFrame
        Columns ABLATION_COLUMNS. `value` is the mean Dice of images for automatic models, the mean Dice of lesions for
        promptable ones (a row for each kind of prompt and margin), and the AUC for classifiers, as a mean over seeds.
        `difference` is that of the changed model minus the unchanged one, on the same images, prompts or lesions; it
        is empty for the unchanged one. Models without results have no row.
    """
    automatic = DiceOfImages(measured_maps(run), bootstrap)
    areas = AreaOfLesions(candidates, lesions, bootstrap)
    masks = scored_rows(scores, lesions)
    masks = masks[masks["chosen"].astype(bool) & (masks["split"] == "test")]
    rows: list[dict[str, Any]] = []
    for base, change, model in _with_bases(settings.models):
        if automatic.has(training_of(model)):
            trainings = [training_of(model)], [training_of(base)]
            rows.append(_paired_row(base, change, model, automatic, trainings, run.weights))
        else:
            rows += _prompted_rows(base, change, model, masks, bootstrap, run)
    for base, change, model in _with_bases(settings.classifiers):
        if model in areas.candidates:
            trainings = _trainings_of_seeds(areas.candidates[model], areas.candidates[base])
            row = _paired_row(base, change, model, areas, trainings, run.training)
            rows.append(row | {"mark": "; ".join(areas.candidates[model].marking_notes)})
    return pd.DataFrame(rows, columns=[*ABLATION_COLUMNS])


def _with_bases(changes: Changes) -> Iterator[tuple[str, str, str]]:
    """Give base, change and name of every model, each unchanged one before its changed ones."""
    for base in changes:
        yield base, UNCHANGED, base
        yield from variants({base: changes[base]})


def _trainings_of_seeds(model: Candidate, base: Candidate) -> tuple[list[Training], list[Training]]:
    """Return the trainings of two classifiers: those of the seeds that both have, or all if no seed is in common."""
    shared = set(model.runs) & set(base.runs)
    of_model, of_base = ([training_of(one.model, seed) for seed in sorted(shared or one.runs)] for one in (model, base))
    return of_model, of_base


def _paired_row(
    base: str,
    change: str,
    model: str,
    measure: DiceOfImages | AreaOfLesions,
    trainings: tuple[Sequence[Training], Sequence[Training]],
    records: dict[str, Any],
) -> dict[str, Any]:
    """Return the row of an automatic model or of a classifier, from its trainings and those of the unchanged one."""
    runs, unchanged = trainings
    found = measure.measure(runs)
    beside = measure.difference(runs, unchanged) if change != UNCHANGED else Estimate(math.nan, math.nan, math.nan)
    return {
        "base": base,
        "change": change,
        "model": model,
        "figure": measure.figure,
        **({"prompts": EVERY_IMAGE} if isinstance(measure, DiceOfImages) else {}),
        "mark": "",
        "n": found.n,
        "patients": found.patients,
        "patients_seen": found.seen,
        "seeds": len(runs),
        **found.value.columns("value"),
        **beside.columns("difference"),
        **_cost(records.get(model, {})),
    }


def _prompted_rows(
    base: str, change: str, model: str, rows: pd.DataFrame, bootstrap: PatientBootstrap, run: Run
) -> Iterator[dict[str, Any]]:
    """Give the rows of a promptable model, from its chosen masks of the test split."""
    for named, group, difference in by_conditions(rows, model, base if change != UNCHANGED else ""):
        patients = group["patient_id"].tolist()
        yield {
            "base": base,
            "change": change,
            "model": model,
            "figure": "dice",
            **named,
            "mark": mark_of(group, chosen=True),
            "n": len(group),
            "patients": len(set(patients)),
            "seeds": 1,
            "patients_seen": int(group.loc[group["seen"].astype(bool), "patient_id"].nunique()),
            **mean_columns(ESTIMATES, np.column_stack([group["dice"], difference]), patients, bootstrap),
            **_cost(run.weights.get(model, {})),
        }


def _cost(record: dict[str, Any]) -> dict[str, Any]:
    """Return what a training trained and took, from the record of its weights, or of a classifier with its seeds."""
    said = record.get("training", record)
    trainings = [*said["seeds"].values()] if said.get("seeds") else [said]
    seconds = [one["seconds"] for one in trainings if "seconds" in one]
    return {
        "trainable_parameters": trainings[0].get("trainable_parameters"),
        "training_seconds": sum(seconds) if seconds else None,
    }
