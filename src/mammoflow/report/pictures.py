"""Pictures of lesions and the outlines on them: what the overlays and the gallery of cases share."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from pandera.pandas import DataFrameSchema
from skimage.measure import approximate_polygon, find_contours

from mammoflow.errors import StudyError
from mammoflow.report.segmentation import prompt_words
from mammoflow.segmentation.prompting.points import read_points
from mammoflow.tables.files import empty_table, read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import MASKS, SEGMENTATION_SCORES

PROMPT_COLUMNS = ("prompt_y0", "prompt_x0", "prompt_y1", "prompt_x1")
MEDIA = {".jpg": ("image/jpeg", cv2.IMWRITE_JPEG_QUALITY), ".webp": ("image/webp", cv2.IMWRITE_WEBP_QUALITY)}


@dataclass(frozen=True)
class PictureTables:
    """The tables that pictures are made from, all shards joined; `folder` is what the files of a row are relative to.

    Attributes
    ----------
    lesions, films
        Of the schemas CANONICAL_LESIONS and CANONICAL_IMAGES; films are indexed by image.
    masks, scores
        Of the schemas MASKS and SEGMENTATION_SCORES; empty where no model has masks.
    default_model
        The model whose masks the features are computed on; "" where no model has masks.
    """

    lesions: pd.DataFrame
    films: pd.DataFrame
    masks: pd.DataFrame
    scores: pd.DataFrame
    default_model: str

    @classmethod
    def read(cls, images: Sequence[Path], masks: Sequence[Path]) -> PictureTables:
        """Read the tables of the folders of the image stage and of the segmentation, those of the default model first.

        In a run that makes every fold, masks and scores are those of the lesions that each fold held out.
        """
        lesions = joined(images, "lesions.parquet", CANONICAL_LESIONS)
        films = joined(images, "images.parquet", CANONICAL_IMAGES).set_index("image_id")
        if not masks:
            return cls(lesions, films, empty_table(MASKS), empty_table(SEGMENTATION_SCORES), "")
        made = (("masks.parquet", MASKS), ("scores.parquet", SEGMENTATION_SCORES))
        of_masks, scores = (held_out(joined(masks, name, schema), lesions, images) for name, schema in made)
        return cls(lesions, films, of_masks, scores, masks[0].parent.name)


def joined(folders: Sequence[Path], name: str, schema: DataFrameSchema) -> pd.DataFrame:
    """Join the shards of a table and add the folder that the files of each row are relative to."""
    tables = [read_table(folder / name, schema).assign(folder=str(folder)) for folder in folders]
    filled = [table for table in tables if len(table)] or tables[:1]
    if not filled:
        raise StudyError(f"no folder holds {name}; expected the folders of at least one shard")
    return pd.concat(filled, ignore_index=True)


def held_out(table: pd.DataFrame, lesions: pd.DataFrame, images: Sequence[Path]) -> pd.DataFrame:
    """Return a table without what a fold says of lesions that it was trained on, in a run that makes every fold."""
    run = images[0].parents[1]
    folders = table["folder"].map(lambda folder: Path(os.path.relpath(folder, run)).parts[0])
    if "fold" not in lesions.columns or not folders.str.startswith("fold-").any():
        return table
    tested = "fold-" + table["lesion_id"].map(lesions.set_index("lesion_id")["fold"].astype("string"))
    return table[~folders.str.startswith("fold-") | (folders == tested).fillna(False)].reset_index(drop=True)


def prompted(row: pd.Series) -> str:
    """Describe the prompt in words."""
    prompts = row["prompts"] if pd.notna(row["prompts"]) else "prompt"
    margin = row["margin_mm"] if pd.notna(row["margin_mm"]) else None
    return prompt_words({"prompts": prompts, "margin_mm": margin, "field_of_view": row["field_of_view"]})


def prompt_box(row: pd.Series) -> pd.Series:
    """Return the prompt's box y0, x0, y1, x1 in canonical pixels; empty where the prompt has none."""
    box = row.reindex(list(PROMPT_COLUMNS)).astype("float64")
    return box if box.notna().all() else box[:0]


def prompt_points(row: pd.Series, top: int, left: int) -> list[tuple[float, float, bool]]:
    """Return the prompt's points as (x, y, on the lesion) from a corner of the image."""
    text = row.get("prompt_points")
    points = read_points(text) if isinstance(text, str) else []
    return [(x - left, y - top, label == 1) for y, x, label in points]


def box_path(box: pd.Series, top: int, left: int) -> str:
    """Return a box y0, x0, y1, x1 as SVG path data from a corner of the image."""
    y0, x0, y1, x1 = (float(value) for value in box)
    return f"M{x0 - left:.1f} {y0 - top:.1f}H{x1 - left:.1f}V{y1 - top:.1f}H{x0 - left:.1f}Z"


def outline(mask: npt.NDArray[np.bool_], tolerance: float = 0.0) -> str:
    """Return the outline of a mask (height, width) as SVG path data; pixel i covers [i, i + 1).

    Parameters
    ----------
    mask
        The mask.
    tolerance
        Largest distance in pixels between the outline and a simpler one with fewer points (Douglas and Peucker,
        Cartographica 10, 1973); 0 keeps every point.
    """
    padded = np.pad(mask, 1).astype(np.float32)
    paths = []
    for contour in find_contours(padded, 0.5):
        # In find_contours the centre of a pixel has its index as coordinate; the padding adds one.
        kept = approximate_polygon(contour, tolerance) if tolerance > 0 else contour
        points = " ".join(f"{x - 0.5:.1f} {y - 0.5:.1f}" for y, x in kept[:-1])
        paths.append(f"M{points}Z")
    return "".join(paths)


def picture_uri(crop: npt.NDArray[np.generic], side_px: int, suffix: str, quality: int, enlarge: bool = True) -> str:
    """Stretch a crop to 8 bit between its 1st and 99.5th percentile and return it as a data URI.

    Parameters
    ----------
    crop
        (height, width), any grey scale.
    side_px
        Longest side of the picture.
    suffix
        `.jpg` or `.webp`.
    quality
        Of the encoding, 0 to 100.
    enlarge
        Whether a smaller crop is enlarged to `side_px`; otherwise the browser does it.
    """
    grey = crop.astype(np.float32)
    low, high = np.percentile(grey, [1, 99.5])
    grey = np.clip((grey - low) / max(float(high - low), 1.0), 0, 1) * 255
    scale = side_px / max(grey.shape)
    if scale < 1 or enlarge:
        size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    media, option = MEDIA[suffix]
    done, encoded = cv2.imencode(suffix, np.clip(grey, 0, 255).astype(np.uint8), [option, quality])
    if not done:
        raise StudyError(f"a lesion's picture could not be encoded as {media}; check the OpenCV installation")
    return f"data:{media};base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
