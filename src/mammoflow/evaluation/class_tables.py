"""Tables of the classifiers of several classes: each class against the rest, all classes together, and differences.

A class against the rest has the estimators of the other tables: Wilson's interval for the effective number of images,
and DeLong's over patients. Means over the classes have percentile intervals of a bootstrap over patients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.candidates import SEES_REFERENCE
from mammoflow.evaluation.class_scores import LARGEST_CLASS, ClassScored
from mammoflow.evaluation.decisions import compare_decisions
from mammoflow.evaluation.delong import NOTHING, AreaDifference
from mammoflow.evaluation.estimates import metric_estimates, proportion_estimate
from mammoflow.evaluation.metrics import FloatArray, measure, patient_codes
from mammoflow.evaluation.proportions import proportion

OF_CLASS = {"sensitivity": "recall", "specificity": "specificity", "precision": "precision", "f1": "f1", "auc": "auc"}
"""Columns of a class against the rest, and what the metric is called elsewhere."""

OF_ALL = {"balanced_accuracy": "recall", "f1": "f1", "auc": "auc"}
"""Columns of all classes together, each the mean of a metric of the classes."""

METRICS = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision", "f1", "auc")
NOT_DEFINED = Estimate(math.nan, math.nan, math.nan)


def class_tables(
    table: pd.DataFrame, training: Mapping[str, Any], rule: PatientBootstrap, note: str
) -> dict[str, pd.DataFrame]:
    """Return the tables `classes`, `class_confusion` and `class_differences`; none without classifiers of classes.

    Parameters
    ----------
    table
        Predictions of all classifiers of classes and of the floor, table CLASS_PREDICTIONS.
    training
        Record of each classifier, by name.
    rule
        Coverage of the intervals, and the bootstrap.
    note
        What is true of every row.
    """
    if table.empty:
        return {}
    models = {str(model): ClassScored.of(table, str(model)) for model in dict.fromkeys(table["model"])}
    notes = {model: "; ".join(filter(None, [note, *_own_notes(training.get(model, {}))])) for model in models}
    rows = [row for model, scored in models.items() for row in class_rows(model, scored, rule, notes[model])]
    counted = [row for model, scored in models.items() for row in confusion_rows(model, scored, notes[model])]
    pairs = [difference_row(one, models[one], other, models[other], rule) for one, other in combinations(models, 2)]
    return {
        "classes": pd.DataFrame(rows),
        "class_confusion": pd.DataFrame(counted),
        "class_differences": pd.DataFrame([{**pair, "note": note} for pair in pairs]),
    }


def _own_notes(record: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know of a classifier: whether it is an oracle, and its own note."""
    return [SEES_REFERENCE if record.get("sees_reference_mask") else "", str(record.get("note") or "")]


def class_rows(model: str, scored: ClassScored, rule: PatientBootstrap, note: str) -> list[dict[str, object]]:
    """Return the rows of a model: first of all classes together, with an empty name, and then of each class."""
    missing = scored.missing()
    said = "; ".join(filter(None, [note, f"no test image of {', '.join(missing)}" if missing else ""]))
    shared = {
        "seeds": scored.seeds,
        "n": len(scored.label),
        "patients": len(np.unique(scored.patients)),
        "n_without_prediction": scored.without,
    }
    rows = []
    estimates = all_classes(scored, rule)
    rows.append(_row(model, "", shared, len(scored.label), shared["patients"], estimates, said))
    for number, name in enumerate(scored.names):
        one = scored.against_rest(number)
        found = metric_estimates(one, rule, tuple(OF_CLASS.values()))
        estimates = {column: found[metric] for column, metric in OF_CLASS.items()}
        is_class = one.label == 1
        rows.append(_row(model, name, shared, int(is_class.sum()), one.patients_with(is_class), estimates, said))
    return rows


def _row(
    model: str, name: str, shared: Mapping[str, int], n: int, patients: int, estimates: dict[str, Estimate], note: str
) -> dict[str, object]:
    row: dict[str, object] = {"model": model, "class": name, **shared, "n_class": n, "patients_class": patients}
    for metric in METRICS:
        row |= estimates.get(metric, NOT_DEFINED).columns(metric)
    return {**row, "note": note}


