"""Two protocols on the same models: what a leaking split and an oracle are worth, as a difference of two runs.

Both runs are read from their files `comparison/predictions.csv`, so nothing is computed anew. The test sets of the runs
differ. The difference over all test lesions takes into account that patients may be in both; the difference on the
lesions that both runs test is paired.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from mammoflow.config.evaluation import PROTOCOL_TABLE
from mammoflow.config.row_names import IDENTITY_ROW
from mammoflow.errors import StudyError
from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.candidates import FLOOR
from mammoflow.evaluation.decisions import difference_interval, difference_p_value
from mammoflow.evaluation.delong import area_of_components, components
from mammoflow.evaluation.estimates import Scored, metric_estimates
from mammoflow.evaluation.interaction import area_influence, has_error, joined_freedom
from mammoflow.evaluation.metrics import FloatArray, patient_codes
from mammoflow.evaluation.paired import Paired
from mammoflow.evaluation.protocol_runs import Protocol, read_protocol
from mammoflow.evaluation.within_folds import within_folds_area
from mammoflow.tables.files import write_csv

SIDES = ("first", "second")

_ESTIMATES = ("auc", "auc_within_folds", "accuracy", "identity_auc", "identity_accuracy")
_OF_SIDE = [
    "run", "split", "leaking", "oracle", "n", "n_malignant", "patients",
    *(f"{name}{end}" for name in _ESTIMATES for end in ("", "_low", "_high")), "seen_test_patients", "note",
]  # fmt: skip
_PRICES = [
    f"{before}price_{metric}{end}"
    for before in ("", "shared_")
    for metric in ("auc", "accuracy")
    for end in ("", "_low", "_high", "_p")
]
COLUMNS = [
    "model", "title", "family", *(f"{side}_{name}" for side in SIDES for name in _OF_SIDE), *_PRICES[:8],
    "shared_lesions", "shared_malignant", "shared_patients", "shared_first_auc", "shared_second_auc", *_PRICES[8:],
]  # fmt: skip


def compare_protocols(first: Path, second: Path, output: Path) -> pd.DataFrame:
    """Write what each model of two runs reaches under the protocol of each, and the difference, the price.

    Parameters
    ----------
    first, second
        Folders of two finished runs with models of the same names: first the leaking one, so that the price is what the
        leak adds.
    output
        Folder for `protocol_comparison.csv`.

    Returns
    -------
    DataFrame
        The table. `price_auc` and `price_accuracy` are first minus second, over all test lesions of each run;
        `shared_price_...` are on the lesions that both test and the model scores in both.

    Raises
    ------
    StudyError
        If a run is not finished, the runs share no model, or a lesion has another patient or label in the other run.
    """
    runs = read_protocol(first), read_protocol(second)
    shared = [model for model in runs[0].candidates if model in runs[1].candidates and model != IDENTITY_ROW]
    if not shared:
        raise StudyError(
            f"{first} and {second} have no model of the same name; expected two runs of the same models, such as "
            "published-protocol and published-six-clean"
        )
    both = runs[0].lesions.index.intersection(runs[1].lesions.index, sort=False)
    columns = ["malignant", "patient_id"]
    differs = (runs[0].lesions.loc[both, columns] != runs[1].lesions.loc[both, columns]).any(axis=1)
    if differs.any():
        raise StudyError(
            f"lesion {differs.idxmax()} has another patient or label in {second} than in {first}; expected two runs on "
            "the same study"
        )
    rows = [_row(model, *runs) for model in shared]
    table = pd.DataFrame(rows, columns=COLUMNS)
    write_csv(output / PROTOCOL_TABLE, table)
    return table


def _row(model: str, first: Protocol, second: Protocol) -> dict[str, object]:
    """Return the row of one model."""
    rule = PatientBootstrap.of(first.settings)
    row: dict[str, object] = {
        "model": model,
        "title": first.titles[model],
        "family": first.candidates[model].family,
        **_side("first", model, first),
        **_side("second", model, second),
    }
    decided = model not in first.undecided | second.undecided
    row |= _price(_scored(first, model), _scored(second, model), rule, decided)
    return row | _shared_price(model, first, second, rule, decided)


def _scored(run: Protocol, model: str) -> tuple[Scored, pd.Series]:
    """Return what a model says of the test lesions that it scores, and the patient of each."""
    candidate = run.candidates[model]
    lesion_ids = candidate.scored(run.lesions)
    return candidate.on(run.lesions, lesion_ids), run.lesions.loc[lesion_ids, "patient_id"]


def _side(side: str, model: str, run: Protocol) -> dict[str, object]:
    """Return what a model reaches under one protocol, with the floor "patient identity alone" beside it."""
    rule = PatientBootstrap.of(run.settings)
    scored, patients = _scored(run, model)
    estimates = metric_estimates(scored, rule, ("auc", "accuracy"))
    if model in run.undecided:
        estimates["accuracy"] = Estimate(math.nan, math.nan, math.nan)
    columns: dict[str, float] = estimates["auc"].columns("auc") | estimates["accuracy"].columns("accuracy")
    folds = run.lesions.loc[patients.index, "fold"]
    if folds.notna().all() and folds.nunique() > 1:
        found = within_folds_area(scored.label, scored.scores, scored.patients, folds.to_numpy(dtype=np.int64))
        bounds = found.interval(rule.confidence) if scored.has_both(rule.fewest_patients) else (math.nan, math.nan)
        columns |= Estimate(found.value, *bounds).columns("auc_within_folds")
    if IDENTITY_ROW in run.candidates:
        floor = metric_estimates(_scored(run, IDENTITY_ROW)[0], rule, ("auc", "accuracy"))
        columns |= floor["auc"].columns("identity_auc") | floor["accuracy"].columns("identity_accuracy")
    elif not run.leaking:
        columns["identity_auc"] = 0.5  # no test patient has a training lesion
    said = run.headline.loc[model]
    return {
        f"{side}_run": run.folder.name,
        f"{side}_split": run.split,
        f"{side}_leaking": run.leaking,
        f"{side}_oracle": run.oracles[model],
        f"{side}_n": len(scored.label),
        f"{side}_n_malignant": int(scored.label.sum()),
        f"{side}_patients": patients.nunique(),
        **{f"{side}_{name}": value for name, value in columns.items()},
        f"{side}_seen_test_patients": said.get("seen_test_patients"),
        f"{side}_note": said.get("note"),
    }


def _price(
    first: tuple[Scored, pd.Series], second: tuple[Scored, pd.Series], rule: PatientBootstrap, decided: bool
) -> dict[str, float]:
    """Return first minus second over all test lesions; patients that both have count with their covariance."""
    names = pd.Index(pd.concat([first[1], second[1]]).unique())
    codes = [np.asarray(names.get_indexer(pd.Index(patients))) for _, patients in (first, second)]
    sides = [replace(scored, patients=code) for (scored, _), code in zip((first, second), codes, strict=True)]
    enough = all(side.has_both(rule.fewest_patients) for side in sides)
    found: dict[str, float] = {}
    if all(len(np.unique(side.label)) == 2 for side in sides):
        ranked = [components(side.label, side.scores) for side in sides]
        areas = [area_of_components(side.label, of, side.patients) for side, of in zip(sides, ranked, strict=True)]
        error = freedom = math.nan
        if enough and all(map(has_error, areas)):
            influences = [
                area_influence(side.label, of, side.patients, len(names), area.error)
                for side, of, area in zip(sides, ranked, areas, strict=True)
            ]
            error, freedom = float(np.linalg.norm(influences[0] - influences[1])), joined_freedom(areas)
        found |= _wald(areas[0].value - areas[1].value, error, freedom, rule.confidence)
    if decided:
        shares = [side.proportion("accuracy") for side in sides]
        padded = [
            _padded(share.influence, side.patients, len(names)) for share, side in zip(shares, sides, strict=True)
        ]
        one, other = (replace(share, influence=of) for share, of in zip(shares, padded, strict=True))
        # As in a paired comparison, runs with the same decisions have no interval.
        differences = [one.value - other.value, *(one.influence - other.influence)]
        has_interval = enough and not np.allclose(differences, 0, rtol=0, atol=1e-12)
        bounds = difference_interval(one, other, rule.confidence) if has_interval else (math.nan, math.nan)
        found |= Estimate(one.value - other.value, *bounds).columns("price_accuracy")
        found["price_accuracy_p"] = difference_p_value(one, other) if has_interval else math.nan
    return found


def _padded(influence: FloatArray, patients: np.ndarray, number: int) -> FloatArray:
    """Return the influence of each of all patients, 0 for those without a lesion here."""
    codes, _ = patient_codes(patients)
    padded = np.zeros(number)
    padded[patients] = influence[codes]
    return padded


def _wald(value: float, error: float, freedom: float, confidence: float) -> dict[str, float]:
    """Return the columns of the difference of two areas, without an interval where there is no standard error."""
    if not error > 0:
        return {"price_auc": value}
    reach = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    p_value = 2 * float(stdtr(freedom, -abs(value) / error))
    bounds = max(value - reach, -1.0), min(value + reach, 1.0)
    return {**Estimate(value, *bounds).columns("price_auc"), "price_auc_p": p_value}


def _shared_price(
    model: str, first: Protocol, second: Protocol, rule: PatientBootstrap, decided: bool
) -> dict[str, float]:
    """Return first minus second on the lesions that the model scores in both runs; the test is paired."""
    lesions = first.lesions[first.lesions.index.isin(second.lesions.index)]
    paired = Paired.of(first.candidates[model], second.candidates[model], lesions)
    found: dict[str, float] = {
        "shared_lesions": len(paired.lesions),
        "shared_malignant": int(paired.first.label.sum()),
        "shared_patients": paired.lesions["patient_id"].nunique(),
        "shared_first_auc": paired.areas.first,
        "shared_second_auc": paired.areas.second,
    }
    enough = paired.has_enough(rule.fewest_patients)
    for name, difference in (("auc", paired.areas), ("accuracy", paired.decisions)):
        if name == "auc" or decided:
            bounds = difference.interval(rule.confidence) if enough else (math.nan, math.nan)
            found |= Estimate(difference.value, *bounds).columns(f"shared_price_{name}")
            found[f"shared_price_{name}_p"] = difference.p_value if enough else math.nan
    return found


def lines(table: pd.DataFrame) -> list[str]:
    """Return what the console says of the table: one line for each row that is no floor of one value."""
    said = []
    for row in table[table["first_auc"].notna() & table["second_auc"].notna()].to_dict("records"):
        price = f"{row['price_auc']:+.3f}"
        if math.isfinite(row["price_auc_low"]):
            price += f" ({row['price_auc_low']:+.3f} to {row['price_auc_high']:+.3f})"
        floor = " (floor)" if row["family"] == FLOOR else ""
        said.append(
            f"{row['title']}{floor}: AUC {row['first_auc']:.3f} in {row['first_run']}, {row['second_auc']:.3f} in "
            f"{row['second_run']}, difference {price}"
        )
    return said
