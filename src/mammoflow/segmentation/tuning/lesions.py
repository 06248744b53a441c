"""Lesions to tune on: which there are, and the prompts that are drawn for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.cohort.table_files import records
from mammoflow.config.prompts import PromptKind
from mammoflow.config.tuning import TuneSettings
from mammoflow.errors import StudyError
from mammoflow.imaging.geometry import Mask
from mammoflow.segmentation.prompting.boxes import expand_boxes, jitter_box
from mammoflow.segmentation.prompting.points import deepest_point, lesion_points, lesion_region, united
from mammoflow.storage.files import read_mask, text_digest
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS, FULLY_ANNOTATED
from mammoflow.tables.prompts import BOX
from mammoflow.training.batching import Rows
from mammoflow.training.sources import check_ids, of_sources

Floats = npt.NDArray[np.float64]

EMPTY = "empty"
"""Column of the lesions that says that a row is an image without a lesion: its mask is empty."""


@dataclass(frozen=True)
class TuningLesions:
    """The lesions of the training side that have a reference mask; those of test patients are not among them.

    Images without a lesion are among the training rows where they were asked for (`with_empty_images`).

    Attributes
    ----------
    images
        Rows of CANONICAL_IMAGES with the column `folder`, that of their shard.
    lesions
        Rows of CANONICAL_LESIONS with the columns `folder` and `image_index`, the row of their image.
    on_images
        Rows of CANONICAL_LESIONS, with `folder`, of every lesion on these images, whether or not it is tuned on.
    """

    images: pd.DataFrame
    lesions: pd.DataFrame
    on_images: pd.DataFrame

    def rows(self, split: str) -> Rows:
        """Return the rows of a split, those of images without a lesion among them."""
        return np.flatnonzero(self.lesions["split"] == split)

    def lesion_rows(self, split: str) -> Rows:
        """Return the rows of the lesions of a split, without those of images that have none."""
        is_lesion = ~self.lesions[EMPTY].astype(bool) if EMPTY in self.lesions.columns else True
        return np.flatnonzero((self.lesions["split"] == split) & is_lesion)

    def patients(self, split: str) -> list[str]:
        """Return the patients of a split, as `source/patient`."""
        chosen = self.lesions.iloc[self.rows(split)]
        return sorted(set(chosen["source"] + "/" + chosen["patient_id"]))

    @property
    def phantom(self) -> bool:
        """Tell whether any of the lesions is of a phantom study."""
        return "phantom" in self.lesions.columns and bool(self.lesions["phantom"].any())

    def content(self) -> str:
        """Return what is trained on as text: other lesions, references, splits, images or spacings give another one.

        The references of lesions that are not trained on count as well, because points are drawn beside them.
        """
        lesions = self.lesions[["lesion_id", "split", *BOX, "area_mm2", "diameter_mm"]]
        of_images = ["digest", "colour_digest", "row_spacing_mm", "column_spacing_mm"]
        images = self.images[[name for name in of_images if name in self.images.columns]]
        of_references = ["lesion_id", "image_id", *BOX, "digest"]  # an earlier shard has no digests
        references = self.on_images[[name for name in of_references if name in self.on_images.columns]]
        return "\n".join(table.to_csv(index=False) for table in (lesions, images, references))

    def size(self, image: int) -> tuple[int, int]:
        """Return (height, width) of an image."""
        row = self.images.iloc[image]
        return int(row["height"]), int(row["width"])

    def spacing_mm(self, image: int) -> tuple[float, float]:
        """Return (row, column) spacing of an image in millimetres."""
        row = self.images.iloc[image]
        return float(row["row_spacing_mm"]), float(row["column_spacing_mm"])

    def mask(self, row: int) -> Mask:
        """Read the reference mask of a lesion.

        Raises
        ------
        StudyError
            If it does not have the size of its image.
        """
        lesion = self.lesions.iloc[row]
        size = self.size(int(lesion["image_index"]))
        if EMPTY in self.lesions.columns and lesion[EMPTY]:
            return np.zeros(size, dtype=np.bool_)
        path = Path(lesion["folder"]) / lesion["mask_file"]
        mask = read_mask(path)
        if mask.shape != size:
            raise StudyError(f"mask {path} is {mask.shape}, expected {size}; run the image stage again")
        return mask

    def neighbours(self, row: int) -> Mask | None:
        """Return the other lesions (height, width) on the image of a lesion; None where there is none."""
        lesion = self.lesions.iloc[row]
        size = self.size(int(lesion["image_index"]))
        on_image = self.on_images[self.on_images["image_id"] == lesion["image_id"]]
        return united(
            lesion_region(
                None if pd.isna(other["mask_file"]) else Path(other["folder"]) / other["mask_file"],
                np.array([other[name] for name in BOX], dtype=np.float64),
                size,
            )
            for other in records(on_image[on_image["lesion_id"] != lesion["lesion_id"]])
        )

    def box(self, row: int, margin_mm: float) -> Floats:
        """Return the box (4,) y0, x0, y1, x1 of a lesion with a margin, in canonical pixels, clipped to the image."""
        lesion = self.lesions.iloc[row]
        image = int(lesion["image_index"])
        spacing, size = np.array([self.spacing_mm(image)]), np.array([self.size(image)], dtype=np.float64)
        tight = np.array([[lesion[name] for name in BOX]], dtype=np.float64)
        return np.asarray(expand_boxes(tight, margin_mm, spacing, size)[0])


def read_lesions(folders: list[Path], settings: TuneSettings | None = None) -> TuningLesions:
    """Read the training and validation lesions with a mask of image-stage shards.

    Parameters
    ----------
    folders
        Folders of the shards.
    settings
        Says how many patients are taken of each side, and whether images without a lesion are trained on; None takes
        all patients, and lesions alone.

    Raises
    ------
    StudyError
        If there is none to train on or none to validate on, or two images have one id.
    """
    images, lesions, on_images = [], [], []
    for folder in folders:
        table = read_table(folder / "lesions.parquet", CANONICAL_LESIONS)
        used = table[table["mask_file"].notna() & table["split"].isin(["train", "validation"])]
        used = used[used["malignant"].notna()]  # lesions of unknown malignancy are in no training
        shown = read_table(folder / "images.parquet", CANONICAL_IMAGES)
        if settings is not None and settings.empty_images:
            used = with_empty_images(used, table, shown)
        images.append(shown.assign(folder=str(folder)))
        lesions.append(used.assign(folder=str(folder)))
        on_images.append(table.assign(folder=str(folder)))
    all_lesions = pd.concat(lesions, ignore_index=True).sort_values("lesion_id", ignore_index=True)
    if settings is not None:
        all_lesions = of_sources(all_lesions, settings.sources)
        all_lesions = _of_some_patients(all_lesions, "train", settings.patients, settings.seed)
        all_lesions = _of_some_patients(all_lesions, "validation", settings.validation_patients, settings.seed)
    all_images, on_image = (pd.concat(tables, ignore_index=True) for tables in (images, on_images))
    all_images = all_images[all_images["image_id"].isin(all_lesions["image_id"])]
    all_images = all_images.sort_values("image_id", ignore_index=True)
    on_image = on_image[on_image["image_id"].isin(all_lesions["image_id"])]
    check_ids(all_images)
    row_of = {image_id: row for row, image_id in enumerate(all_images["image_id"])}
    all_lesions["image_index"] = [row_of[image_id] for image_id in all_lesions["image_id"]]
    data = TuningLesions(all_images, all_lesions, on_image.reset_index(drop=True))
    for split in ("train", "validation"):
        if not len(data.lesion_rows(split)):
            raise StudyError(
                f"no {split} lesion with a mask in {len(folders)} image shards; expected at least one to tune on and "
                "one to stop by"
            )
    return data


def with_empty_images(lesions: pd.DataFrame, annotated: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Add a row for each training image without a lesion whose lesions are all known.

    Parameters
    ----------
    lesions
        Rows of CANONICAL_LESIONS to tune on.
    annotated
        All rows of CANONICAL_LESIONS of the shard.
    images
        Rows of CANONICAL_IMAGES of the shard.

    Returns
    -------
    DataFrame
        The lesions with the column `empty`; an added row has the id of its image and the box of its middle pixel.
    """
    normal = images[(images["split"] == "train") & ~images["image_id"].isin(annotated["image_id"])]
    if FULLY_ANNOTATED in normal.columns:
        normal = normal[normal[FULLY_ANNOTATED]]
    shared = [name for name in normal.columns if name in lesions.columns]
    rows, columns = normal["height"] // 2, normal["width"] // 2
    middle = {"y0": rows, "x0": columns, "y1": rows + 1, "x1": columns + 1}
    added = normal[shared].assign(lesion_id=normal["image_id"], area_mm2=0.0, diameter_mm=0.0, **middle)
    return pd.concat([lesions.assign(**{EMPTY: False}), added.assign(**{EMPTY: True})], ignore_index=True)


