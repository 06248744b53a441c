"""BI-RADS as a model from the rows of case tables alone: every threshold, policy for 0, part of the rows, and level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from mammoflow.evaluation.birads import ZERO_NOTES, BiradsZero, birads_scores
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.estimates import Scored, area_estimate, metric_estimates, too_few_cases
from mammoflow.evaluation.metrics import METRICS, FloatArray, confusion, patient_codes, ratio
from mammoflow.tables.birads import BIRADS, COUNTED, LEVELS, POLICIES

ALL = "all"
NOT_STATED = "not stated"
THRESHOLDS = (1, 2, 3, 4, 5)
PARTED_BY = {"lesion_type": "lesion_type", "split": "official_split", "density": "density", "view": "view"}
"""Columns of the table that name a part of the rows -> columns of the rows."""

DECIDED = tuple(metric for metric in METRICS if metric != "auc")
"""Metrics of decisions, which depend on the threshold."""

SHUFFLED_ROWS = 339


def rule_of(threshold: int) -> str:
    """Return a threshold in words: both ways to write it, for they are mixed up easily."""
    return f"BI-RADS >= {threshold}, which is > {threshold - 1}"


@dataclass(frozen=True)
class Units:
    """The units of a level in one part of the rows, under one policy for BI-RADS 0.

    Attributes
    ----------
    label
        (units,): 1 where any row of the unit is malignant.
    score
        (units,): the highest assessment among its rows.
    calls
        Threshold to (units,): 1 where any row is called malignant.
    patients
        (units,): number of the patient.
    zeros
        Number of rows with BI-RADS 0 in the part, whatever becomes of them.
    """

    label: FloatArray
    score: FloatArray
    calls: dict[int, FloatArray]
    patients: np.ndarray
    zeros: int


def scorable_rows(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the rows that BI-RADS can be scored on, with what was left out.

    Parameters
    ----------
    rows
        Of a data set's reader: `lesion_id`, `finding_id`, `patient_id`, `label`, `birads`, `lesion_type`,
        `official_split`, `density`, `view`.

    Returns
    -------
    tuple
        The first row with malignancy and assessment of each lesion on a view, with `malignant` (0, 1), numbers of
        patient and finding, and the columns of `PARTED_BY` as text; and reason to number of rows left out. A lesion
        whose rows differ in malignancy has none.
    """
    of_lesions = rows[rows["lesion_id"].notna() & (rows["label"] != "normal")]
    unlabelled = of_lesions["label"].isna()
    torn = (of_lesions.groupby("lesion_id")["label"].transform("nunique") > 1) & ~unlabelled
    unassessed = of_lesions["birads"].isna() & ~(unlabelled | torn)
    complete = of_lesions[~(unlabelled | torn | unassessed)]
    repeated = complete["lesion_id"].duplicated()
    kept = complete[~repeated]
    parts = {name: _as_text(kept[column]) for name, column in PARTED_BY.items()}
    left_out = {
        "of images without a lesion": len(rows) - len(of_lesions),
        "malignancy is not known": int(unlabelled.sum()),
        "rows of a lesion differ in malignancy": int(torn.sum()),
        "no BI-RADS assessment": int(unassessed.sum()),
        "a second row of a lesion on a view": int(repeated.sum()),
    }
    scorable = kept.assign(
        malignant=(kept["label"] == "malignant").astype("float64"),
        birads=kept["birads"].astype("float64"),
        patient_number=pd.factorize(kept["patient_id"])[0],
        finding_number=pd.factorize(pd.MultiIndex.from_frame(kept[["patient_id", "finding_id"]]))[0],
        **parts,
    )
    return scorable.reset_index(drop=True), left_out


def _as_text(values: pd.Series) -> pd.Series:
    stated = values.notna() & (values.astype("object") != "")
    words = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
    return pd.Series(words, index=values.index, dtype="object").where(stated, NOT_STATED)


def birads_table(
    rows: pd.DataFrame, source: str, rule: PatientBootstrap, fewest_cases: int, note: str = ""
) -> pd.DataFrame:
    """Return the table BIRADS of one study.

    Parameters
    ----------
    rows
        Of `scorable_rows`.
    source
        Name of the data set.
    rule
        Coverage of the intervals, and the fewest patients of a class.
    fewest_cases
        A part of fewer units has no figure, and its note says so.
    note
        What a reader must know of every row, such as "phantom", or "".
    """
    table = []
    for part, members in _parts(rows):
        for level, zero in product(LEVELS, POLICIES):
            units = units_of(members, level, zero)
            counts = {
                "n": len(units.label),
                "n_malignant": int(units.label.sum()),
                "patients": len(np.unique(units.patients)),
                "n_birads_zero": units.zeros,
            }
            small = too_few_cases(fewest_cases) if len(units.label) < fewest_cases else ""
            said = "; ".join(filter(None, [note, ZERO_NOTES[zero], small]))
            areas = {} if small else _area_columns(units, rule)
            keys = {"source": source, "level": level, **part, "birads_zero": zero}
            for threshold in THRESHOLDS:
                figures = {} if small else _figures(units, threshold, rule) | areas
                row = {"threshold": threshold, "rule": rule_of(threshold), **counts, **figures, "note": said}
                table.append(keys | row)
    return pd.DataFrame(table, columns=[*BIRADS.columns])


