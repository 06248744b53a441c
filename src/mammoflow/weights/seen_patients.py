"""The record beside weights: whether it is theirs, and which patients they have seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mammoflow.errors import WeightsError
from mammoflow.storage.files import file_digest, read_json
from mammoflow.storage.names import safe_name

RECORD_FILE = "record.json"
"""Name of the record of a training, in the folder of the weights."""

PHANTOM_SOURCES = ("phantom", "phantom (training)")
"""Data sets of a record that are the embedded study: that of a run, and the one of the weights in the package."""


def seen_patients(weights: Path) -> frozenset[str]:
    """Return the ids of the real patients that weights were trained or chosen on, as far as a record says.

    Parameters
    ----------
    weights
        The weights file. A `record.json` beside it counts where it names the digest of this file.

    Raises
    ------
    WeightsError
        If the record is not JSON.
    """
    content = read_record(weights)
    return real_patients([*content.get("patients", []), *content.get("validation_patients", [])])


def read_record(weights: Path) -> dict[str, Any]:
    """Return the record of the training that made weights; empty where none is beside them that names their digest.

    Raises
    ------
    WeightsError
        If the record is not JSON.
    """
    record = weights.parent / RECORD_FILE
    if not record.is_file() or not weights.is_file():
        return {}
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{record} is not JSON: {error}; remove it, or make the weights again") from error
    if not isinstance(content, dict) or content.get("weights_sha256") != file_digest(weights):
        return {}
    return content


def recorded_digest(weights: Path) -> str:
    """Return the digest of weights, which must be the one that the record beside them names.

    Raises
    ------
    StudyError
        If the record is missing or damaged.
    WeightsError
        If the weights are missing, or the record is that of others.
    """
    if not weights.is_file():
        raise WeightsError(f"weights {weights} do not exist; expected those of a finished training; copy the run whole")
    digest = file_digest(weights)
    recorded = read_json(weights.with_name(RECORD_FILE)).get("weights_sha256")
    if recorded != digest:
        raise WeightsError(
            f"weights {weights} have the digest {digest[:12]}, and their record names {str(recorded)[:12]}; expected "
            "the weights that the training wrote; copy the run again, or train the classifier again"
        )
    return digest


def real_patients(entries: list[str]) -> frozenset[str]:
    """Return the ids of the real patients among the entries `source/patient` of a record.

    Only the id counts, not the data set's name, which every study chooses for itself: another study's patient with the
    same id is counted too, rather than one missed. A name and an id may both contain "/", so what follows each "/" of
    an entry counts as an id. The name is removed where it precedes the id, as in a cohort of several studies with the
    same ids. Phantoms (`PHANTOM_SOURCES`) are left out, because each seed draws others under the same ids.
    """
    patients = set()
    for entry in entries:
        if entry.rpartition("/")[0] in PHANTOM_SOURCES:
            continue
        parts = entry.split("/")
        for start in range(1, len(parts)) or [0]:  # without a "/", all is the id
            prefix, patient = f"{safe_name('/'.join(parts[:start]))}_", "/".join(parts[start:])
            while patient.startswith(prefix):
                patient = patient.removeprefix(prefix)
            patients.add(patient)
    return frozenset(patients)


def is_seen(patient_id: str, seen: frozenset[str]) -> bool:
    """Tell whether a patient was seen; in a cohort of several studies a data set's name may precede the id."""
    words = patient_id.split("_")
    return any("_".join(words[start:]) in seen for start in range(len(words)))


def recorded_patients(model: str, weights: Path | None) -> list[str]:
    """Return the patients that a model has seen in the form `source/patient`, for the record of a further training.

    Parameters
    ----------
    model
        Name of the model.
    weights
        Its weights file; None for a model that starts from random weights.
    """
    # The model's name may be "phantom", whose ids a record leaves out; the patients that it has seen are real.
    seen = seen_patients(weights) if weights else frozenset()
    return sorted(f"seen by {model}/{patient}" for patient in seen)
