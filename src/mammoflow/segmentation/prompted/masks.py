"""The masks that features and classifiers use: one file for each lesion, and the rows of their table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.segmentation.prompted.refinement import Refined
from mammoflow.storage.files import array_digest, write_mask
from mammoflow.storage.names import file_name
from mammoflow.tables.prompts import BOX

COLUMNS = ["lesion_id", "image_id", "patient_id", "model", "field_of_view", "prompt_id", "choice", "head_choice"]
PROMPT_COLUMNS = [*BOX, "points"]


class MaskWriter:
    """Writes the chosen masks of the default prompts and collects rows of the table MASKS.

    Parameters
    ----------
    folder
        Folder of the shard; masks go to `mask/` in it.
    default_ids
        Ids of the prompts whose masks later stages use.

    Attributes
    ----------
    rows
        The rows so far.
    """

    def __init__(self, folder: Path, default_ids: frozenset[str]) -> None:
        self.folder, self.default_ids = folder, default_ids
        self.rows: list[dict[str, Any]] = []

    def write(
        self,
        table: pd.DataFrame,
        prompts: pd.DataFrame,
        refined: Refined,
        chosen: npt.NDArray[np.int64],
        pixel_mm2: float,
    ) -> None:
        """Write the masks of those that are default prompts.

        Parameters
        ----------
        table
            Columns of the scores, one row for each prompt.
        prompts
            Rows of the table PROMPTS, in the same order.
        refined
            Their masks.
        chosen
            (N,) the chosen iteration, from 0.
        pixel_mm2
            Area of a canonical pixel.
        """
        joined = table[COLUMNS].join(prompts[PROMPT_COLUMNS].add_prefix("prompt_"))
        for index, row in enumerate(joined.to_dict("records")):
            if row["prompt_id"] not in self.default_ids:
                continue
            mask = refined.masks[chosen[index], index]
            file = f"mask/{file_name(row['lesion_id'])}.png"
            write_mask(self.folder / file, mask)
            self.rows.append(
                {
                    **{str(key): value for key, value in row.items()},
                    "mask_file": file,
                    "digest": array_digest(mask),
                    "iteration": int(chosen[index]) + 1,
                    "area_mm2": np.count_nonzero(mask) * pixel_mm2,
                    "predicted_iou": float(refined.predicted_iou[chosen[index], index]),
                }
            )
