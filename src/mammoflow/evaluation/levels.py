"""Predictions of images, findings, breasts and patients from those of their lesions, and the AUC at each level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.calibration import WITH_PROBABILITIES
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.estimates import Scored, area_estimate
from mammoflow.evaluation.foreign import has_probabilities
from mammoflow.evaluation.metrics import FloatArray, IntArray, patient_codes
from mammoflow.evaluation.seen_patients import seen_columns

LEVELS = ("lesion", "image", "finding", "breast", "patient")

_KEYS = ["patient_id", "id"]

_PREDICTION_COLUMNS = [
    "level", "id", "patient_id", "model", "family", "split", "probability", "malignant", "n_lesions", "birads", "note",
]  # fmt: skip
_COMPARISON_COLUMNS = [
    "level", "model", "family", "n", "n_malignant", "patients", "auc", "auc_low", "auc_high", "n_paired",
    "auc_on_paired", "birads_auc", "birads_auc_low", "birads_auc_high", "seen_test_patients", "note",
]  # fmt: skip


def level_units(lesions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return, for each level, the unit of every lesion: `patient_id` and `id`, indexed by lesion.

    The breast of a lesion without a stated side is not known, so the lesion is not in the table of breasts.

    Parameters
    ----------
    lesions
        Indexed by lesion: `image_id`, `finding_id`, `patient_id`, `laterality`.
    """
    breast = lesions["patient_id"] + "_" + lesions["laterality"]
    names = {
        "lesion": pd.Series(lesions.index, index=lesions.index),
        "image": lesions["image_id"],
        "finding": lesions["finding_id"],
        "breast": breast[lesions["laterality"] != ""],
        "patient": lesions["patient_id"],
    }
    return {
        level: pd.DataFrame({"patient_id": lesions["patient_id"].reindex(names[level].index), "id": names[level]})
        for level in LEVELS
    }


def unit_scores(
    scores: pd.DataFrame, lesions: pd.DataFrame, units: pd.DataFrame, level: str, views: str
) -> pd.DataFrame:
    """Return the scores of each unit; `nan` where none of its lesions has a score.

    A finding takes `views` over its lesions, which are its views. An image takes the maximum over its lesions, a breast
    and a patient the maximum over their findings.

    Parameters
    ----------
    scores
        Indexed by lesion, one column for each model or seed; `nan` where there is none.
    lesions
        Indexed by lesion: `finding_id`.
    units
        Units of the level, of `level_units`.
    level
        One of `LEVELS`.
    views
        `mean` or `max`: how the views of a finding are joined.

    Returns
    -------
    DataFrame
        Indexed by `patient_id` and `id`, the columns of `scores`.
    """
    keys = [units["patient_id"], units["id"]]
    of_lesions = scores.reindex(units.index)
    if level in ("breast", "patient"):
        finding = lesions["finding_id"].reindex(units.index)
        of_findings = of_lesions.groupby([*keys, finding], sort=False).agg(views)
        return of_findings.groupby(level=_KEYS, sort=False).max()
    return of_lesions.groupby(keys, sort=False).agg(views if level == "finding" else "max")


def prediction_table(candidates: Sequence[Candidate], lesions: pd.DataFrame, note: str) -> pd.DataFrame:
    """Return the predictions of each model at each level, as means over its seeds.

    Parameters
    ----------
    candidates
        What the comparison compares; only models that give probabilities have rows.
    lesions
        Labelled test lesions, indexed by lesion.
    note
        What is true of the whole study and is in every row.
    """
    kept = [one for one in candidates if one.family in WITH_PROBABILITIES and has_probabilities(one)]
    models = dict(enumerate(kept))  # columns have numbers, because a model may have the name of another column
    columns = {place: _scores([one], lesions).mean(axis=1) for place, one in models.items()}
    means = pd.DataFrame(columns, index=lesions.index)
    parts = []
    for level, units, described in _described(lesions):
        probabilities = unit_scores(means, lesions, units, level, "mean").join(described)
        table = probabilities.reset_index().melt([*_KEYS, *described], var_name="model", value_name="probability")
        parts.append(table.dropna(subset=["probability"]).assign(level=level, split="test"))
    joined = pd.concat(parts, ignore_index=True)
    number = joined["model"]
    named = joined.assign(
        model=number.map({place: one.model for place, one in models.items()}),
        family=number.map({place: one.family for place, one in models.items()}),
        note=number.map({place: "; ".join(filter(None, [note, *one.marking_notes])) for place, one in models.items()}),
    )
    return named.reindex(columns=_PREDICTION_COLUMNS)


