"""How each candidate does on parts of the test split: by lesion type, density, size, view, and at BI-RADS 4."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.estimates import metric_estimates, too_few_cases
from mammoflow.evaluation.seen_patients import seen_columns

SIZE_EDGES_MM = (10.0, 20.0)
"""Longest diameters that part T1b, T1c and T2 in the TNM classification of breast cancer."""

METRICS = ("auc", "recall", "specificity")

NOT_KNOWN = "not known"
"""Group of the lesions without the value, where others have it."""


def subgroup_labels(lesions: pd.DataFrame) -> dict[str, pd.Series]:
    """Return, for each grouping, the group of every lesion; null where the lesion belongs to none.

    Lesions without the value are the group `NOT_KNOWN` where others have it.

    Parameters
    ----------
    lesions
        Indexed by lesion: `lesion_type`, `density`, `birads`, `diameter_mm`, `view`.
    """
    low, high = SIZE_EDGES_MM
    size = pd.cut(
        lesions["diameter_mm"].astype("float64"),
        [0, low, high, float("inf")],
        labels=[f"up to {low:g} mm", f"{low:g} to {high:g} mm", f"over {high:g} mm"],
    )
    density = lesions["density"].astype("Int64")
    of_value = {
        "lesion type": lesions["lesion_type"].astype("object"),
        "breast density": density.astype("string").astype("object").where(density.notna()),
        "size": size.astype("object"),
        "view": lesions["view"].astype("object").where(lesions["view"] != ""),
    }
    groupings = {
        name: groups.fillna(NOT_KNOWN) if groups.notna().any() else groups for name, groups in of_value.items()
    }
    alone = (lesions["birads"] == 4).fillna(False)
    return groupings | {"BI-RADS": pd.Series("4 alone", index=lesions.index, dtype="object").where(alone)}


def subgroup_table(
    candidates: Sequence[Candidate], lesions: pd.DataFrame, rule: PatientBootstrap, note: str, fewest_cases: int = 1
) -> pd.DataFrame:
    """Return one row for each grouping, group and candidate, with n, malignant n and intervals.

    Parameters
    ----------
    candidates
        In the order of the rows of a group.
    lesions
        Labelled test lesions, indexed by lesion.
    rule
        Coverage of the intervals, and the fewest patients of a class.
    note
        What is true of the whole study and is in every row.
    fewest_cases
        A row of fewer lesions has no figure, and its note says so.
    """
    rows = []
    for grouping, labels in subgroup_labels(lesions).items():
        for group in sorted(labels.dropna().unique(), key=_group_order):
            part = lesions[(labels == group).fillna(False)]
            for candidate in candidates:
                lesion_ids = candidate.scored(part)
                scored = candidate.on(part, lesion_ids)
                patients = part.loc[lesion_ids, "patient_id"].tolist()
                row: dict[str, object] = {
                    "grouping": grouping,
                    "group": group,
                    "model": candidate.model,
                    "family": candidate.family,
                    "n": len(lesion_ids),
                    "n_malignant": int(scored.label.sum()),
                    "patients": len(set(patients)),
                }
                is_small = len(lesion_ids) < fewest_cases
                if not is_small:
                    estimates = metric_estimates(scored, rule)
                    for metric in METRICS:
                        row |= estimates[metric].columns(metric)
                said = too_few_cases(fewest_cases) if is_small else ""
                rows.append(row | seen_columns(candidate.seen, patients, note, said))
    columns = ["grouping", "group", "model", "family", "n", "n_malignant", "patients"]
    columns += [f"{metric}{end}" for metric in METRICS for end in ("", "_low", "_high")]
    columns += ["seen_test_patients", "note"]
    return pd.DataFrame(rows, columns=columns)


def _group_order(group: str) -> tuple[bool, int, str]:
    """Order sizes from small to large and everything else by name; what is not known comes last."""
    sizes = ("up to", str(int(SIZE_EDGES_MM[0])), "over")
    place = next((index for index, start in enumerate(sizes) if group.startswith(start)), 0)
    return group == NOT_KNOWN, place, group
