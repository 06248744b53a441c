"""Which of a lesion's files is its mask: told by content, because in CBIS-DDSM no name, order or path can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom

from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.dicom_header import image_shape
from mammoflow.formats.isolated import shows_two_levels
from mammoflow.reasons.lesions import LesionReason

LARGEST_UNEVENNESS = 0.01
"""Largest difference of the two axes' ratios for which a mask still has the film's shape."""


@dataclass(frozen=True)
class ResolvedMask:
    """The mask among a lesion's files, and the first of the others that can be read, which is the crop."""

    mask: Path
    crop: Path | None


@dataclass(frozen=True)
class _Candidate:
    path: Path
    dataset: pydicom.Dataset
    shape: tuple[int, int]


def has_shape_of(shape: tuple[int, int], film: tuple[int, int]) -> bool:
    """Tell whether a picture (rows, columns) has the film's shape up to one scale, within 1 %.

    Some masks were drawn on a scan of another pixel size, 43.5 instead of 50 micrometres: 0.870 on both axes.
    """
    ratios = shape[0] / film[0], shape[1] / film[1]
    return abs(ratios[0] / ratios[1] - 1) <= LARGEST_UNEVENNESS


def resolve_mask(candidates: Sequence[Path], film_rows: int, film_columns: int) -> ResolvedMask:
    """Find the mask among the files of a lesion: the film's shape up to scale, and at most two grey levels.

    Headers are read first; pixels only of files with a fitting shape, exact fits before scaled ones.

    Parameters
    ----------
    candidates
        All files that may be the mask, in order of preference between equals.
    film_rows, film_columns
        Size of the film.

    Raises
    ------
    ExcludedCase
        MASK_SHAPE where there is a mask of another shape; the reason of the first unreadable file where one of them
        may have been the mask; MASK_NOT_FOUND otherwise.
    """
    film = film_rows, film_columns
    readable, problems = _open_all(candidates)
    fitting = [candidate for candidate in readable if has_shape_of(candidate.shape, film)]
    fitting.sort(key=lambda candidate: candidate.shape != film)
    for candidate in fitting:
        if _is_mask(candidate, problems):
            others = [other.path for other in readable if other is not candidate]
            return ResolvedMask(candidate.path, others[0] if others else None)
    for candidate in readable:
        if candidate not in fitting and _is_mask(candidate, problems):
            detail = f"mask {candidate.path.name} is {_size(candidate.shape)}, its film {_size(film)}: no even ratio"
            raise ExcludedCase(LesionReason.MASK_SHAPE, detail)
    if problems:
        raise problems[0]
    shapes = ", ".join(_size(candidate.shape) for candidate in readable) or "no file"
    raise ExcludedCase(
        LesionReason.MASK_NOT_FOUND, f"found {shapes}; expected two grey levels at {_size(film)} or its scale"
    )


def _open_all(candidates: Sequence[Path]) -> tuple[list[_Candidate], list[ExcludedCase]]:
    readable: list[_Candidate] = []
    problems: list[ExcludedCase] = []
    for path in candidates:
        try:
            dataset = open_dicom(path)
            readable.append(_Candidate(path, dataset, image_shape(dataset)))
        except ExcludedCase as error:
            problems.append(error)
    return readable, problems


def _is_mask(candidate: _Candidate, problems: list[ExcludedCase]) -> bool:
    try:
        return shows_two_levels(candidate.dataset, candidate.path)
    except ExcludedCase as error:
        problems.append(error)
        return False


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"
