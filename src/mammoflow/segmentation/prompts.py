"""Prompts: a table of their own, so that margins and models cross freely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.config.segmentation import PromptSettings
from mammoflow.errors import StudyError
from mammoflow.tables import CANONICAL_IMAGES, CANONICAL_LESIONS, PROMPTS, empty_table, read_table, write_table

BOX = ["y0", "x0", "y1", "x1"]
"""Columns of a half-open box in canonical pixels."""


def expand_boxes(
    boxes: npt.NDArray[np.float64],
    margin_mm: float,
    spacing_mm: npt.NDArray[np.float64],
    sizes: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Add a margin on each side of boxes and clip them to their images.

    Parameters
    ----------
    boxes
        (N, 4): y0, x0, y1, x1 in canonical pixels, half-open.
    margin_mm
        Margin in millimetres, the same on each side.
    spacing_mm
        (N, 2): row and column spacing of each box's image in millimetres.
    sizes
        (N, 2): height and width of each box's image in pixels.

    Returns
    -------
    ndarray
        (N, 4), as `boxes`.
    """
    margin = margin_mm / spacing_mm
    low = np.clip(boxes[:, :2] - margin, 0, sizes)
    high = np.clip(boxes[:, 2:] + margin, 0, sizes)
    return np.concatenate([low, high], axis=1)


def prompt_name(lesion_id: str, margin_mm: float) -> str:
    """Return the id of a box prompt: the same lesion and margin have the same name in every run."""
    return f"{lesion_id}@box+{margin_mm:g}mm"


def box_prompts(images: pd.DataFrame, lesions: pd.DataFrame, margins_mm: list[float]) -> pd.DataFrame:
    """Make box prompts from the reference boxes, one row a lesion and margin.

    Parameters
    ----------
    images, lesions
        Tables CANONICAL_IMAGES and CANONICAL_LESIONS of one shard.
    margins_mm
        Margins in millimetres, added on each side.

    Returns
    -------
    DataFrame
        Table PROMPTS, lesion by lesion.

    Raises
    ------
    StudyError
        If a lesion's image is not among the images, or a box has no pixel on its image.
    """
    if lesions.empty:
        return empty_table(PROMPTS)
    absent = sorted(set(lesions["image_id"]) - set(images["image_id"]))
    if absent:
        raise StudyError(f"lesions name images that the images table lacks: {absent[:5]}; run the image stage again")
    frame = lesions[["lesion_id", "image_id", *BOX]].merge(
        images[["image_id", "height", "width", "row_spacing_mm", "column_spacing_mm"]], on="image_id", how="left"
    )
    boxes = frame[BOX].to_numpy(dtype=np.float64)
    spacing = frame[["row_spacing_mm", "column_spacing_mm"]].to_numpy(dtype=np.float64)
    sizes = frame[["height", "width"]].to_numpy(dtype=np.float64)
    tables = []
    for margin in margins_mm:
        table = frame[["lesion_id", "image_id"]].assign(kind="box", margin_mm=float(margin))
        table[BOX] = expand_boxes(boxes, margin, spacing, sizes)
        table.insert(0, "prompt_id", [prompt_name(lesion, margin) for lesion in table["lesion_id"]])
        tables.append(table)
    prompts = pd.concat(tables, ignore_index=True)
    empty = prompts[(prompts["y1"] <= prompts["y0"]) | (prompts["x1"] <= prompts["x0"])]
    if not empty.empty:
        raise StudyError(
            f"boxes without a pixel on their image: {empty['prompt_id'].head().to_list()}; expected boxes inside the "
            "image, as the image stage writes them; run it again"
        )
    order = {lesion: index for index, lesion in enumerate(frame["lesion_id"])}
    return prompts.sort_values("lesion_id", key=lambda ids: ids.map(order), kind="stable", ignore_index=True)


def make_prompts(settings: PromptSettings, images: Path, output: Path) -> None:
    """Write the prompts of a shard.

    Parameters
    ----------
    settings
        Margins.
    images
        Folder of the shard's canonical images, with `images.parquet` and `lesions.parquet`.
    output
        Parquet file of the table PROMPTS.
    """
    table = box_prompts(
        read_table(images / "images.parquet", CANONICAL_IMAGES),
        read_table(images / "lesions.parquet", CANONICAL_LESIONS),
        settings.margins_mm,
    )
    write_table(table, PROMPTS, output)
