"""The answer for a film: masks on its grid, measurements, and how they were made; as objects and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mammoflow import __version__
from mammoflow.prediction.requests import LesionRequest

Mask = npt.NDArray[np.bool_]
PROGRAM = "mammoflow predict"
NOTICE = "Research only: not a medical device. No diagnosis and no treatment may rest on this result."


@dataclass(frozen=True)
class Malignancy:
    """What a classifier says about a lesion.

    Attributes
    ----------
    probability
        Calibrated probability of malignancy, mean over the seeds; None where the classifier has no input for the
        lesion.
    threshold
        Threshold that was chosen on validation, mean over the seeds.
    malignant
        Whether the probability reaches the threshold.
    facts
        Name of classifier and run, calibration, training patients, as `result.json` has them.
    """

    probability: float | None
    threshold: float
    malignant: bool | None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LesionResult:
    """One segmented lesion.

    Attributes
    ----------
    number
        Counted from 1, in the order of the request: boxes first, then points outside boxes.
    request
        Box and points that were asked.
    mask
        (height, width) on the grid of the film's file; empty where the lesion was left out.
    area_mm2, longest_diameter_mm
        Of this mask. The diameter is NaN where the mask is empty, and both are NaN where the lesion was left out.
    predicted_iou
        The model's own estimate of the overlap of its mask with the lesion.
    malignancy
        By the name of the classifier; empty without `classify`.
    notes
        What a reader must know, such as a clipped box or an empty mask.
    """

    number: int
    request: LesionRequest
    mask: Mask
    area_mm2: float
    longest_diameter_mm: float
    predicted_iou: float
    malignancy: dict[str, Malignancy] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_measured(self) -> bool:
        """Whether the model was asked about the lesion; False where it was left out, and a note says why."""
        return not np.isnan(self.area_mm2)


@dataclass(frozen=True)
class Prediction:
    """The answer for one film.

    Attributes
    ----------
    image
        The file.
    name
        Name of the film, which is the name of its folder where there are several.
    lesions
        In the order of the request.
    spacing_mm
        Millimetres from row to row and from column to column of the file's pixels, in the breast's plane.
    facts
        What `result.json` says about image and model.
    """

    image: Path
    name: str
    lesions: tuple[LesionResult, ...]
    spacing_mm: tuple[float, float]
    facts: dict[str, Any]

    def as_json(self, files: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the content of `result.json`.

        Parameters
        ----------
        files
            Names of the written files; None where none is written.
        """
        return {
            "program": PROGRAM,
            "version": __version__,
            "notice": NOTICE,
            **self.facts,
            "lesions": [_lesion(lesion) for lesion in self.lesions],
            "files": files or {},
        }


def flags_note(flags: Sequence[str]) -> str:
    """Return the words that name the flags of a film; "" where it has none."""
    return f"flags of the film: {', '.join(flags)}" if flags else ""


def mask_file(number: int) -> str:
    """Return the file name of a lesion's mask."""
    return f"mask_{number}.png"


def _lesion(lesion: LesionResult) -> dict[str, Any]:
    box = lesion.request.box
    return {
        "number": lesion.number,
        "finding": lesion.request.kind,
        "box": None if box is None else dict(zip(("x0", "y0", "x1", "y1"), box, strict=True)),
        "points": [{"x": x, "y": y} for x, y in lesion.request.points],
        "mask_pixels": int(np.count_nonzero(lesion.mask)) if lesion.is_measured else None,
        "area_mm2": round(lesion.area_mm2, 3) if lesion.is_measured else None,
        "longest_diameter_mm": _number(lesion.longest_diameter_mm),
        "predicted_iou": _number(lesion.predicted_iou),
        "malignancy": {name: _malignancy(said) for name, said in lesion.malignancy.items()},
        "notes": list(lesion.notes),
    }


def _malignancy(said: Malignancy) -> dict[str, Any]:
    return {
        "probability": None if said.probability is None else round(said.probability, 5),
        "threshold": round(said.threshold, 5),
        "malignant": said.malignant,
        **said.facts,
    }


def _number(value: float) -> float | None:
    """Return a number that JSON can hold."""
    return round(value, 4) if np.isfinite(value) else None
