"""Tables of the classifiers of several classes: each class against the rest, all classes together, and differences.

A class against the rest has the estimators of the other tables: Wilson's interval for the effective number of images,
and DeLong's over patients. The mean AUC has DeLong's too. The balanced accuracy joins the intervals of the classes, and
the mean F1 has a percentile interval of a bootstrap over patients. Their simulated coverage is in docs/evaluation.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.class_scores import LARGEST_CLASS, ClassScored, error_of_influence
from mammoflow.evaluation.decisions import compare_decisions
from mammoflow.evaluation.delong import NO_DIFFERENCE, NOTHING, AreaDifference
from mammoflow.evaluation.estimates import Scored, metric_estimates, proportion_estimate
from mammoflow.evaluation.metrics import FloatArray, confusion, patient_codes, ratio
from mammoflow.evaluation.oracles import SEES_REFERENCE
from mammoflow.evaluation.proportions import proportion

OF_CLASS = {"sensitivity": "recall", "specificity": "specificity", "precision": "precision", "f1": "f1", "auc": "auc"}
"""Columns of a class against the rest, and what the metric is called elsewhere."""

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
    right = proportion([scored.right], [np.ones(len(scored.label))], scored.patients)
    parts = [scored.against_rest(number) for number in range(len(scored.names))]
    enough = all(part.has_both(max(rule.fewest_patients, 2)) for part in parts)
    found = {"accuracy": proportion_estimate(right, rule, enough)}
    if scored.missing():
        return found
    mean_f1 = _mean_f1(parts, rule)
    area = scored.mean_area()
    if not enough:
        values = {"balanced_accuracy": balanced_accuracy(parts, rule).value, "f1": mean_f1[0], "auc": area.value}
        return found | {name: Estimate(value, math.nan, math.nan) for name, value in values.items()}
    return found | {
        "balanced_accuracy": balanced_accuracy(parts, rule),
        "f1": rule.estimate(mean_f1, scored.patients),
        "auc": Estimate(area.value, *area.interval(rule.confidence)),
    }


def balanced_accuracy(parts: Sequence[Scored], rule: PatientBootstrap) -> Estimate:
    """Return the mean sensitivity of the classes, each against the rest.

    The distances of each sensitivity to the bounds of its own interval are joined with the correlations of the
    sensitivities over patients (Zou and Donner, Statistics in Medicine 27, 2008).
    """
    shares = [part.proportion("recall") for part in parts]
    values = np.array([share.value for share in shares])
    bounds = np.array([share.interval(rule.confidence) for share in shares])
    influence = np.array([share.influence for share in shares])
    lengths = np.sqrt((influence**2).sum(axis=1))
    scale = np.outer(lengths, lengths)
    together = np.divide(influence @ influence.T, scale, out=np.eye(len(parts)), where=scale > 0)
    reach = [
        math.sqrt(max(float(distance @ together @ distance), 0.0)) / len(parts)
        for distance in (values - bounds[:, 0], bounds[:, 1] - values)
    ]
    mean = float(values.mean())
    return Estimate(mean, mean - reach[0], mean + reach[1])


def _mean_f1(parts: Sequence[Scored], rule: PatientBootstrap) -> FloatArray:
    """Return the mean F1 of the classes, each against the rest, on the images as they are and on each resample."""
    units, number = patient_codes(parts[0].patients)
    weights = rule.draws(number)
    found = []
    for part in parts:
        counts = confusion(part.label, part.calls[0], weights, units)
        hit, wrong = counts["true_positive"], counts["false_positive"] + counts["false_negative"]
        found.append(ratio(2 * hit, 2 * hit + wrong))
    return np.asarray(np.mean(found, axis=0))


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
    areas = area_difference(first, second) if is_defined else NO_DIFFERENCE
    for metric, difference in (("accuracy", decisions), ("auc", areas)):
        bounds = difference.interval(rule.confidence) if enough else (math.nan, math.nan)
        row |= Estimate(difference.value, *bounds).columns(f"{metric}_difference")
        row[f"{metric}_difference_p"] = difference.p_value if enough else math.nan
    return row


def area_difference(first: ClassScored, second: ClassScored) -> AreaDifference:
    """Compare the mean AUCs of two models on the same images, each class of which occurs.

    The degrees of freedom are those of the areas: the patients of the rarest class less one.
    """
    (area, influence), (other_area, other_influence) = first.area_influence(), second.area_influence()
    error = error_of_influence(influence - other_influence)
    return AreaDifference(area, other_area, error if error > NOTHING else math.nan, first.mean_area().freedom)


def ranked_models(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of all classes together, without that of the floor."""
    return [row for row in rows if not row["class"] and row["model"] != LARGEST_CLASS]
