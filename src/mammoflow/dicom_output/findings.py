"""What the objects of a film say: its lesions, and the algorithms that found and judged them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mammoflow import __version__

MANUFACTURER = "mammoflow"
RESEARCH_ONLY = "Research only: not a medical device"
NO_MILLIMETRES = "the image has no pixel spacing, and the objects state millimetres"
"""Why an image whose lengths are in pixels gets no objects."""


def plain_text(text: str) -> str:
    """Return a text in printable ASCII, which every character set of DICOM contains; other characters become `?`."""
    return "".join(letter if " " <= letter <= "~" and letter != "\\" else "?" for letter in text)


@dataclass(frozen=True)
class Algorithm:
    """A trained model, as DICOM's Algorithm Identification describes it.

    Attributes
    ----------
    name
        The model's name, such as `small`.
    parameters
        Names and values that identify its weights and how it was asked.
    automatic
        Whether it needs no prompt.
    """

    name: str
    parameters: dict[str, str]
    automatic: bool = False

    @property
    def title(self) -> str:
        """Name of the program and of the model, as a long string of DICOM takes it: ASCII, at most 64 characters."""
        return plain_text(f"{MANUFACTURER} {self.name}")[:64]

    @property
    def version(self) -> str:
        """Version of the program."""
        return __version__


@dataclass(frozen=True)
class Finding:
    """A lesion of a film.

    Attributes
    ----------
    key
        What identifies the lesion in the study. It only enters the lesion's UID as a hash, and no object contains it,
        because ids of a case table may identify a patient.
    mask
        (height, width) on the grid of the film's file; not empty.
    kind
        "mass", "calcification" or "unknown".
    area_mm2, diameter_mm
        Area and longest diameter of the mask.
    probability
        Of malignancy, 0 to 1; None where no classifier was asked.
    """

    key: str
    mask: npt.NDArray[np.bool_]
    kind: str
    area_mm2: float
    diameter_mm: float
    probability: float | None = None
