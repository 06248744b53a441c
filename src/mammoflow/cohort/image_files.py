"""Which of several files of one image a reader takes: the one for presentation; and what becomes of the others.

A folder may hold a whole exam. Then side and view of the headers tell which file a row means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mammoflow.cohort.reader import Row
from mammoflow.cohort.stored_copies import compare_copies
from mammoflow.cohort.words import IDENTICAL
from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.dicom_header import header_value
from mammoflow.formats.presentation_intent import PREFERENCE, PROCESSING, presentation_intent
from mammoflow.formats.side_header import header_side, views_differ
from mammoflow.formats.study_paths import safe_path
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.files import FileReason

MOST_NAMED = 6
ADVICE = "name the file of each row in the image column"


@dataclass(frozen=True)
class _Header:
    """What the header of one file says; "" for what it does not say."""

    intent: str
    side: str
    view: str
    instance: str

    @property
    def words(self) -> str:
        return " ".join(word for word in (self.side, self.view, self.intent) if word and word != "unknown") or "unknown"


def choose_file(study: Path, names: Sequence[str], rows: Sequence[Row] = ()) -> tuple[str, Mapping[str, ExcludedCase]]:
    """Choose between DICOM files of one image: for presentation before undeclared before for processing.

    Where the headers show different sides or views, only the files of the rows' side and view count. Files that cannot
    be used are passed over.

    Parameters
    ----------
    study
        The study folder.
    names
        Paths relative to it, without repetition.
    rows
        Rows of the image, with `laterality` and `view`.

    Returns
    -------
    tuple
        The name of the file that is taken, and of each other file of the same film why it is not. A file for processing
        without an alternative is taken; the image stage flags it.

    Raises
    ------
    ExcludedCase
        Where no file can be used, that of the first; MISSING_FILE where there is none; SEVERAL_FILMS where the rows
        disagree in side or view, or where side, view and intent do not leave one film.
    """
    problems: dict[str, ExcludedCase] = {}
    headers: dict[str, _Header] = {}
    for name in names:
        try:
            headers[name] = _read_header(safe_path(study, name))
        except ExcludedCase as problem:
            problems[name] = problem
    if not headers:
        raise next(iter(problems.values()), ExcludedCase(FileReason.MISSING_FILE, "no file, expected at least one"))
    candidates = _of_the_rows(headers, rows)
    best = min(PREFERENCE.index(headers[name].intent) for name in candidates)
    equals = [name for name in candidates if PREFERENCE.index(headers[name].intent) == best]
    chosen = equals[0]
    if any(not _same_film(study, headers, chosen, other) for other in equals[1:]):
        raise _several(headers, "the files show several exposures")
    for name in candidates:  # files of another side or view are other films, and nothing is lost with them
        if name != chosen:
            raw = headers[name].intent == PROCESSING and headers[chosen].intent != PROCESSING
            detail = f"{chosen} ({headers[chosen].words}) was taken, this file is {headers[name].words}"
            problems[name] = ExcludedCase(FileReason.FOR_PROCESSING if raw else CohortReason.OTHER_FILE, detail)
    return chosen, {name: problems[name] for name in names if name in problems}


def _read_header(path: Path) -> _Header:
    dataset = open_dicom(path)
    side = header_side(dataset)
    instance = str(header_value(dataset, "SOPInstanceUID") or "")
    return _Header(presentation_intent(dataset), "" if side.contradicts else side.laterality, side.view, instance)


def _of_the_rows(headers: Mapping[str, _Header], rows: Sequence[Row]) -> list[str]:
    """Return the files that may show the side and view of the rows; all where the headers show one film only."""
    headers = _without_relatives(headers, {str(row["view"]) for row in rows if row["view"]})
    if not _differ([(header.side, header.view) for header in headers.values()]):
        return list(headers)
    stated = list(dict.fromkeys((str(row["laterality"] or ""), str(row["view"] or "")) for row in rows))
    if _differ(stated):
        found = ", ".join(" ".join(words) for words in stated[:MOST_NAMED])
        raise _several(headers, f"the rows of the image are of {found}")
    side = next((side for side, _ in stated if side), "")
    view = next((view for _, view in stated if view), "")
    fitting = [name for name, header in headers.items() if not _differ([(side, view), (header.side, header.view)])]
    # A file whose header says less than the row may show anything; one that says as much is preferred.
    full = [name for name in fitting if headers[name].side and headers[name].view]
    candidates = full or fitting
    if not candidates:
        raise _several(headers, f"none shows the row's side and view ({side} {view})")
    if _differ([(headers[name].side, headers[name].view) for name in candidates]):
        raise _several(headers, f"side {side or 'blank'} and view {view or 'blank'} of the row fit more than one")
    if not full and len(fitting) > 1:
        raise _several(headers, "their headers do not tell which one the row means")
    return candidates


def _without_relatives(headers: Mapping[str, _Header], views: set[str]) -> Mapping[str, _Header]:
    """Leave out files of a related view (XCCL for CC) where there is one of exactly the rows' view."""
    if not any(header.view in views for header in headers.values()):
        return headers
    related = {
        name
        for name, header in headers.items()
        if header.view and header.view not in views and not any(views_differ(view, header.view) for view in views)
    }
    return {name: header for name, header in headers.items() if name not in related}


def _differ(films: Sequence[tuple[str, str]]) -> bool:
    """Tell whether (side, view) pairs contradict each other; what is blank contradicts nothing."""
    sides = {side for side, _ in films if side}
    views = [view for _, view in films if view]
    return len(sides) > 1 or any(views_differ(view, views[0]) for view in views)


def _same_film(study: Path, headers: Mapping[str, _Header], first: str, second: str) -> bool:
    """Tell whether two files are one instance or hold the same pixels."""
    instance = headers[first].instance
    if instance and instance == headers[second].instance:
        return True
    return compare_copies(safe_path(study, first), safe_path(study, second)) == IDENTICAL


def _several(headers: Mapping[str, _Header], found: str) -> ExcludedCase:
    shown = [f"{PurePosixPath(name).name} ({header.words})" for name, header in headers.items()]
    more = f" and {len(shown) - MOST_NAMED} more" if len(shown) > MOST_NAMED else ""
    return ExcludedCase(
        CohortReason.SEVERAL_FILMS, f"{', '.join(shown[:MOST_NAMED])}{more}: {found}, expected one film; {ADVICE}"
    )
