"""Lesions of one image that have the same mask or box under opposite labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mammoflow.errors import ExcludedCase
from mammoflow.reasons.labels import LabelReason

EDGES = ("box_y0", "box_x0", "box_y1", "box_x1")
PARTS = ("mask_item", "mask_value")
"""Columns that name the part of a mask file which is the lesion."""
PICTURES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")
WORDS = {0: "benign", 1: "malignant"}


def refuse_same_masks(study: Path, lesions: Sequence[Mapping[str, Any]]) -> dict[str, ExcludedCase]:
    """Return the lesions of one image that have the reference of another one and the opposite label.

    Masks are compared by file, by content, and pictures by the pixels that they mark. Files are read only where an
    image has malignant and benign lesions.

    Parameters
    ----------
    study
        The folder that mask paths are relative to.
    lesions
        Rows of the table of lesions, of one image.

    Returns
    -------
    dict
        Lesion id to why it is left out.
    """
    refused: dict[str, ExcludedCase] = {}
    if len({lesion["malignant"] for lesion in lesions} - {None}) < 2:
        return refused
    for one, other in combinations(lesions, 2):
        labels = one["malignant"], other["malignant"]
        if None in labels or labels[0] == labels[1] or not _same_reference(study, one, other):
            continue
        for lesion, twin in ((one, other), (other, one)):
            what = lesion["mask_path"] or "its box"
            detail = (
                f"{what} marks the same as {twin['mask_path'] or 'the box'} of {twin['lesion_id']}, but this lesion is "
                f"{WORDS[lesion['malignant']]} and the other one {WORDS[twin['malignant']]}"
            )
            refused.setdefault(str(lesion["lesion_id"]), ExcludedCase(LabelReason.LABEL_CONFLICT, detail))
    return refused


def _same_reference(study: Path, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    if one["mask_path"] is None or other["mask_path"] is None:
        boxes = [[lesion[edge] for edge in EDGES] for lesion in (one, other)]
        return one["mask_path"] is other["mask_path"] and None not in boxes[0] and boxes[0] == boxes[1]
    if any(one.get(part) != other.get(part) for part in PARTS):
        return False
    paths = study / one["mask_path"], study / other["mask_path"]
    return paths[0] == paths[1] or _same_content(*paths)


def _same_content(one: Path, other: Path) -> bool:
    """Tell whether two mask files mark the same; what cannot be read is told by the image stage."""
    try:
        if not {one.suffix.lower(), other.suffix.lower()} <= set(PICTURES):
            return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()
        pixels = [cv2.imread(str(path), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_GRAYSCALE) for path in (one, other)]
    except (OSError, cv2.error):
        return False
    first, second = pixels
    if first is None or second is None or first.shape != second.shape:
        return False
    return bool(np.any(first)) and np.array_equal(first > 0, second > 0)
