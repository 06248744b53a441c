"""What the headers of DICOM files say about the patient, against what the table calls the patient."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

import pydicom

from mammoflow.cohort.numbers import quoted
from mammoflow.formats.dicom_header import header_value

CONSTANT = {"PatientBirthDate": "dates of birth", "PatientSex": "sexes"}
"""Elements that all files of one patient share, and what notes call them."""
SHOWN = 3


class PatientFacts:
    """Collects the facts of each patient from the headers of its files; a doubt of them is a note, no exclusion.

    Headers that were made anonymous may be blank, or hold one id for all patients: neither is a doubt.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._facts: dict[str, dict[str, set[str]]] = {name: {} for name in CONSTANT}
        self._ids: dict[str, set[str]] = {}

    def add(self, patient: str, dataset: pydicom.Dataset) -> None:
        """Record what one header says; several threads may call this."""
        found = {name: str(header_value(dataset, name) or "").strip() for name in (*CONSTANT, "PatientID")}
        with self._lock:
            for name in CONSTANT:
                if found[name]:
                    self._facts[name].setdefault(patient, set()).add(found[name])
            if found["PatientID"]:
                self._ids.setdefault(found["PatientID"], set()).add(patient)

    def notes(self) -> list[str]:
        """Return one line for each kind of doubt."""
        notes = []
        for name, called in CONSTANT.items():
            torn = {patient: values for patient, values in self._facts[name].items() if len(values) > 1}
            if torn:
                notes.append(
                    f"{_patients(torn)} two {called} in the headers of their files ({name}): {_listed(torn)}; the "
                    "table may call two people by one id"
                )
        shared = {name: patients for name, patients in self._ids.items() if len(patients) > 1}
        if shared and len(self._ids) > 1:
            notes.append(
                f"{len(shared)} PatientID of headers belong to several patients of the table: {_listed(shared)}; "
                "one patient may be on both sides of the split: check the column of the patients"
            )
        return notes


def _patients(torn: Mapping[str, set[str]]) -> str:
    return "1 patient has" if len(torn) == 1 else f"{len(torn)} patients have"


def _listed(groups: Mapping[str, set[str]]) -> str:
    shown = [f"{quoted(name)} ({', '.join(sorted(groups[name])[:SHOWN])})" for name in sorted(groups)[:SHOWN]]
    return ", ".join(shown) + (", ..." if len(groups) > SHOWN else "")
