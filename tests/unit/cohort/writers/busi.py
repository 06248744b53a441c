"""A small study in the layout of BUSI: three folders of pictures named `label (number).png` with masks beside them.

Counts, names and the several masks of one picture follow Al-Dhabyani et al., Data in Brief 28:104863, 2020; that masks
come as 1 bit, grey and with colours and opacity was seen in copies of the set.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SHAPE = (120, 150)
MODES = ("1", "L", "RGB", "RGBA")


def scene(number: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Speckle over a few broad layers: a picture (rows, columns) uint8 of its own for each number."""
    generator = np.random.default_rng(number)
    layers = cv2.resize(generator.random((6, 5)).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    speckle = generator.rayleigh(0.12, shape)
    return np.clip(255 * (0.7 * layers + speckle), 0, 255).astype(np.uint8)


def ellipse(centre: tuple[int, int] = (60, 70), axes: tuple[int, int] = (15, 22)) -> np.ndarray:
    """A mask (rows, columns) of booleans."""
    mask = np.zeros(SHAPE, np.uint8)
    cv2.ellipse(mask, centre[::-1], axes[::-1], 0, 0, 360, 1, thickness=-1)
    return mask.astype(bool)


def write_picture(path: Path, grey: np.ndarray, mode: str = "RGB") -> Path:
    """Write grey levels; the published pictures have three equal colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey).convert(mode).save(path)
    return path


def write_mask(path: Path, mask: np.ndarray, mode: str = "1") -> Path:
    """Write a mask as 1 bit, grey, colour, or colour with full opacity everywhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).convert(mode).save(path)
    return path


class BusiWriter:
    """Writes pictures with masks below `Dataset_BUSI_with_GT`, or wherever `below` says."""

    def __init__(self, study: Path, below: str = "Dataset_BUSI_with_GT") -> None:
        self.study = study
        self.root = study / below
        self.number = 0

    def path(self, label: str, number: int, mask: int | None = None) -> Path:
        """Return where a picture or its mask lies; mask 0 is `_mask.png`, 1 is `_mask_1.png`."""
        end = "" if mask is None else "_mask" if mask == 0 else f"_mask_{mask}"
        return self.root / label / f"{label} ({number}){end}.png"

    def add(
        self,
        label: str,
        number: int,
        masks: list[np.ndarray] | None = None,
        grey: np.ndarray | None = None,
        mode: str = "1",
    ) -> Path:
        """Write a picture of its own, or the one given, with its masks; an empty one for a normal picture."""
        self.number += 1
        if masks is None:
            masks = [np.zeros(SHAPE, bool) if label == "normal" else ellipse()]
        picture = write_picture(self.path(label, number), scene(1000 + self.number) if grey is None else grey)
        for place, mask in enumerate(masks):
            write_mask(self.path(label, number, place), mask, mode)
        return picture

    def add_usual(self, count: int = 6) -> None:
        """Write as many benign and malignant pictures, with masks of every mode, and two normal ones."""
        for number in range(1, count + 1):
            for label in ("benign", "malignant"):
                self.add(label, number, mode=MODES[number % len(MODES)])
        self.add("normal", 1)
        self.add("normal", 2)
