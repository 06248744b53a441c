"""Whether the patient of a film is among the patients of a training; the id itself is in no answer."""

from __future__ import annotations

import re
from pathlib import Path

from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.dicom_header import header_value
from mammoflow.imaging.pictures import is_picture


def patient_in(film: Path, seen: frozenset[str]) -> bool | None:
    """Tell whether the patient of a film is among some patients.

    Parameters
    ----------
    film
        The file.
    seen
        Ids of real patients, as `mammoflow.weights.seen_patients` returns them.

    Returns
    -------
    bool or None
        None where that is not known: the film is a picture, its header names no patient, or no patients are known.
    """
    if not seen or is_picture(film):
        return None
    patient = str(header_value(open_dicom(film), "PatientID") or "").strip()
    if not patient:
        return None
    # CBIS-DDSM writes the patient between other words: Mass-Test_P_00820_LEFT_CC.
    words = re.split(r"[_\s]", patient)
    parts = {"_".join(words[first:last]) for first in range(len(words)) for last in range(first + 1, len(words) + 1)}
    return bool(parts & seen)
