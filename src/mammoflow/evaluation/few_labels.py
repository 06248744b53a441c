"""Learning from few labels as a table: each method at each share of labelled patients, beside supervised learning.

A row joins the trainings of one network and method with one share over their draws and seeds: an image or a lesion has
the mean of their values. Intervals are over patients of the test split, with the trainings as they are; the spread over
trainings has its own column. Differences are paired: on the same images or lesions, and with the trainings of the same
draw and seed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.candidates import CLASSIFIER, Candidate
from mammoflow.evaluation.estimates import area_estimate
from mammoflow.evaluation.few_labels_trainings import (
    Training,
    classifier_trainings,
    network_names,
    segmentation_trainings,
)
from mammoflow.evaluation.inputs import Run, measured_maps
from mammoflow.evaluation.paired import Paired
from mammoflow.tables.images import FULLY_ANNOTATED

NOTHING = Estimate(math.nan, math.nan, math.nan)

FEW_LABELS_COLUMNS = (
    *("figure", "network", "method", "labels", "supplementary", "label_fraction"),
    *("trainings", "draws", "seeds", "labelled_patients", "unlabelled_patients", "steps"),
    *("n", "patients", "patients_seen"),
    *("value", "value_low", "value_high", "spread"),
    *("against_supervised", "against_supervised_low", "against_supervised_high", "pairs", "equal_steps"),
    *("against_full", "against_full_low", "against_full_high"),
)


@dataclass(frozen=True)
class Measured:
    """A value of some trainings, and how to subtract others.

    Attributes
    ----------
    n, patients, seen
        Images or lesions, patients, and those of them on whom a model was trained.
    value
        With its interval.
    of_each
        The value of each training.
    """

    n: int
    patients: int
    seen: int
    value: Estimate
    of_each: Sequence[float]


class DiceOfImages:
    """Mean Dice over the test images with a lesion, of all components with all lesions; an image without any has 0.

    Parameters
    ----------
    maps
        Rows of MAPS, of `measured_maps`.
    bootstrap
        Resampling of patients.
    """

    figure = "dice"

    def __init__(self, maps: pd.DataFrame, bootstrap: PatientBootstrap) -> None:
        test = maps[(maps["split"] == "test") & maps[FULLY_ANNOTATED] & (maps["reference_area_mm2"] > 0)]
        self.rows = {str(model): table.set_index("image_id") for model, table in test.groupby("model")}
        self.bootstrap = bootstrap

    def _values(self, runs: Sequence[Training]) -> tuple[np.ndarray, pd.DataFrame]:
        """Return the Dice (images, trainings) and the rows of the images."""
        first = self.rows[runs[0].model]
        values = [self.rows[run.model]["dice"].reindex(first.index).to_numpy(dtype=np.float64) for run in runs]
        return np.stack(values, axis=1), first

    def measure(self, runs: Sequence[Training]) -> Measured:
        """Return the mean Dice of some trainings."""
        values, rows = self._values(runs)
        patients = rows["patient_id"].tolist()
        seen = set().union(*(self._seen(run) for run in runs))
        value = self.bootstrap.mean(values.mean(axis=1), patients)
        return Measured(len(rows), len(set(patients)), len(seen), value, values.mean(axis=0).tolist())

    def _seen(self, run: Training) -> set[str]:
        rows = self.rows[run.model]
        return set(rows.loc[rows["seen"], "patient_id"])

    def difference(self, first: Sequence[Training], second: Sequence[Training]) -> Estimate:
        """Return the mean difference of the Dice of an image."""
        (one, rows), (other, _) = self._values(first), self._values(second)
        return self.bootstrap.mean(one.mean(axis=1) - other.mean(axis=1), rows["patient_id"].tolist())

    def has(self, run: Training) -> bool:
        """Tell whether a training has a value."""
        return run.model in self.rows


class AreaOfLesions:
    """Area under the ROC curve on the labelled test lesions.

    Parameters
    ----------
    candidates
        What the comparison compares.
    lesions
        Labelled lesions, indexed by lesion.
    bootstrap
        Coverage of the intervals, and the fewest patients.
    """

    figure = "auc"

    def __init__(self, candidates: Sequence[Candidate], lesions: pd.DataFrame, bootstrap: PatientBootstrap) -> None:
        self.candidates = {each.model: each for each in candidates if each.family == CLASSIFIER}
        self.lesions = lesions[lesions["split"] == "test"]
        self.bootstrap = bootstrap

    def _joined(self, runs: Sequence[Training]) -> Candidate:
        """Return a candidate whose runs are those of several trainings."""
        tables = {place: self.candidates[run.model].runs[run.seed] for place, run in enumerate(runs)}
        seen = next((each.seen for run in runs if (each := self.candidates[run.model]).seen is not None), None)
        return Candidate(runs[0].method, CLASSIFIER, tables, seen=seen)

    def measure(self, runs: Sequence[Training]) -> Measured:
        """Return the area of some trainings, as the mean over them."""
        joined = self._joined(runs)
        lesion_ids = joined.scored(self.lesions)
        patients = self.lesions.loc[lesion_ids, "patient_id"]
        each = [
            area_estimate(part.on(self.lesions, lesion_ids), self.bootstrap).value
            for part in (Candidate(joined.model, CLASSIFIER, {0: table}) for table in joined.runs.values())
        ]
        value = area_estimate(joined.on(self.lesions, lesion_ids), self.bootstrap)
        seen = 0 if joined.seen is None else joined.seen.among(patients)
        return Measured(len(lesion_ids), patients.nunique(), seen, value, each)

    def difference(self, first: Sequence[Training], second: Sequence[Training]) -> Estimate:
        """Return the difference of two areas on the lesions that both score."""
        pair = Paired.of(self._joined(first), self._joined(second), self.lesions)
        areas = pair.areas
        bounds = (
            areas.interval(self.bootstrap.confidence)
            if pair.has_enough(self.bootstrap.fewest_patients)
            else (math.nan, math.nan)
        )
        return Estimate(areas.value, *bounds)

    def has(self, run: Training) -> bool:
        """Tell whether a training has predictions."""
        return run.model in self.candidates and run.seed in self.candidates[run.model].runs


def few_labels_table(
    run: Run, candidates: Sequence[Candidate], lesions: pd.DataFrame, bootstrap: PatientBootstrap
) -> pd.DataFrame:
    """Return one row for each method, kind of labels and share of labelled patients.

    Parameters
    ----------
    run
        The tables of the run.
    candidates
        What the comparison compares.
    lesions
        Labelled lesions, indexed by lesion.
    bootstrap
        Resampling of patients, and coverage of the intervals.

    Returns
    -------
    DataFrame
        Columns FEW_LABELS_COLUMNS. `against_supervised` is the difference to supervised learning from masks with the
        same share, draws and seeds; `against_full` that to supervised learning with all labels. `equal_steps` says
        whether both took equally many steps. Without any training from few, weak or unlabelled data there is no row.
    """
    rows: list[dict[str, Any]] = []
    for trainings, measure in (
        (segmentation_trainings(run.weights), DiceOfImages(measured_maps(run), bootstrap)),
        (classifier_trainings(run.training), AreaOfLesions(candidates, lesions, bootstrap)),
    ):
        rows += _rows([one for one in trainings if measure.has(one)], measure)
    return pd.DataFrame(rows, columns=[*FEW_LABELS_COLUMNS])


def _rows(trainings: Sequence[Training], measure: DiceOfImages | AreaOfLesions) -> list[dict[str, Any]]:
    """Return the rows of all trainings that one figure measures."""
    if all(one.plain and one.fraction == 1 for one in trainings):
        return []
    cells: dict[tuple[str, str, str, str, float], list[Training]] = defaultdict(list)
    for one in trainings:
        cells[one.cell].append(one)
    names = network_names(trainings)
    return [_row(cells[cell], trainings, measure, names) for cell in cells]


def _row(
    runs: Sequence[Training],
    trainings: Sequence[Training],
    measure: DiceOfImages | AreaOfLesions,
    names: Mapping[str, str],
) -> dict[str, Any]:
    """Return the row of one cell."""
    first, found = runs[0], measure.measure(runs)
    plain = [one for one in trainings if one.plain and one.network == first.network]
    full = [one for one in plain if one.fraction == 1]
    same = {(one.draw, one.seed): one for one in plain if one.fraction == first.fraction}
    pairs = [(one, same[one.draw, one.seed]) for one in runs if not first.plain and (one.draw, one.seed) in same]
    beside = measure.difference(*zip(*pairs, strict=True)) if pairs else NOTHING
    below = measure.difference(runs, full) if full and not (first.plain and first.fraction == 1) else NOTHING
    return {
        "figure": measure.figure,
        "network": names[first.network],
        "method": first.method,
        "labels": first.labels,
        "supplementary": first.supplementary,
        "label_fraction": first.fraction,
        "trainings": len(runs),
        "draws": len({one.draw for one in runs}),
        "seeds": len({one.seed for one in runs}),
        **{name: _mean(runs, name) for name in ("labelled_patients", "unlabelled_patients", "steps")},
        "n": found.n,
        "patients": found.patients,
        "patients_seen": found.seen,
        **found.value.columns("value"),
        "spread": float(np.std(found.of_each, ddof=1)) if len(runs) > 1 else math.nan,
        **beside.columns("against_supervised"),
        "pairs": len(pairs),
        "equal_steps": all(one.facts.get("steps") == other.facts.get("steps") for one, other in pairs)
        if pairs
        else None,
        **below.columns("against_full"),
    }


def _mean(runs: Sequence[Training], name: str) -> float:
    values = [float(one.facts[name]) for one in runs if one.facts.get(name) is not None]
    return float(np.mean(values)) if values else math.nan
