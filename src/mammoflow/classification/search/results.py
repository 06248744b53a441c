"""What a search leaves behind: the table of its trials, an overlay with the best ones' settings, and its record."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from optuna.trial import FrozenTrial

from mammoflow.classification.search.inner_folds import InnerFolds
from mammoflow.classification.search.trials import (
    AUCS,
    DEVIATION,
    REASON,
    SECONDS,
    STATES,
    Trials,
    best_trial,
    parameter_text,
)
from mammoflow.config.base import overlay
from mammoflow.config.search_job import SearchJob
from mammoflow.errors import StudyError
from mammoflow.storage.files import write_text
from mammoflow.tables.cohort import made_of_phantoms
from mammoflow.training.record import installed_versions

TRIALS_FILE, BEST_FILE, RECORD_FILE = "trials.csv", "best.yaml", "search.json"
COMMENT_WIDTH = 110


def trial_table(trials: Trials, shown: list[FrozenTrial]) -> pd.DataFrame:
    """Return one row for each trial.

    Returns
    -------
    DataFrame
        `number`; `state`, complete, pruned or failed; `value`, the mean AUC over the inner folds, of a pruned trial
        over those that were done, NaN of a failed one; `standard_deviation` over the inner folds; `folds`, how many
        were done; `seconds` of the trainings; `reason` of a failure; and the value of each key that is searched.
    """
    rows: list[dict[str, Any]] = [
        {
            "number": trial.number,
            "state": STATES[trial.state],
            "value": trial.value,
            "standard_deviation": trial.user_attrs[DEVIATION],
            "folds": len(trial.user_attrs[AUCS]),
            "seconds": trial.user_attrs[SECONDS],
            "reason": trial.user_attrs[REASON],
            **{key: parameter_text(value) for key, value in trials.values(trial).items()},
        }
        for trial in shown
    ]
    return pd.DataFrame(rows)


def write_search(
    output: Path,
    name: str,
    job: SearchJob,
    folds: InnerFolds,
    trials: Trials,
    shown: list[FrozenTrial],
    before: int,
) -> None:
    """Write trials.csv, best.yaml and search.json, each in one step.

    Parameters
    ----------
    output
        Folder of the search.
    name
        Its name.
    job
        The search, and the classifier's settings.
    folds
        The inner folds.
    trials
        The trials.
    shown
        Those of them that the results are about.
    before
        How many had ended before this process began.

    Raises
    ------
    StudyError
        If every trial failed; trials.csv is written and says why.
    """
    write_text(output / TRIALS_FILE, trial_table(trials, shown).to_csv(index=False))
    best = best_trial(shown)
    if best is None:
        raise StudyError(
            f"search {name}: none of {len(shown)} trials is complete, the first one because "
            f"{shown[0].user_attrs[REASON]}; expected one that is. Change the space; the trials are in "
            f"{output / TRIALS_FILE}"
        )
    values = trials.values(best)
    write_text(output / BEST_FILE, _overlay_text(name, job, folds, best, values, len(shown)))
    lesions = folds.cases.lesions
    record = {
        "search": name,
        "objective": "mean AUC over inner folds of the training patients",
        **job.search.model_dump(mode="json"),
        "classifier_settings": job.classifier.model_dump(mode="json"),
        "states": dict(Counter(STATES[trial.state] for trial in shown)),
        "trials_before": before,
        "best": {
            "number": best.number,
            "value": best.value,
            "standard_deviation": best.user_attrs[DEVIATION],
            "values_of_folds": best.user_attrs[AUCS],
            "parameters": values,
        },
        "values_of_folds": {str(trial.number): trial.user_attrs[AUCS] for trial in shown},
        "folds": folds.counts(),
        "patients": sorted(set(lesions["source"] + "/" + lesions["patient_id"])),
        "phantom": made_of_phantoms(lesions),
        "versions": installed_versions("optuna"),
    }
    write_text(output / RECORD_FILE, json.dumps(record, indent=2, sort_keys=True) + "\n")


def _overlay_text(
    name: str, job: SearchJob, folds: InnerFolds, best: FrozenTrial, values: dict[str, Any], count: int
) -> str:
    """Return the overlay of the best trial, with a comment that says how it was chosen."""
    search, patients = job.search, folds.cases.lesions["patient_id"].nunique()
    trained = f" Trials were trained for {search.epochs} epochs." if search.epochs is not None else ""
    sentences = (
        f"Settings of the classifier {search.classifier} that the search {name} chose: trial {best.number} of {count} "
        f"(numbers from 0, sampler {search.sampler}). Its mean AUC over {search.inner_folds} inner folds of the "
        f"{patients} training patients is the highest: {best.value:.4f}, standard deviation "
        f"{best.user_attrs[DEVIATION]:.4f}.{trained} No validation or test patient was looked at. The highest of many "
        "values is too high as an estimate; the comparison on test patients gives the honest figure. It is honest only "
        "in a run, or in a fold, whose test patients are none of these training patients."
    )
    nested: dict[str, object] = {}
    for key, value in values.items():
        part: Any = value
        for word in reversed(key.split(".")):
            part = {word: part}
        nested = overlay(nested, part)
    comment = textwrap.wrap(sentences, COMMENT_WIDTH, initial_indent="# ", subsequent_indent="# ")
    content = {"classification": {"classifiers": {search.classifier: nested}}}
    return "\n".join(comment) + "\n" + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
