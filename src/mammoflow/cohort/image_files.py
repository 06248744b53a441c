"""Which of several files of one image a reader takes: the one for presentation; and what becomes of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.presentation_intent import PREFERENCE, PROCESSING, presentation_intent
from mammoflow.formats.study_paths import safe_path
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.files import FileReason


def choose_file(study: Path, names: Sequence[str]) -> tuple[str, Mapping[str, ExcludedCase]]:
    """Choose between DICOM files of one image: for presentation before undeclared before for processing.

    Among equals the first is taken. Files that cannot be used are passed over.

    Parameters
    ----------
    study
        The study folder.
    names
        Paths relative to it, without repetition.

    Returns
    -------
    tuple
        The name of the file that is taken, and of each other one why it is not. A file for processing that stands alone
        is taken; the image stage flags it.

    Raises
    ------
    ExcludedCase
        Where no file can be used, that of the first; MISSING_FILE where there is none.
    """
    problems: dict[str, ExcludedCase] = {}
    intents: dict[str, str] = {}
    for name in names:
        try:
            intents[name] = presentation_intent(open_dicom(safe_path(study, name)))
        except ExcludedCase as problem:
            problems[name] = problem
    if not intents:
        raise next(iter(problems.values()), ExcludedCase(FileReason.MISSING_FILE, "no file, expected at least one"))
    chosen = min(intents, key=lambda name: PREFERENCE.index(intents[name]))
    for name, intent in intents.items():
        if name != chosen:
            raw = intent == PROCESSING and intents[chosen] != PROCESSING
            detail = f"{chosen} ({intents[chosen]}) was taken, this file is {intent}"
            problems[name] = ExcludedCase(FileReason.FOR_PROCESSING if raw else CohortReason.OTHER_FILE, detail)
    return chosen, {name: problems[name] for name in names if name in problems}