def level_table(
    candidates: Sequence[Candidate], lesions: pd.DataFrame, rule: PatientBootstrap, note: str
) -> pd.DataFrame:
    """Return the AUC of BI-RADS and of each model at each level, with the AUC of BI-RADS on the same units.

    Parameters
    ----------
    candidates
        The first one is BI-RADS. Classifiers, other tools, ensembles, fusions and feature models have rows.
    lesions
        Labelled test lesions, indexed by lesion.
    rule
        Coverage of the intervals, and the fewest patients of a class.
    note
        What is true of the whole study and is in every row.
    """
    rows: list[dict[str, object]] = []
    birads, models = candidates[0], [one for one in candidates[1:] if one.family in WITH_PROBABILITIES]
    of_reader, of_models = _scores([birads], lesions), _scores(models, lesions)
    for level, units, described in _described(lesions):
        reader = unit_scores(of_reader, lesions, units, level, "max").reindex(described.index)
        probabilities = unit_scores(of_models, lesions, units, level, "mean").reindex(described.index)
        patients = described.index.get_level_values("patient_id")
        codes, _ = patient_codes(patients.tolist())
        label = described["malignant"].to_numpy(dtype=np.float64)
        of_all = {
            column: values.to_numpy(dtype=np.float64) for column, values in [*reader.items(), *probabilities.items()]
        }
        read = [of_all[birads.model, seed] for seed in birads.runs]
        is_read = np.asarray(~np.isnan(read).any(axis=0), dtype=np.bool_)
        for one in [birads, *models]:
            scores = [of_all[one.model, seed] for seed in one.runs]
            scored = np.asarray(~np.isnan(scores).any(axis=0), dtype=np.bool_)
            paired: npt.NDArray[np.bool_] = scored & is_read
            area = _area(label, scores, codes, scored, rule).columns("auc")
            own = area["auc"] if (paired == scored).all() else _area(label, scores, codes, paired, rule).value
            row: dict[str, object] = {
                "level": level,
                "model": one.model,
                "family": one.family,
                "n": int(scored.sum()),
                "n_malignant": int(label[scored].sum()),
                "patients": len(np.unique(codes[scored])),
                **area,
                "n_paired": int(paired.sum()),
                "auc_on_paired": own,
                **_area(label, read, codes, paired, rule).columns("birads_auc"),
            }
            rows.append(row | seen_columns(one.seen, patients[scored], note, *one.marking_notes))
    return pd.DataFrame(rows, columns=_COMPARISON_COLUMNS)


def _described(lesions: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    """Go through the levels: name, unit of each lesion, and label, count and assessment of each unit."""
    for level, units in level_units(lesions).items():
        table = units.join(lesions[["malignant", "birads"]])
        groups = table.groupby(_KEYS, sort=False)
        described = groups.agg(
            malignant=("malignant", "max"), n_lesions=("malignant", "size"), birads=("birads", "max")
        )
        yield level, units, described


def _scores(candidates: Sequence[Candidate], lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of the lesions that all seeds of a candidate score, one column for each candidate and seed."""
    columns = {
        (one.model, seed): run["score"].astype("float64").reindex(one.scored(lesions))
        for one in candidates
        for seed, run in one.runs.items()
    }
    return pd.DataFrame(columns, index=lesions.index)


def _area(
    label: FloatArray,
    scores: Sequence[FloatArray],
    patients: IntArray,
    kept: npt.NDArray[np.bool_],
    rule: PatientBootstrap,
) -> Estimate:
    """Return the AUC of the units kept, as the mean over seeds, with its interval; all arrays are (units,)."""
    return area_estimate(Scored(label, scores, scores, patients).part(kept), rule)
