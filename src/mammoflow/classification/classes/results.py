"""What a classifier of several classes leaves behind: predictions, learning curves, weights and records."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.classification.classes.cases import ImageClasses
from mammoflow.classification.classes.probabilities import macro_area, probabilities_of
from mammoflow.classification.results import (
    CONSTANT_BELOW,
    FURTHER_PACKAGES,
    OF_EACH_SEED,
    RECORD_FILE,
    SEEDS_FOLDER,
    WEIGHTS_FILE,
    Trained,
)
from mammoflow.config.classification import ClassifierSettings
from mammoflow.storage.files import write_text
from mammoflow.tables.classes import CLASS_PREDICTIONS
from mammoflow.tables.cohort import made_of_phantoms
from mammoflow.tables.files import write_table
from mammoflow.training.record import HISTORY_FILE, TrainingRecord, write_history, write_record, write_weights

CLASS_PREDICTIONS_FILE = "class_predictions.parquet"


@dataclass(frozen=True)
class ClassTrained(Trained):
    """What came of the training with one seed; the logits are (images, classes)."""

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """(images, classes) calibrated probabilities."""
        return probabilities_of(self.logits, self.temperature.value)


def write_class_results(
    output: Path,
    name: str,
    settings: ClassifierSettings,
    images: pd.DataFrame,
    classes: ImageClasses,
    trained: list[ClassTrained],
    facts: dict[str, object],
    threads: int,
) -> None:
    """Write class_predictions.parquet, history.csv, training.json, and weights and record of each seed.

    Parameters
    ----------
    output
        Folder of the classifier.
    name
        Its name in the tables.
    settings
        Its settings.
    images
        Table of images.
    classes
        Names of the classes, and the class of each image.
    trained
        One training for each seed.
    facts
        What the record says about the input and the counts.
    threads
        Processors that the job could use.
    """
    title = settings.title or name.replace("_", " ")
    shared = {"title": title, "note": settings.note, "classes": list(classes.names), **facts}
    by_seed: dict[str, dict[str, object]] = {}
    history: list[dict[str, Any]] = []
    for one in trained:
        folder, chosen = output / SEEDS_FOLDER / str(one.seed), _choices(images, classes, one)
        record = _record(name, settings, images, classes, one, threads, {**shared, **chosen})
        write_weights(folder / WEIGHTS_FILE, one.state, record)
        write_record(folder / RECORD_FILE, record, folder / WEIGHTS_FILE)
        by_seed[str(one.seed)] = {**chosen, **{key: getattr(record, key) for key in OF_EACH_SEED}}
        for phase, fitted in one.fits.items():
            history += [dict(row, seed=one.seed, phase=phase) for row in fitted.history]
    write_history(output / HISTORY_FILE, history)
    constant = any(bool(chosen["constant"]) for chosen in by_seed.values())
    values = {"model": name, "settings": settings.model_dump(mode="json"), **shared}
    summary = {**values, "constant": constant, "seeds": by_seed}
    write_text(output / "training.json", json.dumps(summary, indent=2, sort_keys=True) + "\n")
    tables = [_predictions(name, images, classes, one) for one in trained]
    write_table(pd.concat(tables, ignore_index=True), CLASS_PREDICTIONS, output / CLASS_PREDICTIONS_FILE)


def _predictions(model: str, images: pd.DataFrame, classes: ImageClasses, trained: ClassTrained) -> pd.DataFrame:
    """Return the rows of CLASS_PREDICTIONS of one seed: for each image one row a class."""
    count = len(classes.names)
    keys = images[["image_id", "patient_id", "split"]].assign(image_class=classes.named())
    rows = keys.loc[keys.index.repeat(count)].reset_index(drop=True)
    probabilities = np.clip(trained.probabilities, 0, 1)
    return rows.assign(
        model=model,
        seed=trained.seed,
        class_number=np.tile(np.arange(count), len(images)),
        predicted_class=list(classes.names) * len(images),
        probability=probabilities.reshape(-1),
    )[list(CLASS_PREDICTIONS.columns)]


def _choices(images: pd.DataFrame, classes: ImageClasses, trained: ClassTrained) -> dict[str, object]:
    """Return what was chosen and found with one seed."""
    probabilities, split = trained.probabilities, images["split"].to_numpy(dtype=object)
    known = np.isfinite(classes.numbers) & np.isfinite(probabilities).all(axis=1)
    sides = [known & (split == side) for side in ("train", "validation")]
    auc = macro_area(classes.numbers[sides[1]], probabilities[sides[1]])
    uncalibrated = probabilities_of(trained.logits)
    spread = [float(uncalibrated[side].std(axis=0).max()) for side in sides if np.count_nonzero(side) > 1]
    return {
        "seed": trained.seed,
        "epochs_run": sum(len(fitted.history) for fitted in trained.fits.values()),
        "temperature": trained.temperature.value,
        "temperature_origin": trained.temperature.origin,
        "validation_auc": None if math.isnan(auc) else auc,
        "constant": any(deviation < CONSTANT_BELOW for deviation in spread),
    }


def _record(
    name: str,
    settings: ClassifierSettings,
    images: pd.DataFrame,
    classes: ImageClasses,
    trained: ClassTrained,
    threads: int,
    facts: dict[str, object],
) -> TrainingRecord:
    """Return the record of the training with one seed."""
    sources = (images["source"] + "/" + images["patient_id"]).to_numpy(dtype=object)
    split, known = images["split"].to_numpy(dtype=object), np.isfinite(classes.numbers)
    train, validation = (sources[known & (split == side)].tolist() for side in ("train", "validation"))
    fitted, plan = trained.last_fit, trained.plan
    phantom, further = made_of_phantoms(images), trained.parameters
    record = TrainingRecord.of(
        name, settings, plan, fitted, threads, train, validation, phantom, further, facts, FURTHER_PACKAGES
    )
    return replace(record, seconds=round(sum(each.seconds for each in trained.fits.values()), 2))
