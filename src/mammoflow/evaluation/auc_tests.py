"""The table of paired tests: which model has the larger AUC on the same test lesions, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pandas as pd

from mammoflow.evaluation.candidates import CLASSIFIER, FEATURE_MODEL, FUSION, Candidate
from mammoflow.evaluation.delong import AreaDifference, area_difference, components
from mammoflow.evaluation.floors import SIZE_ALONE
from mammoflow.evaluation.fusion import READERS_WORDS
from mammoflow.evaluation.seen_patients import SeenPatients, seen_columns

_COLUMNS = [
    "model_a", "model_b", "n", "n_malignant", "patients", "auc_a", "auc_b", "difference", "low", "high", "p",
    "seen_test_patients", "note",
]  # fmt: skip


def paired_difference(first: Candidate, second: Candidate, lesions: pd.DataFrame) -> AreaDifference:
    """Test the difference in AUC of two candidates on lesions that both score; areas are means over seeds.

    Parameters
    ----------
    first, second
        What is compared.
    lesions
        Indexed by lesion, each scored by both: `malignant`, `patient_id`.
    """
    label = lesions["malignant"].to_numpy(dtype=np.float64)
    if len(np.unique(label)) < 2:
        return AreaDifference(float("nan"), float("nan"), float("nan"))
    ranked = [components(label, [score for score, _ in one.values(lesions.index)]) for one in (first, second)]
    return area_difference(label, ranked[0], ranked[1], lesions["patient_id"].tolist())


def auc_test_table(
    candidates: Sequence[Candidate], lesions: pd.DataFrame, confidence: float, note: str
) -> pd.DataFrame:
    """Return one row for each tested pair.

    Every candidate is tested against BI-RADS, every classifier against each feature model and against size alone, and
    every fusion against the model on the reader's words.

    Parameters
    ----------
    candidates
        The first one is BI-RADS.
    lesions
        Labelled test lesions, indexed by lesion.
    confidence
        Coverage of the intervals.
    note
        What is true of the whole study and is in every row.
    """
    rows = []
    for first, second in _pairs(candidates):
        both = lesions.loc[second.scored(lesions.loc[first.scored(lesions)])]
        found = paired_difference(first, second, both)
        low, high = found.interval(confidence)
        rows.append(
            {
                "model_a": first.model,
                "model_b": second.model,
                "n": len(both),
                "n_malignant": int(both["malignant"].sum()),
                "patients": both["patient_id"].nunique(),
                "auc_a": found.first,
                "auc_b": found.second,
                "difference": found.value,
                "low": low,
                "high": high,
                "p": found.p_value,
                **seen_columns(SeenPatients.joined([first.seen, second.seen]), both["patient_id"], note),
            }
        )
    return pd.DataFrame(rows, columns=_COLUMNS)


def _pairs(candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, Candidate]]:
    """Go through the pairs in the order of the rows."""
    birads, others = candidates[0], candidates[1:]
    yield from ((one, birads) for one in others)
    classifiers = [one for one in others if one.family == CLASSIFIER]
    held_against = [one for one in others if one.family == FEATURE_MODEL or one.model == SIZE_ALONE]
    yield from product(classifiers, held_against)
    words = [one for one in others if one.model == READERS_WORDS]
    fusions = [one for one in others if one.family == FUSION and one.model != READERS_WORDS]
    yield from product(fusions, words)