def _parts(rows: pd.DataFrame) -> Iterator[tuple[dict[str, str], pd.DataFrame]]:
    """Go through the parts: each type and split, and each of these by density and by view."""
    groups = {name: [ALL, *_values(rows[name])] for name in PARTED_BY}
    further = [
        (ALL, ALL),
        *((each, ALL) for each in groups["density"][1:]),
        *((ALL, each) for each in groups["view"][1:]),
    ]
    for lesion_type, split, (density, view) in product(groups["lesion_type"], groups["split"], further):
        part = {"lesion_type": lesion_type, "split": split, "density": density, "view": view}
        members = rows
        for name, value in part.items():
            members = members if value == ALL else members[members[name] == value]
        if len(members):
            yield part, members


def _values(column: pd.Series) -> list[str]:
    """Return the values of a column, what is not stated last; none where there is only one."""
    values = sorted(column.unique(), key=lambda value: (value == NOT_STATED, value))
    return values if len(values) > 1 else []


def units_of(rows: pd.DataFrame, level: str, zero: BiradsZero) -> Units:
    """Join rows to the units of a level, each with its highest assessment.

    A unit is malignant if any of its rows is, and called malignant if any of its rows is. Rows with BI-RADS 0 that are
    left out take no part; a unit that has no other row is left out.

    Parameters
    ----------
    rows
        Of `scorable_rows`.
    level
        `row`, `finding` (the views of a lesion) or `patient`.
    zero
        Policy for BI-RADS 0.
    """
    assessment = rows["birads"].to_numpy(dtype=np.float64)
    score = birads_scores(rows["birads"], zero)["score"].to_numpy()
    is_zero = (assessment == 0) & (zero == "positive")
    values = np.column_stack(
        [rows["malignant"], score, *((assessment >= each) | is_zero for each in THRESHOLDS)]
    ).astype(np.float64)
    kept = np.isfinite(score)
    patients, values = rows["patient_number"].to_numpy()[kept], values[kept]
    if level != "row":
        units = patients if level == "patient" else rows["finding_number"].to_numpy()[kept]
        _, first, unit = np.unique(units, return_index=True, return_inverse=True)
        joined = np.full((len(first), values.shape[1]), -np.inf)
        np.maximum.at(joined, unit, values)
        patients, values = patients[first], joined
    calls = {each: values[:, 2 + place] for place, each in enumerate(THRESHOLDS)}
    return Units(values[:, 0], values[:, 1], calls, patient_codes(patients)[0], int((assessment == 0).sum()))


def _area_columns(units: Units, rule: PatientBootstrap) -> dict[str, float]:
    """Return the AUC of the assessment, which no threshold changes."""
    return area_estimate(Scored(units.label, [units.score], [units.score], units.patients), rule).columns("auc")


def _figures(units: Units, threshold: int, rule: PatientBootstrap) -> dict[str, float]:
    call = units.calls[threshold]
    scored = Scored(units.label, [units.score], [call], units.patients)
    columns: dict[str, float] = {}
    counts = confusion(units.label, call, np.ones((1, len(call))))
    for name in COUNTED:
        columns[name] = int(counts[name][0])
    for metric, estimate in metric_estimates(scored, rule, DECIDED).items():
        columns |= estimate.columns(metric)
    return columns


def nearest_row(table: pd.DataFrame, published: dict[str, float]) -> tuple[pd.Series, float] | None:
    """Return the row of a table whose figures come nearest to published ones, and its largest distance to them.

    None where no row has all of these figures, as in a table of few rows or without malignant ones.
    """
    distances = pd.DataFrame({metric: (table[metric] - value).abs() for metric, value in published.items()})
    largest = distances.max(axis=1, skipna=False).astype("float64")
    if largest.isna().all():
        return None
    place = int(np.nanargmin(largest.to_numpy()))
    return table.iloc[place], float(largest.min())


def shuffled_means(rows: pd.DataFrame, seed: int, draws: int = 100_000) -> dict[str, float]:
    """Return the mean figures of BI-RADS > 3 where assessments are shuffled among 339 mass rows drawn at random.

    This is what a table gives whose assessments were joined to the wrong rows. Only counts are drawn: those of the four
    cells among the drawn rows, and how many malignant rows the shuffled calls then meet.

    Parameters
    ----------
    rows
        Of `scorable_rows`, with at least 339 masses.
    seed
        Of the draws.
    draws
        How many.
    """
    masses = rows[rows["lesion_type"] == "mass"]
    malignant, called = masses["malignant"] == 1, masses["birads"].astype("float64") > 3
    kinds = ((True, True), (True, False), (False, True), (False, False))
    cells = [int(((malignant == label) & (called == call)).sum()) for label, call in kinds]
    random = np.random.default_rng(seed)
    drawn = random.multivariate_hypergeometric(cells, SHUFFLED_ROWS, size=draws)
    ill, called_ill = drawn[:, 0] + drawn[:, 1], drawn[:, 0] + drawn[:, 2]
    met = random.hypergeometric(ill, SHUFFLED_ROWS - ill, called_ill)
    positive, calls, hits = (counts.astype(np.float64) for counts in (ill, called_ill, met))
    found = {
        "accuracy": (SHUFFLED_ROWS - positive - calls + 2 * hits) / SHUFFLED_ROWS,
        "precision": ratio(hits, calls),
        "recall": ratio(hits, positive),
        "f1": ratio(2 * hits, positive + calls),
    }
    return {name: float(np.nanmean(values)) for name, values in found.items()}
