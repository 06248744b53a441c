"""Lesions that a model and BI-RADS call differently, so that one of the two is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mammoflow.evaluation.candidates import FLOOR, READER, Candidate
from mammoflow.evaluation.foreign import is_undecided
from mammoflow.evaluation.seen_patients import seen_columns
from mammoflow.evaluation.segmentation_diameter import case_numbers

COLUMNS = [
    "model", "family", "seed", "right", "case", "lesion_id", "image_id", "patient_id", "side", "view", "type",
    "malignant", "birads", "score", "threshold", "seen_test_patients", "note",
]  # fmt: skip

MODEL, BIRADS = "model", "BI-RADS"
"""Values of the column `right`."""


def discordant_table(
    candidates: Sequence[Candidate], lesions: pd.DataFrame, usable: pd.Index, note: str
) -> pd.DataFrame:
    """Return one row for each test lesion, model and seed where either the model or BI-RADS is right, and not both.

    Parameters
    ----------
    candidates
        The first one is BI-RADS; floors and ceilings have no row.
    lesions
        Labelled test lesions, indexed by lesion.
    usable
        Every usable lesion of the run, whose order numbers the cases.
    note
        What is true of the whole study and is in every row.
    """
    reader, numbers = candidates[0], case_numbers(usable)
    parts = []
    for candidate in candidates[1:]:
        if candidate.family in (READER, FLOOR, "ceiling") or is_undecided(candidate):
            continue
        both = lesions.loc[reader.scored(lesions.loc[candidate.scored(lesions)])]
        by_reader = reader.runs[0]["predicted"].reindex(both.index) == both["malignant"]
        for seed, run in candidate.runs.items():
            by_model = run["predicted"].reindex(both.index) == both["malignant"]
            rows = both[by_model != by_reader]
            said: dict[str, Any] = seen_columns(candidate.seen, rows["patient_id"], note, *candidate.marking_notes)
            parts.append(
                rows.assign(
                    model=candidate.model,
                    family=candidate.family,
                    seed=seed,
                    right=by_model[rows.index].map({True: MODEL, False: BIRADS}),
                    case=pd.Series(rows.index.astype(str), index=rows.index).map(numbers),
                    lesion_id=rows.index,
                    side=rows["laterality"],
                    type=rows["lesion_type"],
                    score=run["score"].reindex(rows.index),
                    threshold=run["threshold"].reindex(rows.index) if "threshold" in run else candidate.threshold,
                    **said,
                )
            )
    joined = pd.concat([part for part in parts if len(part)] or [pd.DataFrame(columns=COLUMNS)], ignore_index=True)
    return joined.reindex(columns=COLUMNS)
