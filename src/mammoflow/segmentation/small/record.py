"""What the shipped weights were trained on, so that a test patient who was trained on can be told."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

RECORD = Path(__file__).parent / "record.json"
"""Record of the shipped weights, as the target `small_model` wrote it."""


@cache
def trained_patients(path: Path = RECORD) -> frozenset[str]:
    """Return the ids of the real patients that the weights beside the record were trained on.

    Only the id counts, not the data set's name, which every study chooses for itself: another study's patient of the
    same id is counted too rather than one missed. Phantoms are left out: each seed draws others under the same ids.
    """
    if not path.is_file():
        return frozenset()
    entries = [entry.rsplit("/", 1) for entry in json.loads(path.read_text(encoding="utf-8"))["patients"]]
    return frozenset(patient for source, patient in entries if not source.startswith("phantom"))


def is_trained(patient_id: str, trained: frozenset[str]) -> bool:
    """Tell whether a patient was trained on; in a cohort of several studies a data set's name may precede the id."""
    parts = patient_id.split("_")
    return any("_".join(parts[start:]) in trained for start in range(len(parts)))
