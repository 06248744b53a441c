"""Which of several files of one image a reader takes: the one for presentation; and what becomes of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mammoflow.dicomfile import open_dicom, safe_path
from mammoflow.errors import ExcludedCase, Reason
from mammoflow.presentation import PROCESSING, prefer_presentation, presentation_intent


def choose_file(study: Path, names: Sequence[str]) -> tuple[str, Mapping[str, ExcludedCase]]:
    """Choose between DICOM files of one image by `mammoflow.presentation.prefer_presentation`.

    Parameters
    ----------
    study
        The study folder.
    names
        Paths relative to it, without repetition; at least one.

    Returns
    -------
    tuple
        The name of the file that is taken, and of each other one why it is not. A file for processing that stands alone
        is taken; the image stage flags it.

    Raises
    ------
    ExcludedCase
        Where no file can be used, that of the first.
    """
    problems: dict[str, ExcludedCase] = {}
    intents: dict[str, str] = {}
    for name in names:
        try:
            intents[name] = presentation_intent(open_dicom(safe_path(study, name)))
        except ExcludedCase as problem:
            problems[name] = problem
    if not intents:
        raise problems[names[0]]
    paths = {study / name: name for name in intents}
    taken = prefer_presentation(list(paths)) if len(paths) > 1 else next(iter(paths))
    chosen = paths[taken]
    for name, intent in intents.items():
        if name != chosen:
            raw = intent == PROCESSING and intents[chosen] != PROCESSING
            detail = f"{chosen} ({intents[chosen]}) was taken, this file is {intent}"
            problems[name] = ExcludedCase(Reason.FOR_PROCESSING if raw else Reason.OTHER_FILE, detail)
    return chosen, {name: problems[name] for name in names if name in problems}
