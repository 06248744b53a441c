"""Classifiers that a finished run trained: their settings come from that run's records, and nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mammoflow.config.explanation import did_you_mean
from mammoflow.config.paths import user_path

RECORD = "training.json"
ELSEWHERE = "trained_elsewhere"
"""Key of the record of a classifier that was applied and not trained."""

Records = dict[str, dict[str, Any]]


def with_trained(values: Any, default: Sequence[str], validate: Callable[[object], object]) -> Any:
    """Return plain values of `classification` with the settings of the classifiers that `from_run` trained.

    Parameters
    ----------
    values
        Values of `ClassificationSettings`, not yet validated; returned as they are without `from_run`.
    default
        The list of the default configuration.
    validate
        Makes the settings of one classifier; settings that are made already are not laid over those of a default one.
    """
    folder = values.get("from_run") if isinstance(values, dict) else None
    asked = values.get("run", default) if folder else None
    if not isinstance(folder, str) or not isinstance(asked, list | tuple):
        return values
    trained = trained_settings(user_path(folder), asked, default)
    entries = {name: validate(entry) for name, entry in trained.items()}
    return {**values, "run": list(trained), "classifiers": {**(values.get("classifiers") or {}), **entries}}


def trained_settings(folder: str, asked: Sequence[str], default: Sequence[str]) -> Records:
    """Return the settings of the classifiers of a run that are asked for, by name, as plain values.

    Parameters
    ----------
    folder
        Folder of the finished run.
    asked
        `classification.run`. The list of the default configuration asks for all classifiers that can be applied.
    default
        The list of the default configuration.

    Raises
    ------
    ValueError
        If the folder has no trained classifier, or lacks one that is asked for, or one cannot be applied.
    """
    records = _records(Path(folder))
    reasons = {name: why_not(record) for name, record in records.items()}
    if list(asked) == list(default):
        names = [name for name, reason in reasons.items() if not reason]
        if not names:
            found = "; ".join(f"{name} {reason}" for name, reason in reasons.items())
            raise ValueError(f"from_run is {folder!r}, and no classifier of that run can be applied: {found}")
    else:
        names = list(asked)
    for name in names:
        if name not in records:
            raise ValueError(
                f"run names {name!r}, which the run {folder} did not train; expected some of {', '.join(records)}"
                f"{did_you_mean(name, records)}"
            )
        if reasons[name]:
            raise ValueError(f"run names {name!r}, which {reasons[name]}; leave it out of classification.run")
    # The device of the training says nothing about the machine that applies the classifier.
    return {name: {**records[name]["settings"], "device": "auto"} for name in names}


def why_not(record: Mapping[str, Any]) -> str:
    """Say why a classifier cannot be applied to another study, from the record of its training; else ""."""
    if ELSEWHERE in record:
        return f"was applied there and not trained; name the run that trained it, {record[ELSEWHERE].get('folder', '')}"
    if record["settings"].get("target") == "classes":
        return "tells classes of images apart, which is for the study that it was trained on"
    further = [*record["settings"].get("vectors", []), *record["settings"].get("covariates", [])]
    if further:
        return f"also takes {', '.join(map(str, further))}, which are standardised by its training lesions"
    return ""


def _records(folder: Path) -> Records:
    """Read the record of each classifier of a run."""
    files = sorted(folder.glob(f"classification/*/{RECORD}"))
    if not files:
        if any(folder.glob(f"fold-*/classification/*/{RECORD}")):
            raise ValueError(
                f"from_run is {str(folder)!r}, a run of all folds, which has a classifier for each fold and none for "
                f"new patients; expected a run with one training, such as one with cohort.split.method: random, or "
                f"the folder of one fold, such as {folder / 'fold-0'}"
            )
        raise ValueError(
            f"from_run is {str(folder)!r}, which has no trained classifier; expected the folder of a finished run, "
            f"such as results/phantom, with classification/NAME/{RECORD}"
        )
    found: Records = {}
    for file in files:
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"the record {file} cannot be read ({error}); expected that of a finished run") from error
        if not isinstance(record, dict) or not isinstance(record.get("settings"), dict) or not record.get("seeds"):
            raise ValueError(f"the record {file} has no settings and seeds; expected that of a finished training")
        found[file.parent.name] = record
    return found