def all_classes(scored: ClassScored, rule: PatientBootstrap) -> dict[str, Estimate]:
    """Return accuracy, and the means over the classes of sensitivity (balanced accuracy), F1 and AUC.

    A mean is not defined where a class has no image. It has no interval where fewer than `rule.fewest_patients`
    patients have an image of a class.
    """
    if not len(scored.label):
        return {}
    parts = [scored.against_rest(number) for number in range(len(scored.names))]
    enough = all(part.has_both(rule.fewest_patients) for part in parts)
    right = proportion([scored.right], [np.ones(len(scored.label))], scored.patients)
    units, number = patient_codes(scored.patients)
    weights = rule.draws(number)
    found = [measure(part.label, part.scores[0], part.calls[0], weights, units) for part in parts]
    means = {column: np.mean([values[metric] for values in found], axis=0) for column, metric in OF_ALL.items()}
    return {
        "accuracy": proportion_estimate(right, rule, enough),
        **{column: _mean_estimate(values, scored, rule, enough) for column, values in means.items()},
    }


def _mean_estimate(values: FloatArray, scored: ClassScored, rule: PatientBootstrap, enough: bool) -> Estimate:
    return rule.estimate(values, scored.patients) if enough else Estimate(float(values[0]), math.nan, math.nan)


def confusion_rows(model: str, scored: ClassScored, note: str) -> list[dict[str, object]]:
    """Count the images of each class by the class that a model calls, with their share of the class."""
    rows: list[dict[str, object]] = []
    for number, reference in enumerate(scored.names):
        calls = scored.calls[scored.label == number]
        for place, called in enumerate(scored.names):
            count = int((calls == place).sum())
            share = count / len(calls) if len(calls) else math.nan
            cell = {"reference": reference, "predicted": called, "n": count, "share": share}
            rows.append({"model": model, **cell, "note": note})
    return rows


def difference_row(
    one: str, first: ClassScored, other: str, second: ClassScored, rule: PatientBootstrap
) -> dict[str, object]:
    """Return the difference of two models in accuracy and in mean AUC, on the images that both score.

    The p value of the accuracy is that of McNemar's test over patients (`evaluation.decisions`), that of the mean AUC
    comes from DeLong's decomposition over patients.
    """
    shared = np.array([image for image in first.images if image in set(second.images)], dtype=object)
    first, second = first.only(shared), second.only(shared)
    patients = patient_codes(first.patients)[1]
    row: dict[str, object] = {"model_a": one, "model_b": other, "n": len(shared), "patients": patients}
    parts = [first.against_rest(number) for number in range(len(first.names))]
    enough = bool(len(shared)) and all(part.has_both(rule.fewest_patients) for part in parts)
    decisions = compare_decisions([first.right], [second.right], first.patients)
    is_defined = bool(len(shared)) and not first.missing()
    areas = area_difference(first, second) if is_defined else AreaDifference(math.nan, math.nan, math.nan)
    for metric, difference in (("accuracy", decisions), ("auc", areas)):
        bounds = difference.interval(rule.confidence) if enough else (math.nan, math.nan)
        row |= Estimate(difference.value, *bounds).columns(f"{metric}_difference")
        row[f"{metric}_difference_p"] = difference.p_value if enough else math.nan
    return row


def area_difference(first: ClassScored, second: ClassScored) -> AreaDifference:
    """Compare the mean AUCs of two models on the same images, each class of which occurs."""
    (area, influence), (other_area, other_influence) = first.area_influence(), second.area_influence()
    deviation, patients = influence - other_influence, patient_codes(first.patients)[1]
    error = math.sqrt(patients / (patients - 1) * float((deviation**2).sum())) if patients > 1 else math.nan
    return AreaDifference(area, other_area, error if error > NOTHING else math.nan)


def ranked_models(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of all classes together, without that of the floor."""
    return [row for row in rows if not row["class"] and row["model"] != LARGEST_CLASS]
