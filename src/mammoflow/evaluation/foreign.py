"""Scores of other tools as rows of the comparison, with the marks that a reader needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from mammoflow.config.foreign import CHOSEN_THRESHOLD, FOREIGN, NO_THRESHOLD, ForeignPredictions
from mammoflow.errors import ConfigError
from mammoflow.evaluation.candidates import CLASSIFIER, Candidate
from mammoflow.evaluation.floors import with_threshold
from mammoflow.evaluation.foreign_tables import EXAMPLES, LISTED, Matched, match_scores
from mammoflow.evaluation.inputs import Run
from mammoflow.evaluation.metrics import auc
from mammoflow.storage.files import file_digest

REVERSED = "benign training and validation lesions have the higher scores, higher should be more suspicious"
SURELY_REVERSED = 0.1
"""How far the AUC outside the test split is below 0.5 before a row says so."""

NO_PROBABILITY = "scores are no probabilities, so calibration is not defined"

DECISIONS = ("threshold", "accuracy", "precision", "recall", "specificity", "npv", "f1")
"""Starts of the columns that rest on calls."""


def matched_predictions(predictions: Sequence[ForeignPredictions], run: Run) -> dict[str, Matched]:
    """Read each tool's table and match it to the usable lesions of a run.

    Raises
    ------
    StudyError
        If a table cannot be read or matches no lesion.
    """
    paths = run.images.drop_duplicates("image_id").set_index("image_id")["image_path"]
    lesions = run.lesions.set_index("lesion_id")
    lesions = lesions.assign(image_path=lesions["image_id"].map(paths))
    return {one.name: match_scores(one, lesions) for one in predictions}


def foreign_candidates(predictions: Sequence[ForeignPredictions], run: Run, lesions: pd.DataFrame) -> list[Candidate]:
    """Return one candidate for each tool.

    The threshold is the given one, or chosen on validation, as those of all models are. Where neither is possible the
    candidate has the note `NO_THRESHOLD`; its calls are then 0 and `without_decisions` removes what rests on them.

    Parameters
    ----------
    predictions
        Settings of each table.
    run
        Tables of the run.
    lesions
        Its usable lesions with a label, indexed by lesion.
    """
    matched = matched_predictions(predictions, run)
    return [_candidate(one, matched[one.name], lesions) for one in predictions]


def _candidate(asked: ForeignPredictions, matched: Matched, lesions: pd.DataFrame) -> Candidate:
    score = matched.scores
    notes = [FOREIGN, *matched.notes]
    if not score.dropna().between(0, 1).all():
        notes.append(NO_PROBABILITY)
    if score.dropna().nunique() < 2:
        notes.append("all its scores are the same")
    if _is_reversed(score, lesions):
        notes.append(REVERSED)
    validation = (lesions["split"] == "validation") & score.reindex(lesions.index).notna()
    threshold = asked.threshold
    if threshold is None and lesions.loc[validation, "malignant"].nunique() > 1:
        chosen = with_threshold(asked.name, CLASSIFIER, score.reindex(lesions.index), lesions, ()).threshold
        threshold, notes = chosen, [*notes, CHOSEN_THRESHOLD]
    elif threshold is not None:
        notes.append(f"threshold {threshold:g} as given")
    else:
        notes.append(NO_THRESHOLD)
    called = (score >= (np.inf if threshold is None else threshold)).astype("float64").where(score.notna())
    used = float("nan") if threshold is None else float(threshold)
    table = pd.DataFrame({"score": score, "predicted": called, "threshold": used})
    return Candidate(asked.name, CLASSIFIER, {0: table}, tuple(notes), threshold=used)


def _is_reversed(score: pd.Series, lesions: pd.DataFrame) -> bool:
    """Tell whether benign lesions outside the test split have the higher scores, which may be a scale turned round."""
    known = lesions[(lesions["split"] != "test") & score.reindex(lesions.index).notna()]
    label = known["malignant"].to_numpy(dtype=np.float64)
    area = auc(label, score.reindex(known.index).to_numpy(dtype=np.float64), np.ones((1, len(known))))
    return bool(area[0] < 0.5 - SURELY_REVERSED)


def is_foreign(candidate: Candidate) -> bool:
    """Tell whether another tool's scores are behind a candidate, alone or in a fusion."""
    return _says(candidate, FOREIGN)


