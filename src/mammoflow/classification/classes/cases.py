"""The classes of the images that a classifier is trained on and predicts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.classification.samples import Samples
from mammoflow.config.split_names import SPLITS
from mammoflow.errors import StudyError
from mammoflow.tables.classes import IMAGE_CLASSES
from mammoflow.tables.files import read_table

COMMAND = "run the cohort stage again"


@dataclass(frozen=True)
class ImageClasses:
    """Names of the classes, and the class of each image.

    Attributes
    ----------
    names
        In the order of `cohort.classes`.
    numbers
        (images,) place of each image's class among the names; NaN where it is not known.
    """

    names: tuple[str, ...]
    numbers: npt.NDArray[np.float32]

    def named(self) -> npt.NDArray[np.object_]:
        """Return the name of each image's class (images,); None where it is not known."""
        names = [None if np.isnan(number) else self.names[int(number)] for number in self.numbers]
        return np.array(names, dtype=object)

    def counts(self, rows: npt.NDArray[np.intp]) -> dict[str, int]:
        """Count the images of each class among some rows."""
        return {name: int((self.numbers[rows] == number).sum()) for number, name in enumerate(self.names)}


def read_image_classes(file: Path | None, images: pd.DataFrame) -> ImageClasses:
    """Read the classes of some images.

    Parameters
    ----------
    file
        Table IMAGE_CLASSES of the cohort.
    images
        Table of images, in the order of the result.

    Raises
    ------
    StudyError
        If there is no table, an image is not in it, or it names fewer than two classes.
    """
    if file is None:
        raise StudyError(
            "a classifier with target: classes needs the classes of the images; pass --classes COHORT/classes.parquet"
        )
    table = read_table(file, IMAGE_CLASSES).set_index("image_id")
    strangers = sorted(set(images["image_id"]) - set(table.index))
    if strangers:
        raise StudyError(
            f"{len(strangers)} images are not in {file}, first {strangers[0]}; expected a row for each; {COMMAND}"
        )
    known = table.dropna(subset=["class_number"]).drop_duplicates("class_number").sort_values("class_number")
    places = known["class_number"].astype(int).tolist()
    if len(places) < 2 or places != list(range(len(places))):
        raise StudyError(
            f"{file} has images of the classes {known['image_class'].tolist()}; expected images of each of "
            f"cohort.classes, at least two; {COMMAND}, or take classes without images out of cohort.classes"
        )
    numbers = table["class_number"].reindex(images["image_id"]).to_numpy(dtype=np.float32, na_value=np.nan)
    return ImageClasses(tuple(known["image_class"].astype(str)), numbers)


def with_classes(samples: Samples, classes: ImageClasses) -> Samples:
    """Give the samples of an input, which are images, the numbers of their classes as labels.

    Raises
    ------
    StudyError
        If the input does not give one sample for each image.
    """
    if len(samples) != len(classes.numbers):
        raise StudyError(
            f"the input gives {len(samples)} samples for {len(classes.numbers)} images; expected one for each image"
        )
    samples.labels = classes.numbers
    samples.sample_of = np.arange(len(classes.numbers))
    return samples


def check_classes(samples: Samples, classes: ImageClasses, all_in_validation: bool) -> None:
    """Refuse a study on which the classes cannot be learned.

    Parameters
    ----------
    samples
        With the numbers of the classes as labels.
    classes
        Names of the classes.
    all_in_validation
        Whether the AUC on validation decides which epoch is kept, so that validation must hold every class.

    Raises
    ------
    StudyError
        If train lacks a class, validation is empty, or validation lacks a class that it must hold.
    """
    for split, needs_all in (("train", True), ("validation", all_in_validation)):
        counts = classes.counts(samples.labelled(split))
        missing = [name for name, count in counts.items() if not count]
        if missing if needs_all else len(missing) == len(counts):
            wanted = "images of every class" if needs_all else "some images with a class"
            raise StudyError(
                f"{split} has {', '.join(f'{count} {name}' for name, count in counts.items())} images; expected "
                f"{wanted} to train a classifier of classes. Add patients, change cohort.split, or take a class out of "
                "cohort.classes"
            )


def counts_by_split(samples: Samples, classes: ImageClasses, images: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count images, patients and classes of each split."""
    found = {}
    for split in SPLITS:
        rows = np.flatnonzero(samples.split == split)
        of_split = images.iloc[rows]
        counts = classes.counts(rows)
        found[split] = {
            "images": len(rows),
            "patients": int(of_split["patient_id"].nunique()),
            **counts,
            "without a class": len(rows) - sum(counts.values()),
        }
    return found
