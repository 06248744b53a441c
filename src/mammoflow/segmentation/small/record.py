"""What the shipped weights were trained on, so that a test patient who was trained on can be told."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from mammoflow.cohort.words import safe_name

RECORD = Path(__file__).parent / "record.json"
"""Record of the shipped weights, as the target `small_model` wrote it."""


@cache
def trained_patients(path: Path = RECORD) -> frozenset[str]:
    """Return the ids of the real patients that the weights beside the record were trained on (`real_patients`)."""
    if not path.is_file():
        return frozenset()
    return real_patients(json.loads(path.read_text(encoding="utf-8"))["patients"])


def real_patients(entries: list[str]) -> frozenset[str]:
    """Return the ids of the real patients among the entries `source/patient` of a record.

    Only the id counts, not the data set's name, which every study chooses for itself: another study's patient of the
    same id is counted too rather than one missed. The name goes also where it precedes the id, as in a cohort of
    several studies with the same ids. Phantoms are left out: each seed draws others under the same ids.
    """
    found = set()
    for entry in entries:
        source, _, patient = entry.rpartition("/")
        prefix = f"{safe_name(source)}_"
        while patient.startswith(prefix):
            patient = patient.removeprefix(prefix)
        if not source.startswith("phantom"):
            found.add(patient)
    return frozenset(found)


def is_trained(patient_id: str, trained: frozenset[str]) -> bool:
    """Tell whether a patient was trained on; in a cohort of several studies a data set's name may precede the id."""
    parts = patient_id.split("_")
    return any("_".join(parts[start:]) in trained for start in range(len(parts)))
