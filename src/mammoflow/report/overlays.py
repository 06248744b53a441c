"""Pictures of lesions with reference, predicted outline and prompt: best, middle and worst of each model."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from pandera.pandas import DataFrameSchema
from skimage.measure import find_contours

from mammoflow.errors import StudyError
from mammoflow.evaluation.segmentation_diameter import case_numbers
from mammoflow.evaluation.segmentation_summary import ORACLE, prompt_labels
from mammoflow.report.segmentation import prompt_words
from mammoflow.segmentation.prompting.points import read_points
from mammoflow.storage.files import read_image, read_mask
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import MASKS, SEGMENTATION_SCORES

SURROUNDINGS = 2.2
"""Side of a picture, as a multiple of the longest side of the lesion's box."""

AROUND = 1.12
"""Smallest side of a picture, as a multiple of the longest side of the box around lesion and prompt."""

LEAST_SIDE_MM = 30.0
PICTURE_PX = 420
JPEG_QUALITY = 88
PROMPT_COLUMNS = ("prompt_y0", "prompt_x0", "prompt_y1", "prompt_x1")


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


def overlays(images: list[Path], masks: list[Path], count: int) -> list[Overlay]:
    """Draw lesions of the test split (of all splits where that has none) for each model, at the default margin.

    Parameters
    ----------
    images
        Folders of the image stage, one for each shard.
    masks
        Folders of the segmentation, one for each model and shard, in the order of the models.
    count
        Number of lesions for each model.
    """
    lesions = _joined(images, "lesions.parquet", CANONICAL_LESIONS)
    films = _joined(images, "images.parquet", CANONICAL_IMAGES).set_index("image_id")
    predicted = _held_out(_joined(masks, "masks.parquet", MASKS), lesions, images)
    if lesions.empty or predicted.empty or count == 0:
        return []
    scores = _held_out(_joined(masks, "scores.parquet", SEGMENTATION_SCORES), lesions, images)
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


def _joined(folders: list[Path], name: str, schema: DataFrameSchema) -> pd.DataFrame:
    """Join the shards of a table and add the folder that the files of each row are relative to."""
    tables = [read_table(folder / name, schema).assign(folder=str(folder)) for folder in folders]
    filled = [table for table in tables if len(table)] or tables[:1]
    if not filled:
        raise StudyError(f"no folder holds {name}; expected the folders of at least one shard")
    return pd.concat(filled, ignore_index=True)


def _held_out(table: pd.DataFrame, lesions: pd.DataFrame, images: list[Path]) -> pd.DataFrame:
    """Return a table without what a fold says of lesions that it was trained on, in a run that makes every fold."""
    run = images[0].parents[1]
    folders = table["folder"].map(lambda folder: Path(os.path.relpath(folder, run)).parts[0])
    if "fold" not in lesions.columns or not folders.str.startswith("fold-").any():
        return table
    tested = "fold-" + table["lesion_id"].map(lesions.set_index("lesion_id")["fold"].astype("string"))
    return table[~folders.str.startswith("fold-") | (folders == tested).fillna(False)].reset_index(drop=True)


def _overlay(row: pd.Series, film: pd.Series, rank: str) -> Overlay:
    image = read_image(Path(film["folder"]) / film["image_file"])
    rows, columns = _window(row, film, (image.shape[0], image.shape[1]))
    crop = image[rows, columns]
    reference = ""
    if pd.notna(row["mask_file_lesion"]):
        reference = outline(read_mask(Path(row["folder_lesion"]) / row["mask_file_lesion"])[rows, columns])
    elif pd.isna(row["dice"]):
        reference = _box_path(row[["y0", "x0", "y1", "x1"]], rows.start, columns.start)
    facts = [str(row["lesion_type"]), {1: "malignant", 0: "benign"}.get(row["malignant"], "label unknown")]
    if pd.notna(row["birads"]):
        facts.append(f"BI-RADS {int(row['birads'])}")
    if pd.notna(row["diameter_mm"]):
        facts.append(f"{row['diameter_mm']:.0f} mm")
    return Overlay(
        model=str(row["model"]),
        case=int(row["case"]),
        rank=rank,
        dice=float(row["dice"]) if pd.notna(row["dice"]) else float("nan"),
        mark=ORACLE if ORACLE in (row["choice"], row["head_choice"]) else "",
        prompted=_prompted(row),
        facts=", ".join(facts),
        picture=_jpeg(crop),
        width=crop.shape[1],
        height=crop.shape[0],
        reference=reference,
        predicted=outline(read_mask(Path(row["folder"]) / row["mask_file"])[rows, columns]),
        box=_box_path(_prompt_box(row), rows.start, columns.start) if len(_prompt_box(row)) else "",
        points=_points(row, rows.start, columns.start),
    )


