"""What a search leaves behind: the table of its trials, an overlay with the best ones' settings, and its record."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from optuna.trial import FrozenTrial

from mammoflow.config.base import overlay
from mammoflow.config.search_space import SpaceSettings
from mammoflow.errors import StudyError
from mammoflow.storage.files import write_text
from mammoflow.training.record import installed_versions
from mammoflow.training.search.trials import (
    DEVIATION,
    FIGURES,
    REASON,
    SECONDS,
    STATES,
    Trials,
    best_trial,
    parameter_text,
)

TRIALS_FILE, BEST_FILE, RECORD_FILE = "trials.csv", "best.yaml", "search.json"
COMMENT_WIDTH = 110


@dataclass(frozen=True)
class Searched:
    """What was searched, as the results name it.

    Attributes
    ----------
    name
        Name of the search.
    search
        Its settings.
    kind, subject
        What it searches, such as `classifier` and the name of this classifier.
    figure
        What the value of a trial is, such as `mean AUC`.
    folds
        Inner folds that were held out, as words: `3 inner folds`.
    place
        Keys of the configuration above those of the space.
    record
        What the record says beside what every search records.
    patients
        The training patients that were used, as `source/patient`.
    phantom
        Whether any of them is a phantom.
    """

    name: str
    search: SpaceSettings
    kind: str
    subject: str
    figure: str
    folds: str
    place: tuple[str, ...]
    record: Mapping[str, Any]
    patients: Sequence[str]
    phantom: bool


def trial_table(trials: Trials, shown: list[FrozenTrial]) -> pd.DataFrame:
    """Return one row for each trial.

    Returns
    -------
    DataFrame
        `number`; `state`, complete, pruned or failed; `value`, the mean figure over the inner folds, of a pruned trial
        over those that were done, NaN of a failed one; `standard_deviation` over the inner folds; `folds`, how many
        were done; `seconds` of the trainings; `reason` of a failure; and the value of each key that is searched.
    """
    rows: list[dict[str, Any]] = [
        {
            "number": trial.number,
            "state": STATES[trial.state],
            "value": trial.value,
            "standard_deviation": trial.user_attrs[DEVIATION],
            "folds": len(trial.user_attrs[FIGURES]),
            "seconds": trial.user_attrs[SECONDS],
            "reason": trial.user_attrs[REASON],
            **{key: parameter_text(value) for key, value in trials.values(trial).items()},
        }
        for trial in shown
    ]
    return pd.DataFrame(rows)


def write_search(output: Path, searched: Searched, trials: Trials, shown: list[FrozenTrial], before: int) -> None:
    """Write trials.csv, best.yaml and search.json, each in one step.

    Parameters
    ----------
    output
        Folder of the search.
    searched
        What was searched.
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
            f"search {searched.name}: none of {len(shown)} trials is complete, the first one because "
            f"{shown[0].user_attrs[REASON]}; expected one that is. Change the space; the trials are in "
            f"{output / TRIALS_FILE}"
        )
    values = trials.values(best)
    write_text(output / BEST_FILE, _overlay_text(searched, best, values, len(shown)))
    record = {
        "search": searched.name,
        "subject": searched.subject,
        "figure": searched.figure,
        "objective": f"{searched.figure} over inner folds of the training patients",
        **searched.search.model_dump(mode="json"),
        **searched.record,
        "states": dict(Counter(STATES[trial.state] for trial in shown)),
        "trials_before": before,
        "best": {
            "number": best.number,
            "value": best.value,
            "standard_deviation": best.user_attrs[DEVIATION],
            "values_of_folds": best.user_attrs[FIGURES],
            "parameters": values,
        },
        "values_of_folds": {str(trial.number): trial.user_attrs[FIGURES] for trial in shown},
        "patients": sorted(set(searched.patients)),
        "phantom": searched.phantom,
        "versions": installed_versions("optuna"),
    }
    write_text(output / RECORD_FILE, json.dumps(record, indent=2, sort_keys=True) + "\n")


def _overlay_text(searched: Searched, best: FrozenTrial, values: dict[str, Any], count: int) -> str:
    """Return the overlay of the best trial, with a comment that says how it was chosen."""
    search, spread = searched.search, best.user_attrs[DEVIATION]
    trained = f" Trials were trained for {search.epochs} epochs." if search.epochs is not None else ""
    deviation = f", standard deviation {spread:.4f}" if spread is not None else ""
    sentences = (
        f"Settings of the {searched.kind} {searched.subject} that the search {searched.name} chose: trial "
        f"{best.number} of {count} (numbers from 0, sampler {search.sampler}). Its {searched.figure} over "
        f"{searched.folds} of the {len(set(searched.patients))} training patients is the highest: {best.value:.4f}"
        f"{deviation}.{trained} No validation or test patient was looked at. The highest of many values is too high as "
        "an estimate; the comparison on test patients gives the honest figure. It is honest only in a run, or in a "
        "fold, whose test patients are none of these training patients."
    )
    nested: dict[str, object] = {}
    for key, value in values.items():
        part: Any = value
        for word in reversed([*searched.place, *key.split(".")]):
            part = {word: part}
        nested = overlay(nested, part)
    comment = textwrap.wrap(sentences, COMMENT_WIDTH, initial_indent="# ", subsequent_indent="# ")
    return "\n".join(comment) + "\n" + yaml.safe_dump(nested, sort_keys=False, allow_unicode=True)
