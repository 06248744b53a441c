"""How each candidate does on parts of the test split, such as lesion types and sizes, and whether its AUC differs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.candidates import CLASSIFIER, FEATURE_MODEL, FUSION, READER, Candidate
from mammoflow.evaluation.delong import NO_AREA, Area, area_difference, area_of_components, components
from mammoflow.evaluation.estimates import BoolArray, Scored, metric_estimates, too_few_cases
from mammoflow.evaluation.interaction import (
    NO_TEST,
    Heterogeneity,
    area_influence,
    false_discovery_rates,
    heterogeneity,
)
from mammoflow.evaluation.metrics import FloatArray, IntArray, patient_codes
from mammoflow.evaluation.seen_patients import seen_columns

SIZE_EDGES_MM = (10.0, 20.0)
"""Longest diameters that part T1b, T1c and T2 in the TNM classification of breast cancer."""

AGE_EDGES = (40.0, 50.0, 60.0, 70.0)
"""Ages in years that part the groups: decades from the age on at which screening begins in many countries."""

METRICS = ("auc", "recall", "specificity")

NOT_KNOWN = "not known"
"""Group of the lesions without the value, where others have it."""

TESTED = (READER, CLASSIFIER, FUSION, FEATURE_MODEL)
"""Families whose AUC is tested for a difference between groups; floors and ceilings are not."""

_COLUMNS = [
    "grouping", "group", "model", "family", "n", "n_malignant", "patients",
    *(f"{metric}{end}" for metric in METRICS for end in ("", "_low", "_high")),
    "n_paired", "auc_difference", "auc_difference_low", "auc_difference_high",
    "interaction_groups", "interaction_chi2", "interaction_df", "interaction_p", "interaction_q",
    "seen_test_patients", "note",
]  # fmt: skip


def size_thirds(training: Sequence[pd.DataFrame]) -> tuple[float, float] | None:
    """Return the diameters in millimetres that part the training lesions into thirds; None without training lesions.

    Parameters
    ----------
    training
        Training lesions of the run, or of each fold, over which the two diameters are averaged: `diameter_mm`.
    """
    known = [lesions["diameter_mm"].dropna().astype("float64") for lesions in training]
    edges = [part.quantile([1 / 3, 2 / 3]).to_numpy() for part in known if len(part)]
    if not edges:
        return None
    low, high = (round(float(edge), 1) for edge in np.mean(edges, axis=0))
    return (low, high) if low < high else None


def subgroup_labels(lesions: pd.DataFrame, thirds: tuple[float, float] | None = None) -> dict[str, pd.Series]:
    """Return, for each grouping, the group of every lesion; null where the lesion belongs to none.

    Lesions without the value are the group `NOT_KNOWN` where others have it.

    Parameters
    ----------
    lesions
        Indexed by lesion: `lesion_type`, `density`, `birads`, `diameter_mm`, `view`, `subtlety`, `source`, and where
        the study gives them `age` and `birads_category`.
    thirds
        Of `size_thirds`.
    """
    nothing = pd.Series(None, index=lesions.index, dtype="object")
    sources = lesions["source"].astype("object")
    of_value = {
        "lesion type": lesions["lesion_type"].astype("object"),
        "breast density": _whole_numbers(lesions["density"]),
        "size": _between(lesions["diameter_mm"], SIZE_EDGES_MM),
        "size, thirds of training": nothing if thirds is None else _between(lesions["diameter_mm"], thirds),
        "view": lesions["view"].astype("object").where(lesions["view"] != ""),
        "subtlety": _whole_numbers(lesions["subtlety"]),
        "age": _decades(lesions["age"]) if "age" in lesions.columns else nothing,
        "data set": sources if sources.nunique() > 1 else nothing,
    }
    groupings = {
        name: groups.fillna(NOT_KNOWN) if groups.notna().any() else groups for name, groups in of_value.items()
    }
    alone = (lesions["birads"] == 4).fillna(False)
    groupings["BI-RADS"] = pd.Series("4 alone", index=lesions.index, dtype="object").where(alone)
    if "birads_category" in lesions.columns and lesions["birads_category"].notna().any():
        groupings["BI-RADS 4"] = lesions["birads_category"].astype("object").fillna(NOT_KNOWN).where(alone)
    return groupings


def _decades(ages: pd.Series) -> pd.Series:
    low, *inner, high = (f"{edge:g}" for edge in AGE_EDGES)
    middle = [f"{first} to {int(last) - 1}" for first, last in pairwise((low, *inner, high))]
    labels = [f"under {low}", *middle, f"{high} and over"]
    parted = pd.cut(ages.astype("float64"), [0, *AGE_EDGES, float("inf")], right=False, labels=labels)
    return parted.astype("object")


def _between(values: pd.Series, edges: tuple[float, float]) -> pd.Series:
    low, high = edges
    labels = [f"up to {low:g} mm", f"{low:g} to {high:g} mm", f"over {high:g} mm"]
    return pd.cut(values.astype("float64"), [0, low, high, float("inf")], labels=labels).astype("object")


def _whole_numbers(values: pd.Series) -> pd.Series:
    numbers = values.astype("Int64")
    return numbers.astype("string").astype("object").where(numbers.notna())


@dataclass
class _Groups:
    """Areas of one model in the groups of one grouping, for the test whether they differ."""

    areas: list[Area] = field(default_factory=list)
    influences: list[FloatArray] = field(default_factory=list)

    def test(self) -> Heterogeneity:
        return heterogeneity(self.areas, self.influences)


def subgroup_table(
    candidates: Sequence[Candidate],
    lesions: pd.DataFrame,
    rule: PatientBootstrap,
    note: str,
    fewest_cases: int = 1,
    thirds: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Return one row for each grouping, group and candidate, with n, malignant n and intervals.

    The difference in AUC is that to BI-RADS on the lesions of the group that both score. The test of interaction is of
    the AUC between the groups that have an interval, those that are not known left out; `interaction_q` is its p value
    adjusted over all models and groupings.

    Parameters
    ----------
    candidates
        In the order of the rows of a group; the first one is BI-RADS.
    lesions
        Labelled test lesions, indexed by lesion.
    rule
        Coverage of the intervals, and the fewest patients of a class.
    note
        What is true of the whole study and is in every row.
    fewest_cases
        A row of fewer lesions has no figure, and its note says so.
    thirds
        Of `size_thirds`.
    """
    codes, number = patient_codes(lesions["patient_id"].tolist())
    names = lesions["patient_id"].to_numpy(dtype=object)
    wholes = [_Scores.of(candidate, lesions, codes) for candidate in candidates]
    rows: list[dict[str, object]] = []
    tests: dict[tuple[str, str], Heterogeneity] = {}
    for grouping, labels in subgroup_labels(lesions, thirds).items():
        tested: dict[str, _Groups] = {one.model: _Groups() for one in candidates if one.family in TESTED}
        for group in sorted(labels.dropna().unique(), key=_group_order):
            kept = (labels == group).fillna(False).to_numpy(dtype=bool)
            parts = [whole.within(kept) for whole in wholes]
            for candidate, one in zip(candidates, parts, strict=True):
                is_small = len(one.places) < fewest_cases
                row = {"grouping": grouping, "group": group, "model": candidate.model, "family": candidate.family}
                row |= one.counts()
                if not is_small:
                    row |= one.figures(rule)
                    if candidate.family in TESTED[1:]:
                        row |= one.difference(parts[0], rule)
                said = too_few_cases(fewest_cases) if is_small else ""
                rows.append(row | seen_columns(candidate.seen, names[one.places], note, *candidate.marking_notes, said))
                enough = not is_small and one.scored.has_both(rule.fewest_patients)
                if candidate.model in tested and enough and group != NOT_KNOWN:
                    tested[candidate.model].areas.append(one.area)
                    tested[candidate.model].influences.append(one.influence(number))
        tests |= {(grouping, model): groups.test() for model, groups in tested.items()}
    return _with_tests(pd.DataFrame(rows, columns=_COLUMNS), tests)


