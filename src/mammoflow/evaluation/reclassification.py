"""What a model would change in the biopsies of lesions that the radiologist is unsure of: BI-RADS 3 and 4.

A lesion moves up where the model, or the model joined with the assessment, calls it malignant and BI-RADS does not, and
down where it is the other way round. The net reclassification improvement is given for malignant and for benign lesions
apart (Pencina et al., Statistics in Medicine 27, 2008); their sum has no use (Kerr et al., Epidemiology 25, 2014).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.calibration import WITH_PROBABILITIES
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.decisions import compare_decisions
from mammoflow.evaluation.estimates import Scored, proportion_estimate, too_few_cases
from mammoflow.evaluation.metrics import FloatArray, ratio
from mammoflow.evaluation.paired import Paired
from mammoflow.evaluation.seen_patients import seen_columns
from mammoflow.tables.cohort import BIRADS_CATEGORIES

CATEGORIES: Mapping[str, tuple[int, ...]] = {
    "BI-RADS 3": (3,),
    "BI-RADS 4": (4,),
    "BI-RADS 3 and 4": (3, 4),
    "all": tuple(range(7)),
}

_ESTIMATED = ("event_nri", "nonevent_nri", "net_biopsies_share")
_COLUMNS = [
    "model", "family", "seeds", "category", "n", "n_malignant", "patients", "malignant_up", "malignant_down",
    "benign_up", "benign_down", *(f"{name}{end}" for name in _ESTIMATED for end in ("", "_low", "_high")),
    "net_biopsies", "net_missed_cancers", "seen_test_patients", "note",
]  # fmt: skip


def reclassification_table(
    candidates: Sequence[Candidate], lesions: pd.DataFrame, rule: PatientBootstrap, note: str, fewest_cases: int = 1
) -> pd.DataFrame:
    """Return one row for each model and group of assessments, at the threshold of the model.

    Parameters
    ----------
    candidates
        What the comparison compares; the first one is BI-RADS.
    lesions
        Labelled test lesions, indexed by lesion: `malignant`, `patient_id`, `birads`, and where the study gives it
        `birads_category`, which parts BI-RADS 4 into 4A, 4B and 4C.
    rule
        The bootstrap, coverage, and the fewest patients of a class.
    note
        What is true of the whole study and is in every row.
    fewest_cases
        A row of fewer lesions has no figure, and its note says so.
    """
    rows = []
    for candidate in (one for one in candidates if one.family in WITH_PROBABILITIES):
        paired = Paired.of(candidate, candidates[0], lesions)
        if len(paired.lesions):
            rows += _rows(candidate, paired, rule, note, fewest_cases)
    return pd.DataFrame(rows, columns=_COLUMNS)


def _rows(
    candidate: Candidate, paired: Paired, rule: PatientBootstrap, note: str, fewest_cases: int
) -> list[dict[str, object]]:
    """Return the rows of one model."""
    assessment = paired.lesions["birads"].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    groups = {name: np.isin(assessment, values) for name, values in CATEGORIES.items()}
    if "birads_category" in paired.lesions.columns:
        parts = paired.lesions["birads_category"].to_numpy(dtype=object)
        groups |= {f"BI-RADS {part}": parts == part for part in BIRADS_CATEGORIES if (parts == part).any()}
    within = np.column_stack(list(groups.values()))
    names = paired.lesions["patient_id"].to_numpy(dtype=object)
    change = np.mean(paired.first.calls, axis=0) - paired.second.calls[0]
    columns = np.hstack([change[:, None] * within, within])
    # The changes are whole numbers for one seed alone; rounded thirds would look like an interval.
    sums = rule.sums(columns, paired.first.patients, single=len(candidate.runs) == 1)
    resampled = ratio(sums[:, : len(groups)], sums[:, len(groups) :])
    rows: list[dict[str, object]] = []
    for place, category in enumerate(groups):
        kept = within[:, place]
        patients = names[kept]
        row: dict[str, object] = {
            "model": candidate.model,
            "family": candidate.family,
            "seeds": len(candidate.runs),
            "category": category,
            "n": int(kept.sum()),
            "n_malignant": int(paired.first.label[kept].sum()),
            "patients": len(set(patients)),
        }
        is_small = int(kept.sum()) < fewest_cases
        if kept.any() and not is_small:
            alike = len(CATEGORIES.get(category, (category,))) == 1
            row |= _changes(paired.first.part(kept), paired.second.part(kept), rule, alike)
            share = rule.estimate(resampled[:, place], paired.first.patients[kept])
            row |= share.columns("net_biopsies_share")
        said = too_few_cases(fewest_cases) if is_small else ""
        rows.append(row | seen_columns(candidate.seen, patients, note, *candidate.marking_notes, said))
    return rows


def _changes(model: Scored, reader: Scored, rule: PatientBootstrap, alike: bool) -> dict[str, float]:
    """Return how many lesions move up and down, as means over seeds, and the improvement of each class.

    `alike` tells that all lesions have one assessment.
    """
    label, read = model.label, reader.calls[0]
    called: FloatArray = np.mean(model.calls, axis=0)
    up, down = called * (1 - read), (1 - called) * read
    counts = {
        f"{name}_{way}": float((of_class * moved).sum())
        for name, of_class in (("malignant", label), ("benign", 1 - label))
        for way, moved in (("up", up), ("down", down))
    }
    return {
        **counts,
        **_improvement(model.part(label == 1), reader.part(label == 1), rule, alike).columns("event_nri"),
        **_improvement(model.part(label == 0), reader.part(label == 0), rule, alike).columns("nonevent_nri"),
        "net_biopsies": float((up - down).sum()),
        "net_missed_cancers": counts["malignant_down"] - counts["malignant_up"],
    }


def _improvement(model: Scored, reader: Scored, rule: PatientBootstrap, alike: bool) -> Estimate:
    """Return the share of right decisions of the model less that of the reader, on lesions of one class.

    Within one assessment the reader decides all lesions alike by definition, so the reader's share is 0 or 1 and only
    that of the model varies; the interval is then Wilson's for the model. Otherwise it is that of the paired
    difference, also where the reader happens to decide all these lesions alike.
    """
    right = [[(call == one.label).astype(np.float64) for call in one.calls] for one in (model, reader)]
    found = compare_decisions(right[0], right[1], model.patients)
    if alike:
        share = proportion_estimate(found.shares[0], rule)
        return Estimate(found.value, share.low - found.second, share.high - found.second)
    enough = len(np.unique(model.patients)) >= rule.fewest_patients
    low, high = found.interval(rule.confidence) if enough else (float("nan"), float("nan"))
    return Estimate(found.value, low, high)
