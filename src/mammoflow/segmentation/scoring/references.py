"""The references with which the masks of one image are compared, and the rows of their scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.errors import StudyError
from mammoflow.segmentation.scoring.scores import Masks, Scores, box_mask, not_empty, overlap, score_masks
from mammoflow.segmentation.scoring.surfaces import CutMask
from mammoflow.storage.files import read_mask
from mammoflow.tables.prompts import BOX


class References:
    """The reference masks of an image's lesions; a lesion of a study of boxes has its box, at least one pixel.

    Parameters
    ----------
    folder
        Folder of the shard's canonical images.
    image
        Row of CANONICAL_IMAGES.
    lesions
        Its rows of CANONICAL_LESIONS that are prompted, indexed by lesion.

    Raises
    ------
    StudyError
        If a mask is missing or does not fit the image.
    """

    def __init__(self, folder: Path, image: Mapping[Any, Any], lesions: pd.DataFrame) -> None:
        size = (int(image["height"]), int(image["width"]))
        self.spacing = (float(image["row_spacing_mm"]), float(image["column_spacing_mm"]))
        self.pixel_mm2 = self.spacing[0] * self.spacing[1]
        self._cut: dict[str, CutMask] = {}
        self.masks: dict[str, Masks] = {}
        self.has_mask: dict[str, bool] = {}
        self.patient: dict[str, str] = dict(zip(lesions.index.astype(str), lesions["patient_id"], strict=True))
        for lesion_id, lesion in lesions.iterrows():
            file = lesion["mask_file"]
            self.has_mask[str(lesion_id)] = not pd.isna(file)
            if pd.isna(file):
                box = lesion[BOX].to_numpy(dtype=np.float64)
                self.masks[str(lesion_id)] = not_empty(box_mask(box, size), box)
                continue
            mask = read_mask(folder / file)
            if mask.shape != size:
                raise StudyError(f"mask {folder / file} is {mask.shape}, expected {size}; run the image stage again")
            self.masks[str(lesion_id)] = mask

    def patients(self, lesion_ids: list[str]) -> list[str]:
        """Return the patient of each lesion."""
        return [self.patient[lesion_id] for lesion_id in lesion_ids]

    def dice(self, lesion_ids: list[str], masks: Masks) -> npt.NDArray[np.float64]:
        """Return the Dice of masks (N, height, width) of N lesions; not defined against a box."""
        scored = overlap(masks, np.stack([self.masks[lesion_id] for lesion_id in lesion_ids]))
        has_mask = np.array([self.has_mask[lesion_id] for lesion_id in lesion_ids], dtype=np.bool_)
        return np.where(has_mask, scored.dice, np.nan)

    def score(self, lesion_ids: list[str], masks: Masks) -> Scores:
        """Score masks (N, height, width) of N lesions; against a box only area and missed are defined."""
        references = [self._reference(lesion_id) for lesion_id in lesion_ids]
        return score_masks(masks, references, [self.has_mask[lesion_id] for lesion_id in lesion_ids])

    def _reference(self, lesion_id: str) -> CutMask:
        """Return a lesion's reference cut to its box, kept for all masks that are compared with it."""
        if lesion_id not in self._cut:
            self._cut[lesion_id] = CutMask.of(self.masks[lesion_id], self.spacing)
        return self._cut[lesion_id]


def score_rows(table: pd.DataFrame, scored: Scores, predicted_iou: npt.NDArray[np.floating]) -> list[dict[str, Any]]:
    """Return rows of the table SEGMENTATION_SCORES: a row of `table` with the scores of its mask."""
    columns = {"predicted_iou": predicted_iou, **scored.columns()}
    added = zip(*(values.tolist() for values in columns.values()), strict=True)
    return [
        {str(name): value for name, value in row.items()} | dict(zip(columns, values, strict=True))
        for row, values in zip(table.to_dict("records"), added, strict=True)
    ]
