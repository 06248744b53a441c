"""Images that an automatic model is trained on: which there are, and each with its reference on the network's grid."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.config.few_labels import FewLabelsSettings
from mammoflow.errors import StudyError
from mammoflow.imaging.canonical import Levels
from mammoflow.imaging.geometry import Mask
from mammoflow.segmentation.automatic.pictures import read_placed
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.storage.files import read_mask
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS, FULLY_ANNOTATED
from mammoflow.training.batching import Rows
from mammoflow.training.few_labels import LabelCounts, drawn_patients
from mammoflow.training.sources import check_ids, of_sources

COMPLETE, PARTLY, UNLABELLED = "complete", "partly", "unlabelled"
"""What is known of an image: all of its lesions have a mask; some of what is on it; or nothing that is used."""


@dataclass(frozen=True)
class TrainingImages:
    """The images of the training side; images without a lesion are among them.

    Attributes
    ----------
    images
        Rows of CANONICAL_IMAGES with the columns `folder`, that of their shard; `masks`, the paths of the reference
        masks of lesions on the image; `boxes`, the boxes (y0, x0, y1, x1) of all its lesions; `boxes_only`, those of
        lesions without a mask; `measures`, area in mm² and diameter in mm of all its lesions; `malignancies`, 0, 1 or
        None (unknown) for each of `masks`; `fully_listed`, whether all its lesions are in the table of lesions;
        `labels`, one of COMPLETE, PARTLY and UNLABELLED.
    left_out
        Number of images of the training side whose reference is not complete: a lesion of them has a box only, or is
        not in the table of lesions.
    """

    images: pd.DataFrame
    left_out: int

    @property
    def phantom(self) -> bool:
        """Whether any of the images is a phantom's."""
        return "phantom" in self.images.columns and bool(self.images["phantom"].any())

    def rows(self, split: str) -> Rows:
        """Return the rows of the images of a split whose reference is complete and used."""
        return np.flatnonzero((self.images["split"] == split) & (self.images["labels"] == COMPLETE))

    def training_rows(self, partly: bool) -> Rows:
        """Return the rows of the training images, with those of which a part is annotated where wanted."""
        rows = self.rows("train")
        if not partly:
            return rows
        something = (self.images["boxes"].map(len) > 0) | self.images["fully_listed"]
        chosen = (self.images["split"] == "train") & (self.images["labels"] == PARTLY) & something
        return np.sort(np.concatenate([rows, np.flatnonzero(chosen)]))

    def unlabelled(self, partly: bool) -> Rows:
        """Return the rows of the training images of which no label is used; `partly` as for `training_rows`."""
        return np.setdiff1d(np.flatnonzero(self.images["split"] == "train"), self.training_rows(partly))

    def with_lesions(self, split: str) -> Rows:
        """Return the rows of the images of a split that have a lesion, with a complete reference."""
        rows = self.rows(split)
        return rows[(self.images["boxes"].map(len) > 0).to_numpy()[rows]]

    def patients(self, split: str) -> list[str]:
        """Return the patients of a split whose labels are used, as `source/patient`."""
        return self.patients_of(self.rows(split))

    def patients_of(self, rows: Rows) -> list[str]:
        """Return the patients of some rows, as `source/patient`."""
        chosen = self.images.iloc[rows]
        return sorted(set(chosen["source"] + "/" + chosen["patient_id"]))

    def supplementary_phantoms(self, rows: Rows) -> int:
        """Return how many of some images are phantoms' beside those of real patients; 0 where all are alike."""
        if "phantom" not in self.images.columns:
            return 0
        phantoms = int(self.images["phantom"].to_numpy(dtype=bool)[rows].sum())
        return phantoms if phantoms < len(rows) else 0

    def counts(self, partly: bool) -> LabelCounts:
        """Return how many training patients have labels that are used, and how many have none.

        `partly` as for `training_rows`.
        """
        labelled = set(self.patients_of(self.training_rows(partly)))
        return LabelCounts(len(labelled), len(set(self.patients_of(self.unlabelled(partly))) - labelled))

    def content(self) -> str:
        """Return what is trained on as text: other images, lesions, splits or spacings give another one.

        A mask counts with its name, and with area and diameter of its lesion.
        """
        names = self.images["masks"].map(lambda paths: " ".join(path.name for path in paths))
        columns = ["image_id", "split", "labels", "fully_listed", "digest", "row_spacing_mm", "column_spacing_mm"]
        columns += [name for name in ("colour_digest",) if name in self.images.columns]
        lists = {name: self.images[name].map(str) for name in ("boxes", "boxes_only", "measures")}
        return str(self.images[columns].assign(masks=names, **lists).to_csv(index=False))

    def spacing_mm(self, row: int) -> tuple[float, float]:
        """Return (row, column) spacing of an image in millimetres."""
        image = self.images.iloc[row]
        return float(image["row_spacing_mm"]), float(image["column_spacing_mm"])

    def size(self, row: int) -> tuple[int, int]:
        """Return (height, width) of an image."""
        image = self.images.iloc[row]
        return int(image["height"]), int(image["width"])

    def read_picture(self, row: int, network_input: NetworkInput) -> Levels:
        """Read an image on the network's grid (rows, columns), or (rows, columns, 3) in colours."""
        image = self.images.iloc[row].to_dict()
        return read_placed(Path(image["folder"]), image, network_input)

    def read_lesions(self, row: int) -> list[Mask]:
        """Read the masks of the lesions of an image, each (height, width).

        Raises
        ------
        StudyError
            If a file is missing or does not have the size of the image.
        """
        size, masks = self.size(row), []
        for path in self.images.iloc[row]["masks"]:
            mask = read_mask(path)
            if mask.shape != size:
                raise StudyError(f"mask {path} is {mask.shape}, expected {size}; run the image stage again")
            masks.append(mask)
        return masks

    def read(self, row: int, network_input: NetworkInput) -> tuple[Levels, Mask]:
        """Read an image and the union of its lesions' masks, both on the network's grid.

        Raises
        ------
        StudyError
            If a file is missing or does not have the size of the image.
        """
        picture = self.read_picture(row, network_input)
        lesions = np.zeros(picture.shape[:2], dtype=np.bool_)
        for mask in self.read_lesions(row):
            lesions |= network_input.place_mask(mask, self.spacing_mm(row))
        return picture, lesions


