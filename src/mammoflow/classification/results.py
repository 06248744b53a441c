"""What a trained classifier leaves behind: predictions, learning curves, weights, and the records of its trainings."""

from __future__ import annotations

import importlib.metadata
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors.torch import save_file
from torch import Tensor

from mammoflow.classification.cases import Cases
from mammoflow.classification.threshold import Threshold, area_under_curve, choose_threshold
from mammoflow.config.classification import ClassifierSettings
from mammoflow.storage.files import text_digest, write_text, writing
from mammoflow.tables.columns import SPLITS
from mammoflow.tables.files import read_tables, write_table
from mammoflow.tables.masks import SEGMENTATION_SCORES
from mammoflow.tables.predictions import PREDICTIONS
from mammoflow.training.loop import Fit
from mammoflow.training.plan import Plan

RECORDED_PACKAGES = ("mammoflow", "torch", "torchvision", "efficientnet-pytorch", "numpy")

SEEDS_FOLDER = "seeds"
"""Folder of a classifier that holds one folder for each seed, with its weights and the record of its training."""

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
    tensors
        Weights of the kept epoch, by name.
    probabilities
        (lesions,) NaN where there is nothing to predict from.
    fits
        Each phase of the training by name, in order.
    plan
        Of the last phase.
    parameters
        Numbers that were trained (`trainable`), and all that a prediction uses (`total`).
    seconds
        Wall time of this process.
    notes
        What else the record of this seed says.
    """

    seed: int
    tensors: dict[str, Tensor]
    probabilities: npt.NDArray[np.float64]
    fits: dict[str, Fit]
    plan: Plan
    parameters: dict[str, int]
    seconds: float
    notes: dict[str, object]


def case_digest(cases: Cases) -> str:
    """Return a digest of which lesions there are, how they are split and labelled."""
    return text_digest(cases.lesions[["lesion_id", "image_id", "split", "malignant"]].to_csv(index=False))


def lesion_threshold(cases: Cases, probabilities: npt.NDArray[np.float64]) -> Threshold:
    """Choose the threshold on the labelled validation lesions, and on nothing else."""
    chosen = _labelled(cases, "validation", probabilities)
    return choose_threshold(cases.labels[chosen], probabilities[chosen])


def is_constant(cases: Cases, probabilities: npt.NDArray[np.float64]) -> bool:
    """Tell whether the probabilities of the training or of the validation lesions hardly differ."""
    deviations = [
        float(np.std(probabilities[_labelled(cases, split, probabilities)])) for split in ("train", "validation")
    ]
    return min(deviations) < CONSTANT_BELOW


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
    notes: dict[str, object],
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
    notes
        What the record says about the input.
    """
    shared = {
        "model": name,
        "title": settings.title or name.replace("_", " "),
        "settings": settings.model_dump(mode="json"),
        "n": {split: _counts(cases.lesions[cases.lesions["split"] == split]) for split in SPLITS},
        "versions": {package: importlib.metadata.version(package) for package in RECORDED_PACKAGES},
        **notes,
    }
    records = {str(one.seed): _record(cases, one) for one in trained}
    for one in trained:
        folder = output / SEEDS_FOLDER / str(one.seed)
        record = {**shared, "seed": one.seed, **records[str(one.seed)]}
        tensors = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in one.tensors.items()}
        with writing(folder / "model.safetensors") as temporary:
            save_file(tensors, str(temporary), metadata={"training": json.dumps(record, sort_keys=True)})
        write_text(folder / "record.json", _text(record))
    with writing(output / "history.csv") as temporary:
        pd.concat([_history(one) for one in trained], ignore_index=True).to_csv(temporary, index=False)
    constant = [record["constant"] for record in records.values()]
    write_text(output / "training.json", _text({**shared, "constant": any(constant), "seeds": records}))
    predictions = pd.concat([_predictions(name, cases, one) for one in trained], ignore_index=True)
    write_table(predictions, PREDICTIONS, output / "predictions.parquet")


def _text(record: dict[str, Any]) -> str:
    return json.dumps(record, indent=2, sort_keys=True) + "\n"


def _history(trained: Trained) -> pd.DataFrame:
    """Return one row for each epoch of each phase."""
    phases = [pd.DataFrame(fitted.history).assign(phase=phase) for phase, fitted in trained.fits.items()]
    joined = pd.concat(phases, ignore_index=True)
    joined.insert(0, "seed", trained.seed)
    return joined


def _predictions(model: str, cases: Cases, trained: Trained) -> pd.DataFrame:
    threshold = lesion_threshold(cases, trained.probabilities)
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


def _record(cases: Cases, trained: Trained) -> dict[str, Any]:
    """Return what the record says about one seed."""
    threshold = lesion_threshold(cases, trained.probabilities)
    validation = _labelled(cases, "validation", trained.probabilities)
    auc = area_under_curve(cases.labels[validation], trained.probabilities[validation])
    last = list(trained.fits.values())[-1]
    return {
        "epochs_run": sum(len(fitted.history) for fitted in trained.fits.values()),
        "chosen_epoch": last.chosen_epoch,
        "resumed_from_epoch": last.resumed_from,
        "threshold": threshold.value,
        "threshold_origin": threshold.origin,
        "validation_auc": None if math.isnan(auc) else auc,
        "constant": is_constant(cases, trained.probabilities),
        "parameters": trained.parameters,
        "seconds": round(trained.seconds, 2),
        "device": str(trained.plan.device),
        "precision": trained.plan.precision,
        "peak_memory_bytes": max(fitted.peak_memory for fitted in trained.fits.values()),
        **trained.notes,
    }


def _counts(lesions: pd.DataFrame) -> dict[str, int]:
    return {
        "lesions": len(lesions),
        "images": lesions["image_id"].nunique(),
        "patients": lesions["patient_id"].nunique(),
        "malignant": int((lesions["malignant"] == 1).sum()),
        "benign": int((lesions["malignant"] == 0).sum()),
        "unknown": int(lesions["malignant"].isna().sum()),
    }
