"""One table of all predictions that the comparison used, for R, Stata and other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from mammoflow.evaluation.calibration import WITH_PROBABILITIES
from mammoflow.evaluation.candidates import Candidate, display_name
from mammoflow.evaluation.foreign import has_probabilities, is_foreign, is_undecided
from mammoflow.evaluation.inputs import Run, plain_columns

COLUMNS = [
    "patient_id", "breast_id", "image_id", "finding_id", "lesion_id", "source", "side", "view", "type", "split", "fold",
    "malignant", "birads", "birads_category", "age", "density", "model", "title", "family", "seed", "score",
    "probability", "threshold", "predicted", "phantom", "leaking", "oracle", "foreign", "seen_patient",
]  # fmt: skip


def predictions_table(candidates: Sequence[Candidate], run: Run, titles: Mapping[str, str]) -> pd.DataFrame:
    """Return one row for each lesion, model and seed that has a score, with the keys of every level.

    Parameters
    ----------
    candidates
        Everything that the comparison compares.
    run
        Tables of the run; in a run that makes every fold, each lesion has the scores of the fold that held it out.
    titles
        Titles of classifiers by name.
    """
    described = _described(run)
    parts = [_rows(one, described, titles) for one in candidates]
    joined = pd.concat([part for part in parts if len(part)] or [described.iloc[:0]], ignore_index=True)
    return joined.assign(phantom=int(run.phantom), leaking=int(run.leaking)).reindex(columns=COLUMNS)


def _described(run: Run) -> pd.DataFrame:
    """Return what is known of each usable lesion, indexed by lesion."""
    lesions = run.lesions.sort_values("lesion_id").set_index("lesion_id", drop=False)  # the same for any shards
    side = lesions["laterality"].fillna("")
    folds = run.cohort_images.get("fold")
    by_patient = {} if folds is None else dict(zip(run.cohort_images["patient_id"], folds, strict=True))
    described = lesions.assign(
        side=side,
        type=lesions["lesion_type"],
        breast_id=(lesions["patient_id"] + "_" + side).where(side != "", ""),
        fold=lesions["patient_id"].map(by_patient),
    )
    return plain_columns(described, COLUMNS)


def _rows(candidate: Candidate, described: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows of one model."""
    parts = []
    scored = candidate.scored(described)
    for seed, table in candidate.runs.items():
        rows = described.loc[scored]
        score = table["score"].reindex(scored).astype("float64")
        called = table["predicted"].reindex(scored).astype("Int64")
        is_probability = candidate.family in WITH_PROBABILITIES and has_probabilities(candidate)
        parts.append(
            rows.assign(
                seed=seed,
                score=score,
                probability=score if is_probability else float("nan"),
                predicted=called.mask(called.notna()) if is_undecided(candidate) else called,
                threshold=_thresholds(candidate, table, scored),
            )
        )
    joined = pd.concat(parts)
    return joined.assign(
        model=candidate.model,
        title=display_name(candidate.model, titles),
        family=candidate.family,
        oracle=int(any("oracle" in note for note in candidate.notes)),
        foreign=int(is_foreign(candidate)),
        seen_patient=_seen(candidate, joined["patient_id"]),
    )


def _seen(candidate: Candidate, patients: pd.Series) -> pd.Series:
    """Return 1 for each patient that the model behind a row was trained on; null where it rests on none."""
    if candidate.seen is None:
        return pd.Series(pd.NA, index=patients.index, dtype="Int64")
    return patients.isin(candidate.seen.patients).astype("Int64")


def _thresholds(candidate: Candidate, table: pd.DataFrame, lesions: pd.Index) -> pd.Series | float:
    """Return the threshold of each row: that of its own seed or fold where the run's table has one."""
    return table["threshold"].reindex(lesions) if "threshold" in table.columns else candidate.threshold