def read_training_images(
    folders: list[Path],
    few: FewLabelsSettings | None = None,
    boxes: bool = False,
    sources: Sequence[str] = (),
    references: bool = True,
) -> TrainingImages:
    """Read the training and validation images of image-stage shards.

    Parameters
    ----------
    folders
        Folders of the shards.
    few
        Which training patients keep their labels; None and a fraction of 1 keep all. The share is one of the training
        patients with an image whose reference is complete.
    boxes
        Whether the box of a lesion is reference enough on the training side, because a model turns it into a mask.
    sources
        Names of the data sets to read; none reads all.
    references
        Whether lesions are trained on; otherwise every image is complete, whatever is known of it.

    Raises
    ------
    StudyError
        If a name is not that of a data set, two images have one id, or no image is there to train on, or none to
        validate on; images need a lesion where lesions are trained on.
    """
    tables = [_read_shard(folder, boxes) for folder in folders]
    images = of_sources(pd.concat(tables).sort_values("image_id", ignore_index=True), sources)
    check_ids(images)
    if not references:
        images = images.assign(labels=COMPLETE)
    incomplete = int((images["labels"] != COMPLETE).sum())
    images = images[(images["split"] == "train") | (images["labels"] == COMPLETE)].reset_index(drop=True)
    if few is not None and few.fraction < 1:
        images = _with_hidden_labels(images, few)
    training = TrainingImages(images, incomplete)
    for split in ("train", "validation"):
        if not len(training.with_lesions(split) if references else training.rows(split)):
            needed = " with a lesion and all its masks" if references else ""
            use = "choose epoch and threshold on" if references else "validate on"
            raise StudyError(
                f"no {split} image{needed} in {len(folders)} image shards; expected at least one to train on and one "
                f"to {use}"
            )
    if incomplete:
        print(
            f"{incomplete} training images have a lesion whose reference is not complete; a training on complete "
            "references leaves them out",
            file=sys.stderr,
        )
    return training