def _prompted(row: pd.Series) -> str:
    """Describe the prompt in words."""
    prompts = row["prompts"] if pd.notna(row["prompts"]) else "prompt"
    margin = row["margin_mm"] if pd.notna(row["margin_mm"]) else None
    return prompt_words({"prompts": prompts, "margin_mm": margin, "field_of_view": row["field_of_view"]})


def _prompt_box(row: pd.Series) -> pd.Series:
    """Return the prompt's box y0, x0, y1, x1 in canonical pixels; empty where the prompt has none."""
    box = row.reindex(list(PROMPT_COLUMNS)).astype("float64")
    return box if box.notna().all() else box[:0]


def _points(row: pd.Series, top: int, left: int) -> list[tuple[float, float, bool]]:
    """Return the prompt's points as (x, y, on the lesion) from a corner of the image."""
    text = row.get("prompt_points")
    points = read_points(text) if isinstance(text, str) else []
    return [(x - left, y - top, label == 1) for y, x, label in points]


def _window(row: pd.Series, film: pd.Series, size: tuple[int, int]) -> tuple[slice, slice]:
    """Return a square around the lesion's box and the prompt, moved and cut so that it is inside the image."""
    lesion = row[["y0", "x0", "y1", "x1"]].astype("float64").to_numpy()
    corners = [*lesion.reshape(2, 2), *_prompt_box(row).to_numpy().reshape(-1, 2)]
    corners += [np.array([y, x]) for x, y, _ in _points(row, 0, 0)]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    least = LEAST_SIDE_MM / float(film["row_spacing_mm"])
    side = round(max(SURROUNDINGS * np.ptp(lesion.reshape(2, 2), axis=0).max(), AROUND * (high - low).max(), least))
    starts = (np.clip(round((low[axis] + high[axis] - side) / 2), 0, max(0, size[axis] - side)) for axis in (0, 1))
    rows, columns = (slice(int(start), min(int(start) + side, size[axis])) for axis, start in enumerate(starts))
    return rows, columns


def _box_path(box: pd.Series, top: int, left: int) -> str:
    y0, x0, y1, x1 = (float(value) for value in box)
    return f"M{x0 - left:.1f} {y0 - top:.1f}H{x1 - left:.1f}V{y1 - top:.1f}H{x0 - left:.1f}Z"


def outline(mask: npt.NDArray[np.bool_]) -> str:
    """Return the outline of a mask (height, width) as SVG path data; pixel i covers [i, i + 1)."""
    padded = np.pad(mask, 1).astype(np.float32)
    paths = []
    for contour in find_contours(padded, 0.5):
        # In find_contours the centre of a pixel has its index as coordinate; the padding adds one.
        points = " ".join(f"{x - 0.5:.1f} {y - 0.5:.1f}" for y, x in contour[:-1])
        paths.append(f"M{points}Z")
    return "".join(paths)


def _jpeg(crop: npt.NDArray[np.generic]) -> str:
    """Stretch a crop to 8 bit between its 1st and 99.5th percentile and return it as a JPEG data URI."""
    grey = crop.astype(np.float32)
    low, high = np.percentile(grey, [1, 99.5])
    grey = np.clip((grey - low) / max(float(high - low), 1.0), 0, 1) * 255
    scale = PICTURE_PX / max(grey.shape)
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = np.clip(cv2.resize(grey, size, interpolation=method), 0, 255).astype(np.uint8)
    done, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise StudyError("a lesion's picture could not be encoded as JPEG; check the OpenCV installation")
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
