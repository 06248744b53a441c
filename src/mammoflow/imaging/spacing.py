"""Pixel spacing and where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pydicom

from mammoflow.dicomfile import header_value
from mammoflow.errors import ExcludedCase, Reason

SMALLEST_MM, LARGEST_MM = 0.005, 10.0
"""Bounds of a believable pixel: histology slides lie below, and no picture of an organ has coarser pixels."""


@dataclass(frozen=True)
class Spacing:
    """Millimetres a film pixel.

    Attributes
    ----------
    rows_mm, columns_mm
        Distance between the centres of neighbouring rows, and of neighbouring columns.
    origin
        "table", "imager", "pixel", "nominal" or "default".
    """

    rows_mm: float
    columns_mm: float
    origin: str


def header_spacing(dataset: pydicom.Dataset) -> Spacing | None:
    """Return the spacing that a DICOM header gives, or None.

    In this order: Imager Pixel Spacing, divided by the Estimated Radiographic Magnification Factor where there is one
    (DICOM PS3.3 C.8.7.5, C.8.11.7); Pixel Spacing; Nominal Scanned Pixel Spacing. Values that are not positive or not
    believable count as absent.
    """
    magnification = _number(header_value(dataset, "EstimatedRadiographicMagnificationFactor"))
    factor = magnification if magnification is not None and 1.0 <= magnification <= 4.0 else 1.0
    for keyword, origin, divisor in (
        ("ImagerPixelSpacing", "imager", factor),
        ("PixelSpacing", "pixel", 1.0),
        ("NominalScannedPixelSpacing", "nominal", 1.0),
    ):
        value = header_value(dataset, keyword)
        try:
            rows, columns = (_number(part) for part in value) if value is not None else (None, None)
        except (TypeError, ValueError):
            continue
        if rows is not None and columns is not None:
            rows, columns = rows / divisor, columns / divisor
            if _believable(rows) and _believable(columns):
                return Spacing(rows, columns, origin)
    return None


def choose_spacing(header: Spacing | None, table_mm: Any, default_mm: Any) -> Spacing:
    """Choose between the study's table, the file's header and the configured default, in this order.

    The table comes first because somebody wrote it for this study, knowing the scanner or mending a header; the
    default comes last because it is one number for all films.

    Parameters
    ----------
    header
        Of the file, or None.
    table_mm, default_mm
        Numbers of the case table; null where there is none.

    Raises
    ------
    ExcludedCase
        NO_SPACING where none of the three gives a believable number.
    """
    table, default = _number(table_mm), _number(default_mm)
    if table is not None and _believable(table):
        return Spacing(table, table, "table")
    if header is not None:
        return header
    if default is not None and _believable(default):
        return Spacing(default, default, "default")
    raise ExcludedCase(
        Reason.NO_SPACING,
        f"header none, table {table}, default {default}; expected {SMALLEST_MM} to {LARGEST_MM} mm a pixel from one, "
        "for example cohort.dataset.spacing_mm",
    )


def _number(value: Any) -> float | None:
    if value is None or pd.isna(value):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _believable(spacing: float) -> bool:
    return math.isfinite(spacing) and SMALLEST_MM <= spacing <= LARGEST_MM