def _read_shard(folder: Path, boxes_suffice: bool) -> pd.DataFrame:
    """Read the images of a shard with the masks and boxes of their lesions, and what is known of each."""
    images = read_table(folder / "images.parquet", CANONICAL_IMAGES)
    lesions = read_table(folder / "lesions.parquet", CANONICAL_LESIONS)
    images = images[images["split"].isin(["train", "validation"])]
    listed = images[FULLY_ANNOTATED] if FULLY_ANNOTATED in images.columns else pd.Series(True, index=images.index)
    has_box_only = images["image_id"].isin(lesions.loc[lesions["mask_file"].isna(), "image_id"])
    incomplete = (has_box_only & ~((images["split"] == "train") & boxes_suffice)) | ~listed
    masks: dict[str, list[Path]] = {}
    malignancies: dict[str, list[int | None]] = {}
    boxes: dict[str, list[tuple[float, ...]]] = {}
    boxes_only: dict[str, list[tuple[float, ...]]] = {}
    measures: dict[str, list[tuple[float, ...]]] = {}
    columns = ["image_id", "mask_file", "malignant", "area_mm2", "diameter_mm", "y0", "x0", "y1", "x1"]
    for image_id, file, malignant, area, diameter, *box in lesions[columns].itertuples(index=False):
        boxes.setdefault(str(image_id), []).append(tuple(map(float, box)))
        measures.setdefault(str(image_id), []).append((float(area), float(diameter)))
        if pd.isna(file):
            boxes_only.setdefault(str(image_id), []).append(tuple(map(float, box)))
        else:
            masks.setdefault(str(image_id), []).append(folder / str(file))
            malignancies.setdefault(str(image_id), []).append(None if pd.isna(malignant) else int(malignant))

    def of_images(lists: dict[str, Any]) -> pd.Series:
        return pd.Series([lists.get(str(one), []) for one in images["image_id"]], images.index, dtype=object)

    return images.assign(
        folder=str(folder),
        masks=of_images(masks),
        malignancies=of_images(malignancies),
        boxes=of_images(boxes),
        boxes_only=of_images(boxes_only),
        measures=of_images(measures),
        fully_listed=listed.astype(bool),
        labels=np.where(incomplete, PARTLY, COMPLETE),
    )


def _with_hidden_labels(images: pd.DataFrame, few: FewLabelsSettings) -> pd.DataFrame:
    """Return images in which the labels of training patients that are not drawn are not used."""
    training = images[images["split"] == "train"]
    if "phantom" in training.columns and not training["phantom"].all():
        training = training[~training["phantom"].astype(bool)]  # phantoms beside real patients keep their labels
    names = training["source"] + "/" + training["patient_id"]
    usable = training["labels"] == COMPLETE
    has_lesion = usable & (training["boxes"].map(len) > 0)  # with labels of boxes a lesion needs no mask
    lesions_of = has_lesion.groupby(names).any()
    complete = set(names[usable])
    strata = {
        str(patient): "with lesions" if has else "without lesions"
        for patient, has in lesions_of.items()
        if patient in complete
    }
    kept = drawn_patients(strata, few.fraction, few.draw)
    labels = images["labels"].to_numpy(dtype=object).copy()
    labels[training.index[~names.isin(kept).to_numpy()]] = UNLABELLED
    return images.assign(labels=labels)
