"""What classifiers say of the classes of images: probabilities as means over seeds, and the class that each calls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.errors import StudyError
from mammoflow.evaluation.delong import Area, components
from mammoflow.evaluation.estimates import Scored
from mammoflow.evaluation.metrics import FloatArray, IntArray, patient_codes
from mammoflow.tables.classes import CLASS_PREDICTIONS
from mammoflow.tables.files import empty_table, read_tables

LARGEST_CLASS = "largest class"
"""Name of the floor that gives every image the class that most training images have."""


def read_class_predictions(files: Sequence[Path], images: pd.DataFrame) -> pd.DataFrame:
    """Read the predictions of all classifiers of classes, and add those of the floor.

    Parameters
    ----------
    files
        Tables CLASS_PREDICTIONS.
    images
        Images of the run: `image_id` and `split`.

    Raises
    ------
    StudyError
        If a table does not fit its schema, or belongs to another cohort.
    """
    if not files:
        return empty_table(CLASS_PREDICTIONS)
    table = read_tables(list(files), CLASS_PREDICTIONS)
    expected = table["image_id"].map(images.set_index("image_id")["split"])
    differing = table[(table["split"] != expected).fillna(True)]
    if len(differing):
        first = differing.iloc[0]
        raise StudyError(
            f"predictions of {first['model']} say split {first['split']!r} for image {first['image_id']}, the cohort "
            f"says {expected[differing.index[0]]!r}; run the classifiers again"
        )
    return pd.concat([table, _largest_class(table)], ignore_index=True)


def _largest_class(table: pd.DataFrame) -> pd.DataFrame:
    """Return predictions whose probabilities are the shares of the classes among the training images."""
    first = table[(table["model"] == table["model"].iloc[0])]
    rows = first[first["seed"] == first["seed"].iloc[0]]
    known = rows[(rows["split"] == "train") & rows["image_class"].notna()].drop_duplicates("image_id")
    shares = known["image_class"].value_counts(normalize=True)
    probability = rows["predicted_class"].map(shares).fillna(0.0) if len(known) else np.nan
    return pd.DataFrame(rows.assign(model=LARGEST_CLASS, seed=0, probability=probability))


def class_names(table: pd.DataFrame) -> list[str]:
    """Return the classes of a table of predictions, in the order of `cohort.classes`."""
    named = table.drop_duplicates("class_number").sort_values("class_number")
    return [str(name) for name in named["predicted_class"]]


@dataclass(frozen=True)
class ClassScored:
    """What a classifier says of some images whose class is known.

    Attributes
    ----------
    names
        Of the classes.
    images
        (images,) ids.
    label
        (images,) number of the class.
    probabilities
        (images, classes), means over seeds.
    patients
        (images,) number of the patient, or of the group of near copies that replaces one.
    seeds
        Number of trainings.
    without
        Images of known class without a probability.
    """

    names: Sequence[str]
    images: npt.NDArray[np.object_]
    label: IntArray
    probabilities: FloatArray
    patients: IntArray
    seeds: int
    without: int

    @classmethod
    def of(cls, table: pd.DataFrame, model: str, split: str = "test") -> ClassScored:
        """Take what a model says of the images of a split, from a table CLASS_PREDICTIONS."""
        names = class_names(table)
        rows = table[(table["model"] == model) & (table["split"] == split) & table["image_class"].notna()]
        wide = rows.pivot_table(
            index="image_id", columns="class_number", values="probability", aggfunc="mean", dropna=False
        )
        values = wide.reindex(columns=range(len(names))).to_numpy(dtype=np.float64)
        of_images = rows.drop_duplicates("image_id").set_index("image_id").loc[wide.index]
        scored = np.isfinite(values).all(axis=1)
        numbers = {name: number for number, name in enumerate(names)}
        label = of_images["image_class"].map(numbers).to_numpy(dtype=np.intp)
        patients, _ = patient_codes(of_images["patient_id"].tolist())
        return cls(
            names,
            wide.index.to_numpy(dtype=object)[scored],
            label[scored],
            values[scored],
            patients[scored],
            int(rows["seed"].nunique()),
            int((~scored).sum()),
        )

    @property
    def calls(self) -> IntArray:
        """(images,) number of the class with the highest probability; of equal ones the first."""
        if not len(self.label):
            return np.zeros(0, dtype=np.intp)
        found: IntArray = self.probabilities.argmax(axis=1)
        return found

    @property
    def right(self) -> FloatArray:
        """(images,) 1 where the call is the class of the image, else 0."""
        return np.asarray(self.calls == self.label, dtype=np.float64)

    def against_rest(self, number: int) -> Scored:
        """Return one class as the positive one and all others together as the negative one."""
        is_class = (self.label == number).astype(np.float64)
        called = (self.calls == number).astype(np.float64)
        return Scored(is_class, [self.probabilities[:, number]], [called], self.patients)

    def only(self, images: npt.NDArray[np.object_]) -> ClassScored:
        """Return what is said of some images, all of which are scored, in their order."""
        place = {image: row for row, image in enumerate(self.images)}
        rows = np.array([place[image] for image in images], dtype=np.intp)
        kept = (self.images[rows], self.label[rows], self.probabilities[rows], self.patients[rows])
        return ClassScored(self.names, *kept, self.seeds, self.without)

    def missing(self) -> list[str]:
        """Return the classes that no image has."""
        return [name for number, name in enumerate(self.names) if not (self.label == number).any()]

    def area_influence(self) -> tuple[float, FloatArray]:
        """Return the mean AUC of each class against the rest, and what each patient adds to its deviation.

        It is DeLong's decomposition, summed over the images of a patient and averaged over the classes: with the
        structural components V of an image for a class, the sum over its patient of (V - AUC) / (images of its side).
        """
        units, patients = patient_codes(self.patients)
        areas, influence = [], np.zeros(patients)
        for number in range(len(self.names)):
            is_class = self.label == number
            found = components(is_class.astype(np.float64), [self.probabilities[:, number]])
            areas.append(float(found[is_class].mean()))
            side = np.where(is_class, is_class.sum(), (~is_class).sum())
            influence += np.bincount(units, weights=(found - areas[-1]) / side, minlength=patients)
        return float(np.mean(areas)), influence / len(self.names)

    def mean_area(self) -> Area:
        """Return the mean AUC of each class against the rest, where every class occurs.

        Its degrees of freedom are the patients of the rarest class less one.
        """
        value, influence = self.area_influence()
        parts = [self.label == number for number in range(len(self.names))]
        clusters = min((len(np.unique(self.patients[part])), len(np.unique(self.patients[~part]))) for part in parts)
        return Area(value, error_of_influence(influence), max(clusters[0] - 1, 1), *clusters)


def error_of_influence(influence: FloatArray) -> float:
    """Return the standard error of a value from what each patient adds to its deviation; NaN for one patient."""
    patients = len(influence)
    return math.sqrt(patients / (patients - 1) * float((influence**2).sum())) if patients > 1 else math.nan
