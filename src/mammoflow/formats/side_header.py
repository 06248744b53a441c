"""Which breast and view the header of a DICOM file states."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pydicom

from mammoflow.formats.dicom_header import first_item, frame_value, header_value

SIDES = ("L", "R")
SIDE_WORDS = {"L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}  # the words are not of DICOM, and some devices write them
VIEW_OF_CODE = {
    # Codes of DICOM PS3.16 CID 4014: SNOMED CT and, in older headers, SNOMED RT.
    "399162004": "CC",
    "R-10242": "CC",
    "399368009": "MLO",
    "R-10226": "MLO",
    "399260004": "ML",
    "R-10224": "ML",
    "399352003": "LM",
    "R-10228": "LM",
    "399099002": "LMO",
    "R-10230": "LMO",
    "399192008": "XCCL",
    "399101009": "XCCM",
    "399196006": "FB",
    "399188001": "SIO",
    "441555000": "ISO",
}
VIEWS = {*VIEW_OF_CODE.values(), "XCC"}
EXAGGERATED = {"XCC": "CC", "XCCL": "CC", "XCCM": "CC"}  # case tables often call them CC


@dataclass(frozen=True)
class HeaderSide:
    """Side and view of a header.

    Attributes
    ----------
    laterality
        "L" or "R"; "" where the header gives no side or both.
    contradicts
        Whether elements of the header give different sides.
    view
        CC, MLO, ... or "".
    anterior
        "right" or "left": the side of the picture towards the nipple, by Patient Orientation; "" where unknown.
    """

    laterality: str = ""
    contradicts: bool = False
    view: str = ""
    anterior: str = ""


def header_side(dataset: pydicom.Dataset) -> HeaderSide:
    """Read side and view of a header.

    The side is taken from Image Laterality, Frame Laterality, Laterality or a View Position such as RCC, in this order.
    The view is taken from View Position, the first code of the View Code Sequence, or Patient Orientation, where
    CBIS-DDSM stores it.
    """
    orientation = header_value(dataset, "PatientOrientation")
    side_of_view, view = _view(header_value(dataset, "ViewPosition"))
    stated = [
        SIDE_WORDS.get(str(value or "").strip().upper(), "")
        for value in (
            header_value(dataset, "ImageLaterality"),
            frame_value(dataset, "FrameLaterality", "FrameAnatomySequence"),
            header_value(dataset, "Laterality"),
            side_of_view,
        )
    ]
    sides = [side for side in stated if side]
    code = first_item(dataset, "ViewCodeSequence")
    coded = VIEW_OF_CODE.get(str(header_value(code, "CodeValue") or ""), "") if code is not None else ""
    misplaced = _view(orientation)[1] if isinstance(orientation, str) else ""
    return HeaderSide(
        sides[0] if sides else "", len(set(sides)) > 1, view or coded or misplaced, _anterior(orientation)
    )


def views_differ(table: str, header: str) -> bool:
    """Tell whether table and header give different views; exaggerated CC views count as CC."""
    table = table.strip().upper()
    if table not in VIEWS or header not in VIEWS:
        return False
    return EXAGGERATED.get(table, table) != EXAGGERATED.get(header, header)


def _view(value: object) -> tuple[str, str]:
    """Return side and view of a View Position such as MLO, RCC or L-MLO."""
    word = re.sub(r"[^A-Z]", "", str(value or "").upper())
    if word in VIEWS:
        return "", word
    return (word[0], word[1:]) if word[:1] in SIDES and word[1:] in VIEWS else ("", "")


def _anterior(orientation: object) -> str:
    """Return the side of the picture that is anterior by the first value of Patient Orientation, along the rows."""
    if isinstance(orientation, str) or not isinstance(orientation, Sequence) or len(orientation) != 2:
        return ""
    return {"A": "right", "P": "left"}.get(str(orientation[0]).strip().upper()[:1], "")
