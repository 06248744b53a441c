"""The pixel spacing of an image, its origin, and whether its sources agree.

Lesions are measured in the breast, so the spacing is that of the breast's plane. A detector or film behind the breast
shows it enlarged by the ratio of the distances from the X-ray source: about 1.02 to 1.1 in contact views, 1.5 to 2 in
magnification views. A spacing in the detector's plane is divided by that ratio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pydicom

from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_header import (
    code_string,
    frame_states,
    frame_value,
    header_integer,
    header_value,
    is_stated,
)
from mammoflow.imaging.scanners import at_own_resolution, known_scanner
from mammoflow.reasons.imaging import ImagingReason
from mammoflow.tables.images import IN_PIXELS

SMALLEST_MM, LARGEST_MM = 0.005, 10.0
"""Bounds of a spacing in a table: histology slides are finer, and no picture of an organ is coarser."""
HEADER_SMALLEST_MM, HEADER_LARGEST_MM = 0.01, 1.0
"""Bounds of a spacing in a header: detectors have 0.05 to 0.1 mm, and no radiograph is stored coarser than 1 mm."""
LONGEST_SIDE_MM = 500.0  # the largest radiographic film measures 35 x 43 cm
VOLUMES = ("CT", "MR", "NM", "PT")
"""Modalities whose slices are coarser and wider than radiographs."""
VOLUME_LARGEST_MM, VOLUME_LONGEST_SIDE_MM = 10.0, 1000.0
MOST_OBLONG = 2.0  # ratio of the two spacings
LARGEST_MAGNIFICATION = 4.0
TOLERANCE = 0.02  # largest relative difference of two sources that agree
SQUARE = 0.001  # largest relative difference of the two spacings of square pixels
CALIBRATED = ("GEOMETRY", "FIDUCIAL")
MEASURES = "PixelMeasuresSequence"
ELEMENTS = {"imager": "ImagerPixelSpacing", "pixel": "PixelSpacing", "nominal": "NominalScannedPixelSpacing"}

Pair = tuple[float, float]


@dataclass(frozen=True)
class Spacing:
    """Millimetres per film pixel.

    Attributes
    ----------
    rows_mm, columns_mm
        Distance between the centres of neighbouring rows, and of neighbouring columns.
    origin
        "table", "calibrated", "imager", "pixel", "nominal", "scanner" or "default"; "pixels" where nothing is known and
        lengths are counted in pixels.
    """

    rows_mm: float
    columns_mm: float
    origin: str

    @property
    def is_square(self) -> bool:
        """Whether both spacings are equal except for rounding."""
        return abs(self.rows_mm / self.columns_mm - 1) <= SQUARE


@dataclass(frozen=True)
class HeaderSpacing:
    """Pixel spacing of a header.

    Attributes
    ----------
    spacing
        In the breast's plane, or None.
    magnification
        Of the breast in the detector's plane, or None where the header does not say.
    implausible
        Whether an element gave an implausible spacing, which was ignored.
    conflicting
        Whether elements contradict each other.
    magnification_unusable
        Whether the header states a magnification, or the distances for it, that is no number from 1 to 4.
    longest_mm
        Longest side that an image of the modality can have.
    """

    spacing: Spacing | None = None
    magnification: float | None = None
    implausible: bool = False
    conflicting: bool = False
    magnification_unusable: bool = False
    longest_mm: float = LONGEST_SIDE_MM


def header_spacing(dataset: pydicom.Dataset) -> HeaderSpacing:
    """Find the spacing that a DICOM header gives.

    The first of these that the header has: Pixel Spacing with the Calibration Type GEOMETRY or FIDUCIAL, which is in
    the breast's plane (DICOM PS3.3 10.7.1.3); Imager Pixel Spacing, divided by the magnification; Pixel Spacing without
    its plane; Nominal Scanned Pixel Spacing, divided by the magnification; the spacing of a known scanner, divided by
    the magnification.
    """
    stated = {name: _pair(frame_value(dataset, keyword, MEASURES)) for name, keyword in ELEMENTS.items()}
    unreadable = [
        name for name, keyword in ELEMENTS.items() if stated[name] is None and frame_states(dataset, keyword, MEASURES)
    ]
    usable = {name: pair for name, pair in stated.items() if pair is not None and _plausible(pair, dataset)}
    magnification = _magnification(dataset)
    if code_string(dataset, "PixelSpacingCalibrationType") in CALIBRATED and "pixel" in usable:
        usable = {"calibrated": usable.pop("pixel"), **usable}
    spacing = next((_in_breast_plane(name, pair, magnification) for name, pair in usable.items()), None)
    scanner = known_scanner(dataset)
    if spacing is None and scanner is not None and at_own_resolution(dataset, scanner):
        spacing = _in_breast_plane("scanner", (scanner.spacing_mm, scanner.spacing_mm), magnification)
    implausible = bool(unreadable) or sum(pair is not None for pair in stated.values()) > len(usable)
    conflicting = _contradict(usable, magnification) or not _fits_aspect(dataset, spacing)
    unusable = _magnification_is_unusable(dataset)
    return HeaderSpacing(spacing, magnification, implausible, conflicting, unusable, _bounds(dataset)[1])


def choose_spacing(header: Spacing | None, table_mm: Any, default_mm: Any, in_pixels: bool = False) -> Spacing:
    """Choose between the study's table, the file's header and the configured default, in this order.

    The table comes first because somebody wrote it for this study, with knowledge of the scanner or to correct a
    header. The default comes last because it is one number for all films.

    Parameters
    ----------
    header
        Spacing of the file's header, or None.
    table_mm, default_mm
        Numbers of the case table; null where there is none.
    in_pixels
        Whether an image without any spacing counts its lengths in pixels, see `images.without_spacing`.

    Raises
    ------
    ExcludedCase
        NO_SPACING where none of the three gives a plausible number.
    """
    table, default = _number(table_mm), _number(default_mm)
    if table is not None and _believable(table):
        return Spacing(table, table, "table")
    if header is not None:
        return header
    if default is not None and _believable(default):
        return Spacing(default, default, "default")
    if in_pixels:
        return Spacing(1.0, 1.0, IN_PIXELS)
    raise ExcludedCase(
        ImagingReason.NO_SPACING,
        f"header none, table {table}, default {default}; expected {SMALLEST_MM} to {LARGEST_MM} mm a pixel from one, "
        "for example cohort.dataset.spacing_mm, or set images.without_spacing: pixels",
    )


def spacing_flags(
    header: HeaderSpacing, chosen: Spacing, table_mm: Any = None, shape: tuple[int, int] = (1, 1)
) -> dict[str, bool]:
    """Return the flags of CANONICAL_IMAGES about spacing.

    Parameters
    ----------
    header
        Spacing of the file's header.
    chosen
        From `choose_spacing`.
    table_mm
        Number of the case table; null where there is none.
    shape
        (height, width) of the stored pixels.
    """
    other, table = header.spacing, _number(table_mm)
    differs = other is not None and not (
        _agree(other.rows_mm, chosen.rows_mm) and _agree(other.columns_mm, chosen.columns_mm)
    )
    longest = max(chosen.rows_mm * shape[0], chosen.columns_mm * shape[1])
    unlikely = (table is not None and not _believable(table)) or (
        chosen.origin != IN_PIXELS and longest > header.longest_mm
    )
    return {
        "flag_spacing_conflict": header.conflicting or differs,
        "flag_spacing_implausible": header.implausible or unlikely,
        "flag_pixels_not_square": not chosen.is_square,
    }


def _believable(spacing_mm: float) -> bool:
    return SMALLEST_MM <= spacing_mm <= LARGEST_MM


def _in_breast_plane(origin: str, pair: Pair, magnification: float | None) -> Spacing:
    divisor = 1.0 if origin in ("calibrated", "pixel") else magnification or 1.0
    return Spacing(pair[0] / divisor, pair[1] / divisor, origin)


def _magnification(dataset: pydicom.Dataset) -> float | None:
    """Return the magnification of a header, stated or computed from its distances to the source (PS3.3 C.8.7.5)."""
    stated = _number(header_value(dataset, "EstimatedRadiographicMagnificationFactor"))
    detector = _number(header_value(dataset, "DistanceSourceToDetector"))
    patient = _number(header_value(dataset, "DistanceSourceToPatient"))
    ratio = detector / patient if detector and patient else None
    return next(
        (value for value in (stated, ratio) if value is not None and 1.0 <= value <= LARGEST_MAGNIFICATION), None
    )


def _magnification_is_unusable(dataset: pydicom.Dataset) -> bool:
    """Tell whether a stated magnification, or a stated pair of distances, gives no number from 1 to 4.

    A distance of 0 says that it is not known.
    """
    keyword = "EstimatedRadiographicMagnificationFactor"
    stated = _number(header_value(dataset, keyword))
    if is_stated(dataset, keyword):
        return stated is None or not 1.0 <= stated <= LARGEST_MAGNIFICATION
    names = ("DistanceSourceToDetector", "DistanceSourceToPatient")
    distances = [_number(header_value(dataset, name)) for name in names]
    if any(is_stated(dataset, name) and number is None for name, number in zip(names, distances, strict=True)):
        return True
    detector, patient = distances
    return bool(detector and patient) and not 1.0 <= (detector or 0) / (patient or 1) <= LARGEST_MAGNIFICATION


def _contradict(usable: dict[str, Pair], magnification: float | None) -> bool:
    """Tell whether the spacings of a header contradict each other.

    An uncalibrated Pixel Spacing must equal that of the imager, or that divided by the magnification. A calibrated one
    must belong to a plane between source and detector. The one of a scanned film must be the scanner's.
    """
    imager, pixel, nominal = (usable.get(name) for name in ("imager", "pixel", "nominal"))
    calibrated = usable.get("calibrated")
    for axis in range(2):
        if imager and pixel:
            planes = (imager[axis], imager[axis] / (magnification or 1.0))
            if not any(_agree(pixel[axis], plane) for plane in planes):
                return True
        if imager and calibrated:
            ratio = imager[axis] / calibrated[axis]
            if not 1 - TOLERANCE <= ratio <= LARGEST_MAGNIFICATION:
                return True
        if nominal and pixel and not imager and not _agree(nominal[axis], pixel[axis]):
            return True
    return False


def _fits_aspect(dataset: pydicom.Dataset, spacing: Spacing | None) -> bool:
    """Tell whether a Pixel Aspect Ratio, vertical to horizontal, agrees with the spacing, or with square pixels."""
    aspect = _pair(header_value(dataset, "PixelAspectRatio"))
    if aspect is None or min(aspect) <= 0:
        return True
    ratio = spacing.rows_mm / spacing.columns_mm if spacing is not None else 1.0
    return _agree(aspect[0] / aspect[1], ratio)


def _plausible(pair: Pair, dataset: pydicom.Dataset) -> bool:
    rows, columns = pair
    largest, longest_side = _bounds(dataset)
    if not all(math.isfinite(value) and HEADER_SMALLEST_MM <= value <= largest for value in pair):
        return False
    longest = max(rows * (header_integer(dataset, "Rows") or 0), columns * (header_integer(dataset, "Columns") or 0))
    return longest <= longest_side and 1 / MOST_OBLONG <= rows / columns <= MOST_OBLONG


def _bounds(dataset: pydicom.Dataset) -> Pair:
    """Return the largest spacing and the longest side in millimetres that an image of the modality can have."""
    volume = code_string(dataset, "Modality") in VOLUMES
    return (VOLUME_LARGEST_MM, VOLUME_LONGEST_SIDE_MM) if volume else (HEADER_LARGEST_MM, LONGEST_SIDE_MM)


def _agree(one: float, other: float) -> bool:
    return abs(one / other - 1) <= TOLERANCE


def _pair(value: Any) -> Pair | None:
    """Return two numbers, not-a-number where the element is not two numbers, None where it is absent."""
    if value is None:
        return None
    try:
        rows, columns = (_number(part) for part in value)
    except (TypeError, ValueError):
        rows = columns = None
    return (math.nan, math.nan) if rows is None or columns is None else (rows, columns)


def _number(value: Any) -> float | None:
    if value is None or pd.isna(value):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