def is_undecided(candidate: Candidate) -> bool:
    """Tell whether a tool's scores have no threshold, so that nothing that rests on calls is defined."""
    return candidate.family == CLASSIFIER and _says(candidate, NO_THRESHOLD)


def has_probabilities(candidate: Candidate) -> bool:
    """Tell whether the scores of a classifier are probabilities; those of other tools need not be."""
    return candidate.family != CLASSIFIER or not _says(candidate, NO_PROBABILITY)


def for_fusion(candidate: Candidate) -> Candidate:
    """Return a candidate whose logit is linear in its score, for models that take probabilities.

    A score beyond 0 and 1 is standardised, without labels, and taken for the logit; the order stays. Notes on the
    tool's own threshold and calibration do not hold for a fusion and are left out.
    """
    notes = tuple(note for note in candidate.notes if "threshold" not in note and note != NO_PROBABILITY)
    if has_probabilities(candidate):
        return replace(candidate, notes=notes)
    runs = {}
    for seed, run in candidate.runs.items():
        spread = float(run["score"].std(ddof=0)) or 1.0
        runs[seed] = run.assign(score=expit((run["score"] - run["score"].mean()) / spread))
    return replace(candidate, runs=runs, notes=notes)


def check_names(candidates: Sequence[Candidate]) -> None:
    """Stop where two rows have one name.

    Raises
    ------
    ConfigError
        Naming the rows.
    """
    for model, times in Counter(one.model for one in candidates).items():
        if times > 1:
            raise ConfigError(
                f"comparison: {times} rows have the name {model!r}; expected a name of its own for each; choose "
                "another name for the entry of predictions, ensembles or feature_models, or for the classifier"
            )


def without_decisions(tables: Mapping[str, pd.DataFrame], candidates: Sequence[Candidate]) -> dict[str, pd.DataFrame]:
    """Remove what rests on the calls of tools without a threshold, and the calibration of scores that are none.

    Parameters
    ----------
    tables
        Tables of candidates, by name.
    candidates
        What they compare.
    """
    undecided = {one.model for one in candidates if is_undecided(one)}
    no_probability = {one.model for one in candidates if not has_probabilities(one)}
    return {name: _cleaned(name, table, undecided, no_probability) for name, table in tables.items()}


def _cleaned(name: str, table: pd.DataFrame, undecided: set[str], no_probability: set[str]) -> pd.DataFrame:
    if name in ("confusion", "decision_tests", "reclassification"):
        columns = [column for column in ("model", "model_a", "model_b") if column in table.columns]
        return table[~table[columns].isin(undecided).any(axis=1)]
    if name in ("calibration", "thresholds"):
        return table[~table["model"].isin(no_probability)]
    if (name.startswith("comparison") and name != "comparison_by_level") or name == "subgroups":
        blank = [column for column in table.columns if column.startswith(DECISIONS)]
        rows = table["model"].isin(undecided)
        return table.assign(**{column: table[column].where(~rows) for column in blank}) if rows.any() else table
    return table


def _says(candidate: Candidate, note: str) -> bool:
    return any(note in said for said in candidate.notes)


def unmatched_table(predictions: Sequence[ForeignPredictions], run: Run) -> pd.DataFrame:
    """Return the rows of the tools' tables that no lesion takes, and the lesions without a score."""
    parts = [one.problems for one in matched_predictions(predictions, run).values()]
    return pd.concat([part for part in parts if len(part)] or [pd.DataFrame(columns=LISTED)], ignore_index=True)


def unmatched_lines(unmatched: pd.DataFrame) -> list[str]:
    """Return what the console says of `unmatched_table`: one line for each tool and side, with the first cases."""
    what = {
        "table": "rows of its table are not used",
        "run": "lesions have no score",
        "masks": "lesions have no mask that can be used",
        "files": "files of its folder are not used",
    }
    lines = []
    for (model, side), rows in unmatched.groupby(["model", "side"], sort=False):
        cases = [f"{row.value} ({row.problem})" for row in rows.head(EXAMPLES).itertuples()]
        lines.append(f"{model}: {len(rows)} {what[str(side)]}, for instance {', '.join(cases)}")
    return lines


def tables_record(predictions: Sequence[ForeignPredictions]) -> dict[str, Any]:
    """Return name and digest of each tool's table."""
    return {
        one.name: {"file": Path(one.table).name, "sha256": file_digest(Path(one.table)), "key": one.key_parts()}
        for one in predictions
    }
