"""Crops of fixed pixels around the lesions of training images, with standardised grey levels.

The longest side of a lesion's box has LESION_PX of the SIDE pixels of its crop, so that lesions of all sizes look alike
and the surroundings are as wide as the lesion; the millimetres of a crop are kept beside it. Levels are differences to
the mean of the surroundings, in units of LEVEL_DEVIATIONS standard deviations of the image's foreground, clipped to
-1..1. A difference in deviations can be added to another image, which keeps its own brightness.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mammoflow.imaging.canonical import read_canonical
from mammoflow.imaging.geometry import Mask, box_of, crop, resize
from mammoflow.segmentation.automatic.samples import TrainingImages
from mammoflow.segmentation.protocol.lesion_generator import BENIGN, LESION_PX, MALIGNANT, SIDE, UNKNOWN
from mammoflow.segmentation.protocol.network_input import BACKGROUND
from mammoflow.storage.files import array_digest, text_digest
from mammoflow.training.batching import Rows

Levels = npt.NDArray[np.float32]

LEVEL_DEVIATIONS = 3.0
"""Standard deviations of the image's foreground that are the level 1."""

SMALLEST_PX = 4
"""Lesions whose box is smaller on its longest side have no appearance to learn."""


@dataclass(frozen=True)
class LesionCrops:
    """The lesions of some images.

    Attributes
    ----------
    levels
        (N, SIDE, SIDE) from -1 to 1; 0 is the mean of the surroundings, and what is outside the breast.
    masks
        (N, SIDE, SIDE).
    classes
        (N,): BENIGN, MALIGNANT or UNKNOWN.
    longest_mm
        (N,): longest side of the lesion's box in millimetres.
    left_out
        Lesions that are too small.
    """

    levels: Levels
    masks: npt.NDArray[np.bool_]
    classes: npt.NDArray[np.int64]
    longest_mm: npt.NDArray[np.float64]
    left_out: int

    def __len__(self) -> int:
        return len(self.levels)

    def digest(self) -> str:
        """Return a digest of all that is learned from."""
        return text_digest(*(array_digest(each) for each in (self.levels, self.masks, self.classes, self.longest_mm)))


def lesion_crops(images: TrainingImages, rows: Rows) -> LesionCrops:
    """Cut the lesions out of some images.

    Parameters
    ----------
    images, rows
        Images, and the rows of those that are read.

    Raises
    ------
    StudyError
        If a file is missing or does not have the size of the image.
    """
    found: list[tuple[Levels, Mask, int, float]] = []
    left_out = 0
    for row in map(int, rows):
        image = images.images.iloc[row]
        masks = images.read_lesions(row)
        if not masks:
            continue
        grey = read_canonical(Path(image["folder"]) / image["image_file"], images.size(row)).astype(np.float32)
        foreground = grey > BACKGROUND * float(grey.max(initial=1.0))
        deviation = max(float(grey[foreground].std()), 1.0) if foreground.any() else 1.0
        every = np.logical_or.reduce(masks)
        for mask, malignant in zip(masks, image["malignancies"], strict=True):
            box = box_of(mask)
            if box is None or max(box[2] - box[0], box[3] - box[1]) < SMALLEST_PX:
                left_out += 1
                continue
            square, longest_mm = _square(box, images.spacing_mm(row))
            surroundings = crop(foreground & ~every, square)
            inside, levels = crop(foreground, square), crop(grey, square)
            around = float(levels[surroundings].mean()) if surroundings.any() else float(levels[inside].mean())
            levels = np.where(inside, (levels - around) / (deviation * LEVEL_DEVIATIONS), 0).astype(np.float32)
            kind = {0: BENIGN, 1: MALIGNANT}.get(malignant, UNKNOWN)
            shape = (SIDE, SIDE)
            found.append((resize(levels, shape).clip(-1, 1), resize(crop(mask, square), shape), kind, longest_mm))
    return LesionCrops(
        np.array([each[0] for each in found], dtype=np.float32).reshape(-1, SIDE, SIDE),
        np.array([each[1] for each in found], dtype=np.bool_).reshape(-1, SIDE, SIDE),
        np.array([each[2] for each in found], dtype=np.int64),
        np.array([each[3] for each in found], dtype=np.float64),
        left_out,
    )


def _square(
    box: tuple[int, int, int, int], spacing_mm: tuple[float, float]
) -> tuple[tuple[float, float, float, float], float]:
    """Return the box (y0, x0, y1, x1) of a crop, and the longest side of the lesion's box in millimetres."""
    longest_mm = max((box[2] - box[0]) * spacing_mm[0], (box[3] - box[1]) * spacing_mm[1])
    half = [longest_mm * SIDE / LESION_PX / 2 / each for each in spacing_mm]
    y, x = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return (y - half[0], x - half[1], y + half[0], x + half[1]), longest_mm
