"""Images that an automatic model is trained on: which there are, and each with its reference on the network's grid."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.errors import StudyError
from mammoflow.imaging.geometry import Mask
from mammoflow.segmentation.embedding.embeddings import read_canonical
from mammoflow.segmentation.protocol.network_input import NetworkInput
from mammoflow.storage.files import read_mask
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS, FULLY_ANNOTATED
from mammoflow.training.batching import Rows

Grey = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class TrainingImages:
    """The images of the training side whose reference is complete; images without a lesion are among them.

    Attributes
    ----------
    images
        Rows of CANONICAL_IMAGES with the columns `folder`, that of their shard, and `masks`, the paths of the reference
        masks of all lesions on the image.
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
        """Return the rows of the images of a split."""
        return np.flatnonzero(self.images["split"] == split)

    def with_lesions(self, split: str) -> Rows:
        """Return the rows of the images of a split that have a lesion."""
        has_lesion = self.images["masks"].map(len) > 0
        return np.flatnonzero((self.images["split"] == split) & has_lesion)

    def patients(self, split: str) -> list[str]:
        """Return the patients of a split, as `source/patient`."""
        chosen = self.images.iloc[self.rows(split)]
        return sorted(set(chosen["source"] + "/" + chosen["patient_id"]))

    def content(self) -> str:
        """Return what is trained on as text: other images, lesions, splits or spacings give another one."""
        names = self.images["masks"].map(lambda paths: " ".join(path.name for path in paths))
        columns = ["image_id", "split", "digest", "row_spacing_mm", "column_spacing_mm"]
        return str(self.images[columns].assign(masks=names).to_csv(index=False))

    def spacing_mm(self, row: int) -> tuple[float, float]:
        """Return (row, column) spacing of an image in millimetres."""
        image = self.images.iloc[row]
        return float(image["row_spacing_mm"]), float(image["column_spacing_mm"])

    def size(self, row: int) -> tuple[int, int]:
        """Return (height, width) of an image."""
        image = self.images.iloc[row]
        return int(image["height"]), int(image["width"])

    def read(self, row: int, network_input: NetworkInput) -> tuple[Grey, Mask]:
        """Read an image and the union of its lesions' masks, both on the network's grid.

        Raises
        ------
        StudyError
            If a file is missing or does not have the size of the image.
        """
        image, size, spacing = self.images.iloc[row], self.size(row), self.spacing_mm(row)
        grey = network_input.place(read_canonical(Path(image["folder"]) / image["image_file"], size), spacing)
        lesions = np.zeros(grey.shape, dtype=np.bool_)
        for path in image["masks"]:
            mask = read_mask(path)
            if mask.shape != size:
                raise StudyError(f"mask {path} is {mask.shape}, expected {size}; run the image stage again")
            lesions |= network_input.place_mask(mask, spacing)
        return grey, lesions


def read_training_images(folders: list[Path]) -> TrainingImages:
    """Read the training and validation images of image-stage shards.

    Raises
    ------
    StudyError
        If no image with a lesion is there to train on, or none to validate on.
    """
    tables, left_out = [], 0
    for folder in folders:
        images = read_table(folder / "images.parquet", CANONICAL_IMAGES)
        lesions = read_table(folder / "lesions.parquet", CANONICAL_LESIONS)
        images = images[images["split"].isin(["train", "validation"])]
        incomplete = images["image_id"].isin(lesions.loc[lesions["mask_file"].isna(), "image_id"])
        if FULLY_ANNOTATED in images.columns:
            incomplete |= ~images[FULLY_ANNOTATED]
        left_out += int(incomplete.sum())
        paths: dict[str, list[Path]] = {}
        for image_id, file in lesions[["image_id", "mask_file"]].itertuples(index=False, name=None):
            if not pd.isna(file):
                paths.setdefault(str(image_id), []).append(folder / str(file))
        complete = images[~incomplete]
        masks = pd.Series([paths.get(image_id, []) for image_id in complete["image_id"]], complete.index, dtype=object)
        tables.append(complete.assign(folder=str(folder), masks=masks))
    training = TrainingImages(pd.concat(tables).sort_values("image_id", ignore_index=True), left_out)
    for split in ("train", "validation"):
        if not len(training.with_lesions(split)):
            raise StudyError(
                f"no {split} image with a lesion and all its masks in {len(folders)} image shards; expected at least "
                "one to train on and one to choose epoch and threshold on"
            )
    if left_out:
        print(f"{left_out} training images are left out: the reference of a lesion is not complete", file=sys.stderr)
    return training
