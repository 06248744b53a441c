"""What a trained classifier leaves behind: predictions, learning curves, weights, and the records of its trainings."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit
from torch import Tensor

from mammoflow.classification.calibration import Temperature, fit_temperature
from mammoflow.classification.cases import Cases
from mammoflow.classification.threshold import Threshold, area_under_curve, choose_threshold
from mammoflow.config.classification import ClassifierSettings, Covariate
from mammoflow.config.operating_point import ThresholdSettings
from mammoflow.config.split_names import SPLITS
from mammoflow.storage.files import text_digest, write_text
from mammoflow.tables.cohort import made_of_phantoms
from mammoflow.tables.files import read_tables, write_table
from mammoflow.tables.masks import SEGMENTATION_SCORES
from mammoflow.tables.predictions import PREDICTIONS
from mammoflow.training.loop import Fit
from mammoflow.training.plan import Plan
from mammoflow.training.record import HISTORY_FILE, TrainingRecord, write_history, write_record, write_weights

FURTHER_PACKAGES = ("efficientnet-pytorch", "efficientnet-lite-pytorch")

WEIGHTS_FILE = "model.safetensors"
RECORD_FILE = "record.json"
SEEDS_FOLDER = "seeds"
"""Folder of a classifier that holds one folder for each seed, with its weights and the record of its training."""

OF_EACH_SEED = (
    "chosen_epoch", "resumed_from", "trainable_parameters", "total_parameters", "seconds", "device", "precision",
    "peak_memory_bytes", "versions",
)  # fmt: skip
"""What `training.json` takes from the record of each seed."""

CONSTANT_BELOW = 1e-3
"""Standard deviation of the probabilities below which a classifier counts as constant: it tells no lesion from another.
"""


@dataclass(frozen=True)
class Trained:
    """What came of the training with one seed.

    Attributes
    ----------
    seed
        The seed.
    state
        Weights of the kept epoch, by name.
    logits
        (lesions,) of malignancy, before calibration; NaN where there is nothing to predict from.
    temperature
        What logits are divided by.
    fits
        Each phase of the training by name, in order.
    plan
        Of the last phase.
    parameters
        Numbers that were trained, and all that a prediction uses.
    facts
        What else the record of this seed says.
    """

    seed: int
    state: dict[str, Tensor]
    logits: npt.NDArray[np.float64]
    temperature: Temperature
    fits: dict[str, Fit]
    plan: Plan
    parameters: tuple[int, int]
    facts: dict[str, object]

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """(lesions,) calibrated probabilities of malignancy."""
        calibrated: npt.NDArray[np.float64] = expit(self.logits / self.temperature.value)
        return calibrated

    @property
    def last_fit(self) -> Fit:
        """The fit of the last phase."""
        return list(self.fits.values())[-1]


def case_digest(cases: Cases) -> str:
    """Return a digest of what the case table says of the lesions: ids, sides, labels and covariates."""
    columns = ["lesion_id", "image_id", "source", "patient_id", "split", "malignant", *get_args(Covariate)]
    return text_digest(cases.lesions[columns].to_csv(index=False))


def lesion_threshold(
    cases: Cases, probabilities: npt.NDArray[np.float64], settings: ThresholdSettings | None = None
) -> Threshold:
    """Choose the threshold on the labelled validation lesions, and on nothing else."""
    chosen = _labelled(cases, "validation", probabilities)
    return choose_threshold(cases.labels[chosen], probabilities[chosen], settings)


def lesion_temperature(cases: Cases, logits: npt.NDArray[np.float64], malignant_weight: float) -> Temperature:
    """Fit the temperature on the labelled validation lesions, and on nothing else."""
    chosen = _labelled(cases, "validation", logits)
    return fit_temperature(cases.labels[chosen], logits[chosen], malignant_weight)


def is_constant(cases: Cases, probabilities: npt.NDArray[np.float64]) -> bool:
    """Tell whether the probabilities of the training or of the validation lesions hardly differ.

    Lesions of a single image tell nothing, because some inputs give them one probability.
    """
    sides = [_labelled(cases, split, probabilities) for split in ("train", "validation")]
    several = [side for side in sides if cases.lesions.loc[side, "image_id"].nunique() > 1]
    return any(float(np.std(probabilities[side])) < CONSTANT_BELOW for side in several)


def _labelled(cases: Cases, split: str, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return (lesions,) which lesions of a split have a label and a probability."""
    return (cases.lesions["split"] == split).to_numpy() & np.isfinite(cases.labels) & np.isfinite(probabilities)


def seen_test_patients(cases: Cases, scores: list[Path]) -> int | None:
    """Return how many test patients the segmentation model behind masks or features has seen in its own training.

    Parameters
    ----------
    cases
        The lesions.
    scores
        Score tables of the model; without any, nothing is known.
    """
    if not scores:
        return None
    table = read_tables(scores, SEGMENTATION_SCORES)
    test = set(cases.lesions.loc[cases.lesions["split"] == "test", "patient_id"])
    return len(test & set(table.loc[table["seen"], "patient_id"]))


