"""Near copies among pictures: the same scene saved twice, perhaps shifted, cut or measured, told by a reduced picture.

A data set without patients leaks through them: one copy trains, the other tests. Each picture is averaged to 32 x 32
and two pictures are near copies where the correlation of the two reduced ones reaches 0.96. On the 626 breast
ultrasound pictures whose copies were grouped by others (docs/datasets/busi.md) that finds each of the 139 known pairs,
and 30 more, each of which shows one scene or lesion when looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import LARGEST_PIXELS
from mammoflow.formats.study_paths import safe_path
from mammoflow.run.runtime import available_cores, progress

Fingerprint = npt.NDArray[np.float32]
SIDE = 32
NEAR_COPY = 0.96
"""Correlation from which two reduced pictures count as near copies."""
FLAT = 1e-3  # of white: a picture whose reduced grey levels vary less shows nothing that could be compared
BLOCK = 1024  # rows of the table of correlations that are held at a time


def fingerprint(path: Path) -> Fingerprint | None:
    """Return the reduced grey levels (1024,) of a picture with mean 0 and length 1.

    None where the file cannot be decoded, claims more pixels than any picture has, or is of one grey.
    """
    try:
        with Image.open(path) as header:
            columns, rows = header.size
        if rows * columns > LARGEST_PIXELS:
            return None
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError, cv2.error):
        return None
    if picture is None:
        return None
    levels = cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32).ravel() / 255
    levels -= levels.mean()
    length = float(np.linalg.norm(levels))
    return None if length < FLAT * SIDE else np.asarray(levels / np.float32(length), dtype=np.float32)


def fingerprints(study: Path, names: Sequence[str]) -> list[Fingerprint | None]:
    """Return the fingerprints of many pictures of a study, several read at a time; None for one that lies outside."""
    with ThreadPoolExecutor(max_workers=2 * available_cores()) as workers:
        marks = workers.map(lambda name: _fingerprint_inside(study, name), names)
        return list(progress(marks, "comparing pictures", total=len(names)))


def _fingerprint_inside(study: Path, name: str) -> Fingerprint | None:
    try:
        return fingerprint(safe_path(study, name))
    except ExcludedCase:
        return None


def near_copies(marks: Sequence[Fingerprint | None], threshold: float = NEAR_COPY) -> list[tuple[int, int, float]]:
    """Return every pair of near copies: places of the first and the second, first before second, and correlation."""
    marked = [place for place, mark in enumerate(marks) if mark is not None]
    if not marked:
        return []
    table = np.stack([mark for mark in marks if mark is not None])
    return [(marked[first], marked[second], correlation) for first, second, correlation in _pairs(table, threshold)]


def _pairs(table: npt.NDArray[np.float32], threshold: float) -> Iterator[tuple[int, int, float]]:
    for start in range(0, len(table), BLOCK):
        correlations = table[start : start + BLOCK] @ table.T
        for row, column in np.argwhere(correlations >= threshold).tolist():
            if column > start + row:
                yield start + row, column, float(min(correlations[row, column], 1.0))


def groups_of(count: int, links: Sequence[tuple[int, int]]) -> list[int]:
    """Return the number of the group of each of `count` things, where linked things share a group."""
    first, second = ([link[end] for link in links] for end in (0, 1))
    graph = coo_array((np.ones(len(links), dtype=np.int8), (first, second)), shape=(count, count))
    return [int(group) for group in connected_components(graph, directed=False)[1]]