def _of_some_patients(lesions: pd.DataFrame, split: str, most: int | None, seed: int) -> pd.DataFrame:
    """Keep the lesions of at most so many patients of a split; those of fewer patients are part of those of more."""
    of_split = lesions["split"] == split
    names = lesions["source"] + "/" + lesions["patient_id"]
    drawn = sorted(set(names[of_split]), key=lambda name: text_digest("tuning patients", str(seed), name))
    return lesions[~of_split | names.isin(drawn[:most])].reset_index(drop=True)


@dataclass(frozen=True)
class DrawnPrompts:
    """The prompts of one lesion, all of one kind.

    Attributes
    ----------
    boxes
        (P, 4) x0, y0, x1, y1 in canonical pixels, or None for points alone.
    points
        (P, K, 2) x, y in canonical pixels, or None for boxes alone.
    labels
        (P, K): 1 on the lesion, 0 beside it, -1 for a place that is filled up.
    """

    boxes: Floats | None
    points: Floats | None
    labels: npt.NDArray[np.int64] | None


def draw_prompts(
    data: TuningLesions, row: int, kind: PromptKind, settings: TuneSettings, generator: np.random.Generator
) -> DrawnPrompts:
    """Draw the prompts of one lesion for one step: margin, jitter and points, each for itself.

    Parameters
    ----------
    data, row
        The lesion.
    kind
        Kind of these prompts.
    settings
        How many, the range of margins, the largest jitter, numbers of points.
    generator
        Of this lesion and step alone.
    """
    image = int(data.lesions["image_index"].iloc[row])
    spacing, size = data.spacing_mm(image), np.array(data.size(image), dtype=np.float64)
    mask = data.mask(row) if kind != "box" else None
    neighbours = data.neighbours(row) if kind != "box" and settings.negative_points else None
    boxes, points, labels = [], [], []
    for _ in range(settings.prompts):
        box = data.box(row, float(generator.uniform(settings.margins_mm[0], settings.margins_mm[1])))
        box = jitter_box(box, settings.jitter_mm / np.array(spacing), size, generator)
        boxes.append(box[[1, 0, 3, 2]])
        if mask is not None:
            counts = (settings.positive_points, settings.negative_points)
            drawn = lesion_points(mask, neighbours, box, spacing, counts, False, generator)
            if not mask.any():  # an image without a lesion is prompted at its middle
                drawn = [(size[0] / 2, size[1] / 2, 1)]
            drawn += [(0.0, 0.0, -1)] * (sum(counts) - len(drawn))
            points.append([[x, y] for y, x, _ in drawn])
            labels.append([label for *_, label in drawn])
    return DrawnPrompts(
        None if kind == "point" else np.stack(boxes),
        np.array(points, dtype=np.float64) if points else None,
        np.array(labels, dtype=np.int64) if labels else None,
    )


def exact_prompts(data: TuningLesions, row: int, kind: PromptKind, margin_mm: float) -> DrawnPrompts:
    """Return the prompt with which a lesion is validated: its exact box with a margin, its deepest point, or both."""
    boxes = points = labels = None
    if kind != "point":
        boxes = data.box(row, margin_mm)[[1, 0, 3, 2]][None]
    if kind != "box":
        y, x = deepest_point(data.mask(row), data.spacing_mm(int(data.lesions["image_index"].iloc[row])))
        points, labels = np.array([[[x, y]]]), np.ones((1, 1), dtype=np.int64)
    return DrawnPrompts(boxes, points, labels)