def write_results(
    output: Path,
    name: str,
    settings: ClassifierSettings,
    cases: Cases,
    trained: list[Trained],
    facts: dict[str, object],
    threads: int,
    unlabelled: Sequence[str] = (),
) -> None:
    """Write predictions.parquet, history.csv, training.json, and weights and record of each seed, each in one step.

    Parameters
    ----------
    output
        Folder of the classifier.
    name
        Its name in the tables.
    settings
        Its settings.
    cases
        The lesions.
    trained
        One training for each seed.
    facts
        What the record says about the input.
    threads
        Processors that the job could use.
    unlabelled
        Source and patient of the training samples without a label that were learned from; they count as seen.
    """
    shared = {
        "title": settings.title or name.replace("_", " "),
        "n": counts_by_split(cases),
        "note": settings.note,
        **facts,
    }
    by_seed: dict[str, dict[str, object]] = {}
    for one in trained:
        folder, chosen = output / SEEDS_FOLDER / str(one.seed), _choices(cases, one, settings)
        record = _record(name, settings, cases, one, threads, {**shared, **chosen}, unlabelled)
        write_weights(folder / WEIGHTS_FILE, one.state, record)
        write_record(folder / RECORD_FILE, record, folder / WEIGHTS_FILE)
        by_seed[str(one.seed)] = {**chosen, **{key: getattr(record, key) for key in OF_EACH_SEED}}
    rows: list[dict[str, Any]] = [
        dict(row, seed=one.seed, phase=phase)
        for one in trained
        for phase, fitted in one.fits.items()
        for row in fitted.history
    ]
    write_history(output / HISTORY_FILE, rows)
    constant = any(bool(chosen["constant"]) for chosen in by_seed.values())
    settings_values = settings.model_dump(mode="json")
    origins = sorted({str(chosen["threshold_origin"]) for chosen in by_seed.values()})
    summary = {
        "model": name,
        "settings": settings_values,
        **shared,
        "constant": constant,
        "threshold_origin": "; ".join(origins),
        "seeds": by_seed,
    }
    write_text(output / "training.json", json.dumps(summary, indent=2, sort_keys=True) + "\n")
    predictions = pd.concat([_predictions(name, settings, cases, one) for one in trained], ignore_index=True)
    write_table(predictions, PREDICTIONS, output / "predictions.parquet")


def _predictions(model: str, settings: ClassifierSettings, cases: Cases, trained: Trained) -> pd.DataFrame:
    threshold = lesion_threshold(cases, trained.probabilities, settings.threshold)
    predicted = pd.array((trained.probabilities >= threshold.value).astype(int), dtype="Int64")
    predicted[~np.isfinite(trained.probabilities)] = pd.NA
    columns = cases.lesions[["lesion_id", "image_id", "patient_id", "split", "malignant"]]
    return columns.assign(
        model=model,
        seed=trained.seed,
        probability=trained.probabilities,
        threshold=threshold.value,
        predicted=predicted,
    )[list(PREDICTIONS.columns)]


def _choices(cases: Cases, trained: Trained, settings: ClassifierSettings) -> dict[str, object]:
    """Return what was chosen and found with one seed."""
    threshold = lesion_threshold(cases, trained.probabilities, settings.threshold)
    validation = _labelled(cases, "validation", trained.probabilities)
    auc = area_under_curve(cases.labels[validation], trained.probabilities[validation])
    return {
        "seed": trained.seed,
        "epochs_run": sum(len(fitted.history) for fitted in trained.fits.values()),
        "threshold": threshold.value,
        "threshold_origin": threshold.origin,
        "temperature": trained.temperature.value,
        "temperature_origin": trained.temperature.origin,
        "validation_auc": None if math.isnan(auc) else auc,
        "constant": is_constant(cases, np.asarray(expit(trained.logits))),
        **trained.facts,
    }


def _record(
    name: str,
    settings: ClassifierSettings,
    cases: Cases,
    trained: Trained,
    threads: int,
    facts: dict[str, object],
    unlabelled: Sequence[str],
) -> TrainingRecord:
    """Return the record of the training with one seed."""
    sources = cases.lesions["source"] + "/" + cases.lesions["patient_id"]
    labelled = np.isfinite(cases.labels)
    patients = {split: sources[(cases.lesions["split"] == split) & labelled].tolist() for split in SPLITS}
    record = TrainingRecord.of(
        name,
        settings,
        trained.plan,
        trained.last_fit,
        threads,
        [*patients["train"], *unlabelled],
        patients["validation"],
        made_of_phantoms(cases.lesions),
        trained.parameters,
        facts,
        FURTHER_PACKAGES,
    )
    return replace(record, seconds=round(sum(fitted.seconds for fitted in trained.fits.values()), 2))


def counts_by_split(cases: Cases) -> dict[str, dict[str, int]]:
    """Count lesions, images, patients and labels of each split."""
    return {split: _counts(cases.lesions[cases.lesions["split"] == split]) for split in SPLITS}


def _counts(lesions: pd.DataFrame) -> dict[str, int]:
    return {
        "lesions": len(lesions),
        "images": lesions["image_id"].nunique(),
        "patients": lesions["patient_id"].nunique(),
        "malignant": int((lesions["malignant"] == 1).sum()),
        "benign": int((lesions["malignant"] == 0).sum()),
        "unknown": int(lesions["malignant"].isna().sum()),
    }
