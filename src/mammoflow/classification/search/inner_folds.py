"""Inner folds: the training patients of a run, divided again, so that a search looks at no other patient."""

from __future__ import annotations

import copy
import shutil
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from mammoflow.classification.cases import Cases
from mammoflow.classification.samples import Files, Job, Samples
from mammoflow.cohort.splits import fold_of_patients
from mammoflow.config.classification import INPUTS, ClassifierSettings
from mammoflow.config.split import SplitSettings
from mammoflow.errors import StudyError
from mammoflow.storage.files import text_digest

MOST_INPUTS = 8
"""Inputs with different options that are kept at once; others are prepared again when a trial asks for them."""


def training_cases(cases: Cases) -> Cases:
    """Return the lesions and images of the training patients alone.

    Raises
    ------
    StudyError
        If there is none.
    """
    images = cases.images[cases.images["split"] == "train"].reset_index(drop=True)
    lesions = cases.lesions[cases.lesions["split"] == "train"].reset_index(drop=True)
    if lesions.empty:
        raise StudyError("no lesion is in train; expected some to search on. Change cohort.split, or add patients")
    row_of = {image_id: row for row, image_id in enumerate(images["image_id"])}
    return Cases(lesions.assign(image_index=lesions["image_id"].map(row_of).astype(int)), images)


@dataclass(frozen=True)
class InnerFolds:
    """The training patients in folds.

    Attributes
    ----------
    cases
        Their lesions and images; every one is in train.
    fold_of
        Fold of each patient, from 0.
    count
        Number of folds.
    """

    cases: Cases
    fold_of: dict[str, int]
    count: int

    @classmethod
    def draw(cls, cases: Cases, count: int, seed: int) -> InnerFolds:
        """Draw the folds by patient: those with a malignant lesion and those without one are spread evenly.

        Parameters
        ----------
        cases
            What `training_cases` returned.
        count
            Number of folds.
        seed
            Of the draw, which depends on it and on the ids of the patients, and not on the order of rows.

        Raises
        ------
        StudyError
            If there are fewer patients of a kind than folds.
        """
        together = pd.concat([cases.images[["patient_id", "source"]], cases.lesions[["patient_id", "source"]]])
        patients = together.drop_duplicates("patient_id", ignore_index=True)
        labels = cases.lesions.groupby("patient_id")["malignant"].max()
        label = patients["patient_id"].map(labels)
        patients = patients.assign(malignant=(label == 1).fillna(False).astype(bool), labelled=label.notna())
        known = patients[patients["labelled"]]
        malignant = int(known["malignant"].sum())
        fewest = min(malignant, len(known) - malignant)
        if fewest < count:
            raise StudyError(
                f"train has {malignant} patients with a malignant lesion and {len(known) - malignant} with benign ones "
                f"alone, and inner_folds is {count}; expected at least one of each kind in each inner fold. Set "
                f"inner_folds to {fewest} or less (2 at least), or add patients"
            )
        drawn = fold_of_patients(patients, SplitSettings(method="kfold", folds=count, seed=seed))
        return cls(cases, drawn, count)

    def cases_of(self, fold: int) -> Cases:
        """Return the cases with the held-out patients of a fold in validation and the others in train."""
        lesions, images = self.cases.lesions, self.cases.images
        return Cases(
            lesions.assign(split=self._sides(lesions["patient_id"], fold)),
            images.assign(split=self._sides(images["patient_id"], fold)),
        )

    def samples_of(self, samples: Samples, fold: int) -> Samples:
        """Return a view of prepared samples with the sides of a fold; it shares pictures and vectors with them."""
        view = copy.copy(samples)
        view.split = self._sides(self._patients(samples), fold)
        return view

    def _sides(self, patients: pd.Series, fold: int) -> npt.NDArray[np.object_]:
        held_out = patients.map(self.fold_of).to_numpy() == fold
        return np.where(held_out, "validation", "train").astype(object)

    def _patients(self, samples: Samples) -> pd.Series:
        """Return the patient of each sample: samples are the lesions, or the images."""
        patients: pd.Series = self.cases.table_of(samples.sample_of, len(samples))["patient_id"]
        return patients

    def counts(self) -> list[dict[str, int]]:
        """Return how many patients and lesions each fold holds out."""
        return [
            {
                "patients": held_out["patient_id"].nunique(),
                "lesions": len(held_out),
                "malignant": int((held_out["malignant"] == 1).sum()),
                "benign": int((held_out["malignant"] == 0).sum()),
            }
            for fold in range(self.count)
            for held_out in [self.cases.lesions[self.cases.lesions["patient_id"].map(self.fold_of) == fold]]
        ]


class PreparedInputs:
    """Samples of the training patients, prepared once for each input and its options.

    Parameters
    ----------
    cases
        What `training_cases` returned.
    files
        What earlier stages wrote.
    cache
        Folder for prepared inputs, of this search alone.
    threads, device
        As in `Job`.
    """

    def __init__(self, cases: Cases, files: Files, cache: Path, threads: int, device: torch.device) -> None:
        self.cases, self.files = cases, files
        self.job = Job(cache, threads, device)
        self.kept: OrderedDict[str, Samples] = OrderedDict()

    def of(self, settings: ClassifierSettings) -> Samples:
        """Return the samples that a classifier sees."""
        key = self._key(settings)
        if key not in self.kept:
            each_lesion = bool(settings.vectors or settings.covariates)
            job = replace(self.job, cache=self.job.cache / key, each_lesion=each_lesion)
            self.kept[key] = INPUTS.load(settings.input).read(settings.input_options, self.cases, self.files, job)
        self.kept.move_to_end(key)
        while len(self.kept) > MOST_INPUTS:
            self._remove(next(iter(self.kept)))
        return self.kept[key]

    def forget(self, settings: ClassifierSettings) -> None:
        """Prepare the samples of a classifier anew when they are asked for again, such as after a failed training."""
        self._remove(self._key(settings))

    def _remove(self, key: str) -> None:
        self.kept.pop(key, None)
        shutil.rmtree(self.job.cache / key, ignore_errors=True)

    def _key(self, settings: ClassifierSettings) -> str:
        each_lesion = bool(settings.vectors or settings.covariates)
        return text_digest(settings.input, settings.input_options.model_dump_json(), str(each_lesion))[:16]
