"""The value-of-interest (VOI) transformations of a DICOM header: the choice of one, and its function.

The VOI LUT module (DICOM PS3.3 C.11.2) has windows of three functions, and look-up tables. A header may offer several
as alternative views; exactly one is applied.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from mammoflow.config.images import ImagesSettings
from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_header import (
    first_item,
    frame_states,
    frame_value,
    header_integer,
    header_value,
    is_big_endian,
)
from mammoflow.reasons.files import FileReason

RESCALE_GROUP, RESCALE = "PixelValueTransformationSequence", ("RescaleSlope", "RescaleIntercept")

Floats = npt.NDArray[np.float64]
Transformation = Callable[[Floats], Floats]
Offer = tuple[str, Callable[[], Transformation]]  # explanation, and what makes the transformation


@dataclass(frozen=True)
class Voi:
    """A transformation of modality values to levels from 0 (black) to 1 (white).

    Attributes
    ----------
    label
        Which transformation was chosen: "none", "window 1 of 3", "lut 2 of 2", "window of the settings".
    function
        Of modality values; None where the full range is kept.
    """

    label: str = "none"
    function: Transformation | None = None


@dataclass(frozen=True)
class LookupTable:
    """Entries of a look-up table, the first value that they map, and the level of white."""

    entries: npt.NDArray[np.int64]
    first: int
    white: int

    def apply(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the entry of each value; values beyond either end take the entry of that end."""
        return self.entries[np.clip(values - self.first, 0, self.entries.size - 1)]


def choose_voi(dataset: pydicom.Dataset, settings: ImagesSettings) -> Voi:
    """Choose the transformation that the settings ask for from those that a header offers.

    Parameters
    ----------
    dataset
        The header.
    settings
        `voi` is none, window, lut, or fixed with a window of its own. Where the header does not have the kind window
        or lut, the other kind is taken. Of several, the one with the explanation `voi_explanation` is taken,
        otherwise number `voi_number`, otherwise the first.

    Raises
    ------
    ExcludedCase
        UNREADABLE where a VOI LUT is to be applied and is damaged.
    """
    if settings.voi == "none":
        return Voi()
    if settings.window_center is not None and settings.window_width is not None:  # voi is fixed
        return Voi("window of the settings", window_function("LINEAR", settings.window_center, settings.window_width))
    offers = {"window": _windows(dataset), "lut": _tables(dataset)}
    kind = next((kind for kind in (settings.voi, *offers) if offers[kind]), None)
    if kind is None:
        return Voi()
    index = _chosen([explanation for explanation, _ in offers[kind]], settings)
    return Voi(f"{kind} {index + 1} of {len(offers[kind])}", offers[kind][index][1]())


def window_function(kind: str, center: float, width: float) -> Transformation:
    """Return a window as a function of modality values (DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Parameters
    ----------
    kind
        LINEAR, LINEAR_EXACT or SIGMOID.
    center, width
        In modality values; the width is at least 1 for LINEAR, and above 0 for the others.
    """
    if kind == "SIGMOID":
        # 1 / (1 + exp(-4 (x - center) / width)), in a form that cannot overflow
        return lambda values: 0.5 * (1 + np.tanh(2 * (values - center) / width))
    if kind == "LINEAR":
        center, width = center - 0.5, width - 1
    if width == 0:
        return lambda values: (values > center).astype(np.float64)
    return lambda values: np.clip((values - center) / width + 0.5, 0, 1)


def read_lookup_table(dataset: pydicom.Dataset, item: pydicom.Dataset | None, signed: bool) -> LookupTable:
    """Read an item of a Modality LUT or VOI LUT sequence.

    Parameters
    ----------
    dataset
        The header that it belongs to.
    item
        The item.
    signed
        Whether the values that it maps may be negative.

    Raises
    ------
    ExcludedCase
        UNREADABLE where descriptor and data do not form a table.
    """
    try:
        if item is None:
            raise ValueError("no item")
        count, first, bits = (int(number) for number in item.LUTDescriptor)
        entries = _entries(item.LUTData, count % 2**16 or 2**16, bits, is_big_endian(dataset))
    except Exception as error:  # pydicom raises almost anything on damaged values
        raise ExcludedCase(FileReason.UNREADABLE, f"look-up table cannot be read: {type(error).__name__}") from error
    count = count % 2**16 or 2**16
    if not 8 <= bits <= 16 or entries.size < count:
        raise ExcludedCase(
            FileReason.UNREADABLE, f"look-up table of {entries.size} entries of {bits} bit, descriptor says {count}"
        )
    # The first value in the header may be signed or unsigned, whatever the values are.
    first = (first + 2**15) % 2**16 - 2**15 if signed else first % 2**16
    white = 2**bits - 1
    return LookupTable(np.clip(entries[:count], 0, white), first, white)


