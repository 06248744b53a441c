"""What a trained classifier leaves behind: predictions, learning curve, weights, and the record of the training."""

from __future__ import annotations

import importlib.metadata
import json
import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors.torch import save_file
from torch import Tensor, nn

from mammoflow.classification.cases import Cases
from mammoflow.classification.threshold import Threshold, area_under_curve, choose_threshold
from mammoflow.classification.training import Classifier, Plan
from mammoflow.config.classification import TrainingSettings
from mammoflow.storage.files import text_digest, write_text, writing
from mammoflow.tables.columns import SPLITS
from mammoflow.tables.files import write_table
from mammoflow.tables.predictions import PREDICTIONS

RECORDED_PACKAGES = ("mammoflow", "torch", "torchvision", "lightning", "efficientnet-pytorch", "numpy")


def training_state(output: Path, *inputs: str) -> Path:
    """Return the folder for the state of a training, apart from its outputs, and remove what others left there.

    The folder hangs on a digest of everything that the training depends on, so that a killed training goes on only
    where nothing has changed since. It lies outside `output`, because Snakemake deletes the outputs of a failed job.
    """
    root = output.parent / ".training" / output.name
    state = root / text_digest(*inputs)[:16]
    if root.is_dir():
        for other in root.iterdir():
            if other != state:
                shutil.rmtree(other, ignore_errors=True)
    state.mkdir(parents=True, exist_ok=True)
    return state


def remove_training_state(output: Path) -> None:
    """Remove the state of a training that has ended well."""
    root = output.parent / ".training"
    shutil.rmtree(root / output.name, ignore_errors=True)
    if root.is_dir() and not any(root.iterdir()):
        root.rmdir()


def case_digest(cases: Cases) -> str:
    """Return a digest of which lesions there are, how they are split and labelled."""
    return text_digest(cases.lesions[["lesion_id", "image_id", "split", "malignant"]].to_csv(index=False))


def lesion_threshold(cases: Cases, probabilities: npt.NDArray[np.float64]) -> Threshold:
    """Choose the threshold on the labelled validation lesions, and on nothing else."""
    chosen = (
        (cases.lesions["split"] == "validation").to_numpy() & np.isfinite(cases.labels) & np.isfinite(probabilities)
    )
    return choose_threshold(cases.labels[chosen], probabilities[chosen])


def parameter_counts(classifier: Classifier, whole: nn.Module) -> dict[str, int]:
    """Count the parameters that were trained, and all that a prediction runs through."""
    trainable = sum(parameter.numel() for parameter in classifier.parameters() if parameter.requires_grad)
    unique = {id(parameter): parameter.numel() for module in (classifier, whole) for parameter in module.parameters()}
    return {"trainable": trainable, "total": sum(unique.values())}


@dataclass(frozen=True)
class Outcome:
    """Everything that a training hands to `write_results`.

    Attributes
    ----------
    classifier
        With the weights of its best epoch.
    probabilities
        (lesions,) NaN where there is nothing to predict from.
    threshold
        Chosen on validation.
    history
        One row an epoch; with the column `phase` where there are several fits.
    chosen_epoch, resumed_from
        Of the last fit.
    parameters
        See `parameter_counts`.
    seconds
        Wall time of this process.
    notes
        What else the record should say, such as counts of fallbacks.
    """

    classifier: Classifier
    probabilities: npt.NDArray[np.float64]
    threshold: Threshold
    history: pd.DataFrame
    chosen_epoch: int
    resumed_from: int
    parameters: dict[str, int]
    seconds: float
    notes: dict[str, object] = field(default_factory=dict)


def write_results(output: Path, cases: Cases, settings: TrainingSettings, plan: Plan, outcome: Outcome) -> None:
    """Write model.safetensors, history.csv, training.json and predictions.parquet, each in one step."""
    record = _record(output.name, cases, settings, plan, outcome)
    text = json.dumps(record, indent=2, sort_keys=True)
    tensors: dict[str, Tensor] = {
        name: tensor.detach().cpu().contiguous().clone() for name, tensor in outcome.classifier.state_dict().items()
    }
    with writing(output / "model.safetensors") as temporary:
        save_file(tensors, str(temporary), metadata={"training": json.dumps(record, sort_keys=True)})
    with writing(output / "history.csv") as temporary:
        outcome.history.to_csv(temporary, index=False)
    write_text(output / "training.json", text + "\n")
    write_table(_predictions(output.name, cases, plan.seed, outcome), PREDICTIONS, output / "predictions.parquet")


def _predictions(model: str, cases: Cases, seed: int, outcome: Outcome) -> pd.DataFrame:
    known = np.isfinite(outcome.probabilities)
    predicted = pd.array((outcome.probabilities >= outcome.threshold.value).astype(int), dtype="Int64")
    predicted[~known] = pd.NA
    columns = cases.lesions[["lesion_id", "image_id", "patient_id", "split", "malignant"]]
    return columns.assign(
        model=model,
        seed=seed,
        probability=outcome.probabilities,
        threshold=outcome.threshold.value,
        predicted=predicted,
    )[list(PREDICTIONS.columns)]


def _record(model: str, cases: Cases, settings: TrainingSettings, plan: Plan, outcome: Outcome) -> dict[str, object]:
    validation = (cases.lesions["split"] == "validation").to_numpy() & np.isfinite(cases.labels)
    validation &= np.isfinite(outcome.probabilities)
    auc = area_under_curve(cases.labels[validation], outcome.probabilities[validation])
    return {
        "model": model,
        "settings": settings.model_dump(mode="json"),
        "n": {split: _counts(cases.lesions[cases.lesions["split"] == split]) for split in SPLITS},
        "epochs_run": len(outcome.history),
        "chosen_epoch": outcome.chosen_epoch,
        "resumed_from_epoch": outcome.resumed_from,
        "threshold": outcome.threshold.value,
        "threshold_origin": outcome.threshold.origin,
        "validation_auc": None if math.isnan(auc) else auc,
        "parameters": outcome.parameters,
        "seconds": round(outcome.seconds, 2),
        "device": str(plan.device),
        "precision": plan.precision,
        "versions": {name: importlib.metadata.version(name) for name in RECORDED_PACKAGES},
        **outcome.notes,
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
