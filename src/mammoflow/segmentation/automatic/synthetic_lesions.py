"""Synthetic lesions for the training of an automatic model: drawn once, from masks of training lesions.

The mask of each is that of a training lesion after a random similarity. A generative model that saw training patients
alone fills it. The lesions are supplementary data, which a record marks as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from mammoflow.config.architectures import ARCHITECTURE_MODULES, module_of
from mammoflow.config.synthetic_lesions import GENERATOR, SyntheticLesionSettings
from mammoflow.errors import StudyError, WeightsError
from mammoflow.imaging.geometry import Mask, box_of, resize, shrink_mask
from mammoflow.segmentation.automatic.lesion_crops import LEVEL_DEVIATIONS, Levels, lesion_crops
from mammoflow.segmentation.automatic.samples import TrainingImages
from mammoflow.segmentation.protocol.lesion_generator import LESION_PX, SIDE, LesionGenerator
from mammoflow.storage.files import array_digest, file_digest, text_digest
from mammoflow.weights.checkpoint import read_state
from mammoflow.weights.header import read_header

SCALES = (0.8, 1.25)
"""Random change of the size of a lesion."""

MIDDLE = (SIDE - 1) / 2


@dataclass(frozen=True)
class SyntheticLesions:
    """Lesions that were drawn by a generative model.

    Attributes
    ----------
    levels
        (N, SIDE, SIDE): differences to the surroundings in standard deviations of an image's foreground.
    masks
        (N, SIDE, SIDE).
    longest_mm
        (N,): longest side of the lesion's box in millimetres.
    digest
        Of what they were drawn from. A GPU may draw other last digits again, which begins no new training.
    """

    levels: Levels
    masks: npt.NDArray[np.bool_]
    longest_mm: npt.NDArray[np.float64]
    digest: str

    def __len__(self) -> int:
        return len(self.levels)

    def on_grid(self, number: int, pixel_mm: tuple[float, float]) -> tuple[Levels, Mask]:
        """Return levels and mask (rows, columns) of a lesion in pixels of some (row, column) millimetres."""
        side_mm = self.longest_mm[number] * SIDE / LESION_PX
        shape = max(2, round(side_mm / pixel_mm[0])), max(2, round(side_mm / pixel_mm[1]))
        mask = self.masks[number]
        smaller = max(shape) <= SIDE
        return resize(self.levels[number], shape), shrink_mask(mask, shape) if smaller else resize(mask, shape)


def load_generator(path: Path, device: torch.device) -> LesionGenerator:
    """Load a generative model of lesions.

    Raises
    ------
    WeightsError
        If the file is missing, carries code, is for another architecture, or does not fit the network.
    """
    named = read_header(path).architecture
    if named not in ("", GENERATOR):
        raise WeightsError(
            f"synthetic_lesions: weights file {path} says that it is for {named}; expected {GENERATOR}; name a model "
            "that the recipe of this name trained"
        )
    build = ARCHITECTURE_MODULES.load(module_of(GENERATOR)).build
    generator: LesionGenerator = build(GENERATOR, read_state(path), file_digest(path), device)
    return generator


def draw_lesions(
    generator: LesionGenerator, images: TrainingImages, settings: SyntheticLesionSettings, seed: int
) -> SyntheticLesions:
    """Draw synthetic lesions in the shape of training lesions whose labels are used.

    Parameters
    ----------
    generator
        The trained generative model.
    images
        Images of the training side.
    settings
        How many, and in how many steps.
    seed
        Of shapes and appearance.

    Raises
    ------
    StudyError
        If no training lesion is large enough.
    """
    crops = lesion_crops(images, images.with_lesions("train"))
    if not len(crops):
        raise StudyError(
            f"synthetic_lesions: all {crops.left_out} training lesions are too small for the shape of a synthetic one; "
            "expected larger lesions, or synthetic_lesions.model left empty"
        )
    random = np.random.default_rng(seed)
    chosen = random.integers(len(crops), size=settings.number)
    shapes = [changed_shape(crops.masks[number], random) for number in chosen]
    masks = np.stack([mask for mask, _ in shapes])
    longest_mm = crops.longest_mm[chosen] * [factor for _, factor in shapes]
    classes = crops.classes[chosen]
    levels = LEVEL_DEVIATIONS * generator.draw(masks, classes, settings.steps, seed)
    given = (array_digest(each) for each in (masks, classes, longest_mm))
    digest = text_digest(generator.digest, str(settings.steps), str(seed), *given)
    return SyntheticLesions(levels, masks, longest_mm, digest)


def changed_shape(mask: Mask, generator: np.random.Generator) -> tuple[Mask, float]:
    """Change a mask (SIDE, SIDE) by a random reflection, rotation and scale.

    Returns
    -------
    tuple
        The mask, again in the middle and with LESION_PX on the longest side of its box, and the factor by which this
        side has grown in millimetres.
    """
    angle, scale = generator.uniform(-180, 180), generator.uniform(*SCALES)
    start = np.flip(mask, 1) if generator.random() < 0.5 else mask
    levels = start.astype(np.float32)
    matrix = cv2.getRotationMatrix2D((MIDDLE, MIDDLE), angle, 1.0)
    box = box_of(cv2.warpAffine(levels, matrix, (SIDE, SIDE)) > 0.5)
    if box is None:  # a thin lesion may vanish
        return np.ascontiguousarray(start), float(scale)
    longest = max(box[2] - box[0], box[3] - box[1])
    factor = LESION_PX / longest
    # pixel centres are whole numbers here
    centre = np.array([(box[1] + box[3] - 1) / 2, (box[0] + box[2] - 1) / 2])
    whole = np.hstack([factor * matrix[:, :2], (factor * (matrix[:, 2] - centre) + MIDDLE)[:, None]])
    changed = cv2.warpAffine(levels, whole, (SIDE, SIDE)) > 0.5
    return (changed, float(scale / factor)) if changed.any() else (np.ascontiguousarray(start), float(scale))