def rescale(dataset: pydicom.Dataset) -> tuple[float, float]:
    """Return Rescale Slope and Intercept; 1 and 0 where they are absent, no numbers, or the slope is 0."""
    slope, intercept = _usable_rescale(dataset)
    return 1.0 if slope is None else slope, 0.0 if intercept is None else intercept


def rescale_is_unusable(dataset: pydicom.Dataset) -> bool:
    """Tell whether a header has a Rescale Slope or Intercept that is no number, or a slope of 0."""
    states = (frame_states(dataset, name, RESCALE_GROUP) for name in RESCALE)
    return any(stated and number is None for stated, number in zip(states, _usable_rescale(dataset), strict=True))


def _usable_rescale(dataset: pydicom.Dataset) -> tuple[float | None, float | None]:
    slope, intercept = (_numbers(frame_value(dataset, name, RESCALE_GROUP)) for name in RESCALE)
    usable = len(slope) == 1 and math.isfinite(slope[0]) and slope[0] != 0
    offset = len(intercept) == 1 and math.isfinite(intercept[0])
    return slope[0] if usable else None, intercept[0] if offset else None


def _entries(data: Any, count: int, bits: int, big_endian: bool) -> npt.NDArray[np.int64]:
    if not isinstance(data, bytes):
        return np.asarray(data).astype(np.int64).ravel() % 2**16
    packed = bits == 8 and count <= len(data) <= count + 1  # one byte per entry, padded to an even length
    return np.frombuffer(data, dtype=np.uint8 if packed else ">u2" if big_endian else "<u2").astype(np.int64)


def _windows(dataset: pydicom.Dataset) -> list[Offer]:
    """Return the usable windows."""
    group = "FrameVOILUTSequence"
    centers = _numbers(frame_value(dataset, "WindowCenter", group))
    widths = _numbers(frame_value(dataset, "WindowWidth", group))
    names = _texts(frame_value(dataset, "WindowCenterWidthExplanation", group))
    kind = str(frame_value(dataset, "VOILUTFunction", group) or "LINEAR").strip("\x00 ").upper()
    if kind not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        return []
    names += [""] * (len(centers) - len(names))
    least = 1.0 if kind == "LINEAR" else 0.0
    return [
        (name, partial(window_function, kind, center, width))
        for center, width, name in zip(centers, widths, names, strict=False)
        if math.isfinite(center) and math.isfinite(width) and width >= least and width > 0
    ]


def _tables(dataset: pydicom.Dataset) -> list[Offer]:
    """Return the items of the VOI LUT Sequence."""
    if first_item(dataset, "VOILUTSequence") is None:
        return []
    lowest = rescale(dataset)[1] if header_integer(dataset, "PixelRepresentation") != 1 else -1
    signed = lowest < 0 and first_item(dataset, "ModalityLUTSequence") is None

    def function(item: pydicom.Dataset) -> Transformation:
        table = read_lookup_table(dataset, item, signed)
        return lambda values: table.apply(np.rint(values).astype(np.int64)) / table.white

    items = list(dataset["VOILUTSequence"].value)
    return [(str(header_value(item, "LUTExplanation") or ""), partial(function, item)) for item in items]


def _chosen(explanations: list[str], settings: ImagesSettings) -> int:
    """Return the index of the alternative that the settings name."""
    wording = settings.voi_explanation.strip().upper()
    for index, explanation in enumerate(explanations):
        if wording and explanation.strip().upper() == wording:
            return index
    return settings.voi_number - 1 if settings.voi_number <= len(explanations) else 0


def _numbers(value: Any) -> list[float]:
    values = [] if value is None else [value] if isinstance(value, int | float | str) else list(value)
    numbers = []
    for entry in values:
        try:
            numbers.append(float(entry))
        except (TypeError, ValueError):
            numbers.append(math.nan)
    return numbers


def _texts(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else [str(text) for text in value]
