"""The references that the masks of one image are held to, and the rows of their scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.errors import StudyError
from mammoflow.segmentation.prompt_sources import BOX
from mammoflow.segmentation.scores import Masks, Overlap, box_mask, overlap
from mammoflow.store import read_mask


class References:
    """The reference masks of an image's lesions; a lesion of a study of boxes has its box.

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
        self.pixel_mm2 = float(image["row_spacing_mm"]) * float(image["column_spacing_mm"])
        self.masks: dict[str, Masks] = {}
        self.has_mask: dict[str, bool] = {}
        self.patient: dict[str, str] = dict(zip(lesions.index.astype(str), lesions["patient_id"], strict=True))
        for lesion_id, lesion in lesions.iterrows():
            file = lesion["mask_file"]
            self.has_mask[str(lesion_id)] = not pd.isna(file)
            if pd.isna(file):
                self.masks[str(lesion_id)] = box_mask(lesion[BOX].to_numpy(dtype=np.float64), size)
                continue
            mask = read_mask(folder / file)
            if mask.shape != size:
                raise StudyError(f"mask {folder / file} is {mask.shape}, expected {size}; run the image stage again")
            self.masks[str(lesion_id)] = mask

    def patients(self, lesion_ids: list[str]) -> list[str]:
        """Return the patient of each lesion."""
        return [self.patient[lesion_id] for lesion_id in lesion_ids]

    def score(self, lesion_ids: list[str], masks: Masks) -> Overlap:
        """Score masks (N, height, width) of N lesions; against a box only whether it was missed is defined."""
        scored = overlap(masks, np.stack([self.masks[lesion_id] for lesion_id in lesion_ids]))
        has_mask = np.array([self.has_mask[lesion_id] for lesion_id in lesion_ids], dtype=np.bool_)
        dice, iou = (np.where(has_mask, values, np.nan) for values in (scored.dice, scored.iou))
        return Overlap(dice, iou, scored.area, scored.missed)


def score_rows(
    table: pd.DataFrame, scored: Overlap, predicted_iou: npt.NDArray[np.floating], pixel_mm2: float
) -> list[dict[str, Any]]:
    """Return rows of the table SEGMENTATION_SCORES: a row of `table` with the scores of its mask."""
    filled = table.assign(
        dice=scored.dice,
        iou=scored.iou,
        predicted_iou=predicted_iou,
        area_mm2=scored.area * pixel_mm2,
        missed=scored.missed,
    )
    return [{str(name): value for name, value in row.items()} for row in filled.to_dict("records")]
