"""A trained classifier of several classes applied to further images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.classification.application import TrainedClassifier, load_seed, predict_logits
from mammoflow.classification.cases import Cases
from mammoflow.classification.classes.learner import ClassClassifier
from mammoflow.classification.classes.probabilities import probabilities_of
from mammoflow.classification.samples import Files, Job, Samples
from mammoflow.config.base import validate_settings
from mammoflow.config.classification import INPUTS, ClassifierSettings
from mammoflow.config.from_run import RECORD
from mammoflow.errors import ConfigError
from mammoflow.run.runtime import choose_device
from mammoflow.storage.files import read_json
from mammoflow.storage.intermediate import temporary_folder
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS


class TrainedClassClassifier(TrainedClassifier):
    """A classifier of several classes as its training left it."""

    counted = "images"

    @classmethod
    def read(cls, folder: Path) -> TrainedClassClassifier:
        """Read the record of a training.

        Raises
        ------
        ConfigError
            If the classifier is one of malignancy, or its input needs more than images.
        StudyError
            If the record is missing or damaged.
        """
        record = read_json(folder / RECORD)
        settings = validate_settings(ClassifierSettings, record["settings"], f"the record {folder / RECORD}")
        if settings.target != "classes":
            raise ConfigError(f"classifier {folder.name} predicts the malignancy of lesions; expected target: classes")
        further = sorted(set(settings.needs()) - {"images", "classes"})
        if further:
            raise ConfigError(
                f"classifier {folder.name} also reads {', '.join(further)}, which single pictures lack; expected one "
                "whose input is whole_image without an overlay"
            )
        return cls(folder, settings, record)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of `cohort.classes`."""
        return tuple(str(name) for name in self.record["classes"])

    def _own_facts(self) -> dict[str, Any]:
        """Return the names of the classes; there is no threshold."""
        return {"classes": list(self.classes)}


def apply_class_classifier(trained: TrainedClassClassifier, images: Path, threads: int) -> pd.DataFrame:
    """Predict the class of every image of a folder with each seed of a trained classifier.

    On a device of the same kind, the probabilities of the images of its run are those in its
    `class_predictions.parquet`.

    Parameters
    ----------
    trained
        The classifier.
    images
        Folder of canonical images, as the image stage writes it.
    threads
        Processors to use.

    Returns
    -------
    DataFrame
        Indexed by `image_id`, a column for each class: the calibrated probability, as the mean over the seeds.

    Raises
    ------
    WeightsError
        If the weights of a seed do not fit the classifier, or are not those of their record.
    """
    settings, cases = trained.settings, _read_images(images)
    device = choose_device(settings.device)
    of_seeds = []
    with temporary_folder("mammoflow-classify-") as cache:
        read = INPUTS.load(settings.input).read
        samples: Samples = read(settings.input_options, cases, Files([images]), Job(cache, threads, device))
        count = len(trained.classes)
        for seed in trained.seeds:
            classifier = load_seed(trained, samples, seed, ClassClassifier, count).to(device)
            logits = predict_logits(trained, seed, classifier, samples, device, (count,))
            of_seeds.append(probabilities_of(logits, float(trained.record["seeds"][str(seed)]["temperature"])))
    return pd.DataFrame(np.mean(of_seeds, axis=0), index=cases.images["image_id"], columns=list(trained.classes))


def _read_images(folder: Path) -> Cases:
    """Read the images of a folder without their lesions."""
    images = read_table(folder / "images.parquet", CANONICAL_IMAGES).assign(folder=str(folder))
    lesions = read_table(folder / "lesions.parquet", CANONICAL_LESIONS).head(0)
    return Cases(lesions.assign(image_index=np.zeros(0, dtype=int)), images.reset_index(drop=True))
