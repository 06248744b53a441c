"""Pictures of lesions with reference, predicted outline and prompt: best, middle and worst of each model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mammoflow.evaluation.birads import assessment_words
from mammoflow.evaluation.segmentation_diameter import case_numbers
from mammoflow.evaluation.segmentation_summary import ORACLE, prompt_labels
from mammoflow.report.pictures import (
    PictureTables,
    box_path,
    outline,
    picture_uri,
    prompt_box,
    prompt_points,
    prompted,
)
from mammoflow.storage.files import read_image, read_mask

SURROUNDINGS = 2.2
"""Side of a picture, as a multiple of the longest side of the lesion's box."""

AROUND = 1.12
"""Smallest side of a picture, as a multiple of the longest side of the box around lesion and prompt."""

LEAST_SIDE_MM = 30.0
PICTURE_PX = 420
JPEG_QUALITY = 88


@dataclass(frozen=True)
class Overlay:
    """One lesion as a picture.

    Attributes
    ----------
    model
        Model of the outline.
    case
        Number of the lesion in `dice_by_diameter.csv`; it contains no patient id.
    rank
        `best`, `median`, `worst`, or "" where there is no Dice.
    dice
        Dice of the mask; `nan` where there is no reference.
    mark
        `oracle` where the reference chose the mask among several.
    prompted
        Kind, margin and source of the prompt.
    facts
        Further facts for the caption.
    picture
        JPEG of the crop as a data URI.
    width, height
        Size of the crop in canonical pixels, the unit of the outlines.
    reference, predicted, box
        Outlines and the prompt's box as SVG path data; "" where there is none.
    points
        The prompt's points as (x, y, on the lesion).
    """

    model: str
    case: int
    rank: str
    dice: float
    mark: str
    prompted: str
    facts: str
    picture: str
    width: int
    height: int
    reference: str
    predicted: str
    box: str
    points: list[tuple[float, float, bool]]


def choose_lesions(dice: pd.Series, count: int) -> list[tuple[str, str]]:
    """Return rank and lesion of the best, the middle and the worst by Dice, a third of `count` each.

    Parameters
    ----------
    dice
        Indexed by lesion.
    count
        Number of lesions; fewer are returned where there are fewer.
    """
    order = dice.sort_values(ascending=False, kind="stable").index.astype(str).tolist()
    if len(order) <= count:
        thirds = -(-len(order) // 3)
        names = ["best"] * thirds + ["median"] * (len(order) - 2 * thirds) + ["worst"] * thirds
        return list(zip(names, order, strict=False))
    worst, middle = count // 3, (count + 1) // 3
    best = count - worst - middle
    start = (len(order) - middle) // 2
    return [
        *(("best", lesion) for lesion in order[:best]),
        *(("median", lesion) for lesion in order[start : start + middle]),
        *(("worst", lesion) for lesion in order[len(order) - worst :]),
    ]


def overlays(tables: PictureTables, count: int) -> list[Overlay]:
    """Draw lesions of the test split (of all splits where that has none) for each model, at the default margin.

    Parameters
    ----------
    tables
        Of images and masks, the models in their order.
    count
        Number of lesions for each model.
    """
    lesions, films, predicted, scores = tables.lesions, tables.films, tables.masks, tables.scores
    if lesions.empty or predicted.empty or count == 0:
        return []
    keys = ["lesion_id", "model", "field_of_view", "prompt_id"]
    scored = scores[scores["chosen"]].assign(prompts=prompt_labels)[[*keys, "prompts", "margin_mm", "dice"]]
    rows = predicted.merge(scored, on=keys, how="left").merge(
        lesions.drop(columns=["image_id", "patient_id"]), on="lesion_id", suffixes=("", "_lesion")
    )
    rows = rows.assign(case=rows["lesion_id"].map(case_numbers(pd.Index(lesions["lesion_id"]))))
    rows = rows[rows["split"] == "test"] if (rows["split"] == "test").any() else rows
    pictures = []
    for _, part in rows.groupby("model", sort=False):
        of_model = part.set_index("lesion_id")
        dice = of_model["dice"].dropna()
        chosen = choose_lesions(dice, count) if len(dice) else [("", str(lesion)) for lesion in of_model.index[:count]]
        for rank, lesion in chosen:
            row = of_model.loc[[lesion]].iloc[0]
            pictures.append(_overlay(row, films.loc[[row["image_id"]]].iloc[0], rank))
    return pictures


def by_model(pictures: list[Overlay]) -> list[tuple[str, list[tuple[str, list[Overlay]]]]]:
    """Group pictures by model and then by rank, and keep the order of both."""
    models: dict[str, dict[str, list[Overlay]]] = {}
    for picture in pictures:
        models.setdefault(picture.model, {}).setdefault(picture.rank, []).append(picture)
    return [(model, list(ranks.items())) for model, ranks in models.items()]


def _overlay(row: pd.Series, film: pd.Series, rank: str) -> Overlay:
    image = read_image(Path(film["folder"]) / film["image_file"])
    rows, columns = _window(row, film, (image.shape[0], image.shape[1]))
    crop = image[rows, columns]
    reference = ""
    if pd.notna(row["mask_file_lesion"]):
        reference = outline(read_mask(Path(row["folder_lesion"]) / row["mask_file_lesion"])[rows, columns])
    elif pd.isna(row["dice"]):
        reference = box_path(row[["y0", "x0", "y1", "x1"]], rows.start, columns.start)
    facts = [str(row["lesion_type"]), {1: "malignant", 0: "benign"}.get(row["malignant"], "label unknown")]
    facts += [assessment_words(row)] if assessment_words(row) else []
    if pd.notna(row["diameter_mm"]):
        facts.append(f"{row['diameter_mm']:.0f} mm")
    return Overlay(
        model=str(row["model"]),
        case=int(row["case"]),
        rank=rank,
        dice=float(row["dice"]) if pd.notna(row["dice"]) else float("nan"),
        mark=ORACLE if ORACLE in (row["choice"], row["head_choice"]) else "",
        prompted=prompted(row),
        facts=", ".join(facts),
        picture=picture_uri(crop, PICTURE_PX, ".jpg", JPEG_QUALITY),
        width=crop.shape[1],
        height=crop.shape[0],
        reference=reference,
        predicted=outline(read_mask(Path(row["folder"]) / row["mask_file"])[rows, columns]),
        box=box_path(prompt_box(row), rows.start, columns.start) if len(prompt_box(row)) else "",
        points=prompt_points(row, rows.start, columns.start),
    )


def _window(row: pd.Series, film: pd.Series, size: tuple[int, int]) -> tuple[slice, slice]:
    """Return a square around the lesion's box and the prompt, moved and cut so that it is inside the image."""
    lesion = row[["y0", "x0", "y1", "x1"]].astype("float64").to_numpy()
    corners = [*lesion.reshape(2, 2), *prompt_box(row).to_numpy().reshape(-1, 2)]
    corners += [np.array([y, x]) for x, y, _ in prompt_points(row, 0, 0)]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    least = LEAST_SIDE_MM / float(film["row_spacing_mm"])
    side = round(max(SURROUNDINGS * np.ptp(lesion.reshape(2, 2), axis=0).max(), AROUND * (high - low).max(), least))
    starts = (np.clip(round((low[axis] + high[axis] - side) / 2), 0, max(0, size[axis] - side)) for axis in (0, 1))
    rows, columns = (slice(int(start), min(int(start) + side, size[axis])) for axis, start in enumerate(starts))
    return rows, columns