@dataclass(frozen=True)
class _Scores:
    """What a candidate says of some of the test lesions, which are named by their places among all of them."""

    places: IntArray
    scored: Scored

    @classmethod
    def of(cls, candidate: Candidate, lesions: pd.DataFrame, codes: IntArray) -> _Scores:
        places = np.flatnonzero(candidate.scores(lesions.index))
        scored = candidate.on(lesions, lesions.index[places])
        return cls(places, Scored(scored.label, scored.scores, scored.calls, codes[places]))

    def within(self, kept: BoolArray) -> _Scores:
        """Return what it says of the lesions of a group, (all lesions,) of booleans."""
        part = kept[self.places]
        return _Scores(self.places[part], self.scored.part(part))

    @cached_property
    def found(self) -> FloatArray | None:
        """The component of each lesion in the AUC; None with one class."""
        both = len(np.unique(self.scored.label)) == 2
        return components(self.scored.label, self.scored.scores) if both else None

    @cached_property
    def area(self) -> Area:
        if self.found is None:
            return NO_AREA
        return area_of_components(self.scored.label, self.found, self.scored.patients)

    def influence(self, number: int) -> FloatArray:
        """Return what each of all patients adds to the deviation of the AUC."""
        if self.found is None:
            return np.zeros(number)
        return area_influence(self.scored.label, self.found, self.scored.patients, number, self.area.error)

    def counts(self) -> dict[str, int]:
        malignant, patients = int(self.scored.label.sum()), len(np.unique(self.scored.patients))
        return {"n": len(self.places), "n_malignant": malignant, "patients": patients}

    def figures(self, rule: PatientBootstrap) -> dict[str, float]:
        estimates = metric_estimates(self.scored, rule, METRICS[1:]) | {"auc": self._area_estimate(rule)}
        columns: dict[str, float] = {}
        for metric in METRICS:
            columns |= estimates[metric].columns(metric)
        return columns

    def _area_estimate(self, rule: PatientBootstrap) -> Estimate:
        enough = self.scored.has_both(rule.fewest_patients)
        return Estimate(self.area.value, *(self.area.interval(rule.confidence) if enough else (math.nan, math.nan)))

    def difference(self, reader: _Scores, rule: PatientBootstrap) -> dict[str, float]:
        """Return the difference in AUC to the reader on the lesions of the group that both score."""
        one, other = self, reader
        if not np.array_equal(self.places, reader.places):
            one, other = (
                _Scores(each.places[both], each.scored.part(both))
                for each, both in (
                    (self, np.isin(self.places, reader.places)),
                    (reader, np.isin(reader.places, self.places)),
                )
            )
        columns: dict[str, float] = {"n_paired": len(one.places)}
        if one.found is None or other.found is None:
            return columns
        difference = area_difference(one.scored.label, one.found, other.found, one.scored.patients)
        enough = one.scored.has_both(rule.fewest_patients)
        bounds = difference.interval(rule.confidence) if enough else (math.nan, math.nan)
        return columns | Estimate(difference.value, *bounds).columns("auc_difference")


def _with_tests(table: pd.DataFrame, tests: dict[tuple[str, str], Heterogeneity]) -> pd.DataFrame:
    """Put the test of each grouping and model into all of its rows."""
    rates = false_discovery_rates({key: test.p_value for key, test in tests.items()})
    keys = list(zip(table["grouping"], table["model"], strict=True))
    found = [tests.get(key, NO_TEST) for key in keys]
    return table.assign(
        interaction_groups=[test.freedom + 1 if test.freedom else math.nan for test in found],
        interaction_chi2=[test.statistic for test in found],
        interaction_df=[test.freedom or math.nan for test in found],
        interaction_p=[test.p_value for test in found],
        interaction_q=[rates.get(key, math.nan) for key in keys],
    )


def _group_order(group: str) -> tuple[bool, int, str]:
    """Order ranges from small to large and everything else by name; what is not known comes last."""
    place = 0 if group.startswith(("up to", "under")) else 2 if group.startswith("over") else 1
    return group == NOT_KNOWN, place, group
