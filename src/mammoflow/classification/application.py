"""A trained classifier applied to further lesions, with the weights, calibration and threshold of its training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.special import expit
from torch import Tensor

from mammoflow.classification.batches import Loader
from mammoflow.classification.cases import Cases, read_cases
from mammoflow.classification.classifier import Classifier
from mammoflow.classification.learner import FLIPPED_AXES
from mammoflow.classification.network import Network, SharedNetwork
from mammoflow.classification.recorded_model import check_promptable, files_in_recorded_precision
from mammoflow.classification.results import RECORD_FILE, SEEDS_FOLDER, WEIGHTS_FILE
from mammoflow.classification.samples import Files, Job, Samples
from mammoflow.config.base import validate_settings
from mammoflow.config.classification import INPUTS, NETWORKS, ClassifierSettings
from mammoflow.config.from_run import RECORD, why_not
from mammoflow.errors import ConfigError, WeightsError
from mammoflow.run.runtime import choose_device
from mammoflow.storage.files import file_digest, read_json
from mammoflow.storage.intermediate import temporary_folder
from mammoflow.training.plan import choose_precision
from mammoflow.training.record import last_precision
from mammoflow.weights.checkpoint import read_state
from mammoflow.weights.seen_patients import recorded_digest

FRONT = "front."
"""Prefix of the tensors of a front in the weights of a seed."""


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier as its training left it.

    Attributes
    ----------
    folder
        Its folder in the run.
    settings
        Its settings.
    record
        Content of `training.json`.
    """

    folder: Path
    settings: ClassifierSettings
    record: dict[str, Any]

    counted: ClassVar[str] = "lesions"
    """What the record counts on the training side."""

    @classmethod
    def read(cls, folder: Path) -> TrainedClassifier:
        """Read the record of a training.

        Raises
        ------
        ConfigError
            If the classifier also takes features or words of the case table, which further lesions lack, or was itself
            applied and not trained.
        StudyError
            If the record is missing or damaged.
        """
        record = read_json(folder / RECORD)
        settings = validate_settings(ClassifierSettings, record["settings"], f"the record {folder / RECORD}")
        reason = why_not(record)
        if reason:
            raise ConfigError(
                f"classifier {folder.name} {reason}; expected one that its run trained, without vectors and covariates"
            )
        return cls(folder, settings, record)

    @property
    def seeds(self) -> list[int]:
        """Seeds that were trained."""
        return sorted(int(seed) for seed in self.record["seeds"])

    def weights(self, seed: int) -> Path:
        """Return the weights file of a seed."""
        return self.folder / SEEDS_FOLDER / str(seed) / WEIGHTS_FILE

    def facts(self) -> dict[str, Any]:
        """Return what an answer says about the classifier: calibration, threshold, and what it was trained on."""
        chosen = {str(seed): self.record["seeds"][str(seed)] for seed in self.seeds}
        first = read_json(self.folder / SEEDS_FOLDER / str(self.seeds[0]) / RECORD_FILE)
        patients = list(first.get("patients", []))
        return {
            "classifier": self.folder.name,
            "title": self.record["title"],
            "calibration": self.settings.calibrate,
            "temperature": {seed: one["temperature"] for seed, one in chosen.items()},
            **self._own_facts(),
            "validation_auc": {seed: one["validation_auc"] for seed, one in chosen.items()},
            "constant": bool(self.record["constant"]),
            "trained_on": {
                "sources": sorted({str(entry).partition("/")[0] for entry in patients}),
                "patients": len(patients),
                self.counted: self.record["n"]["train"][self.counted],
                "phantom": bool(first.get("phantom", False)),
            },
            "weights_sha256": {str(seed): file_digest(self.weights(seed)) for seed in self.seeds},
        }

    def _own_facts(self) -> dict[str, Any]:
        """Return the facts that depend on what the classifier predicts."""
        return {"threshold_origin": self.record["threshold_origin"]}


@dataclass(frozen=True)
class Applied:
    """What a trained classifier says about lesions.

    Attributes
    ----------
    cases
        The lesions.
    notes
        What its input noted, such as counts of fallbacks and the digest of the promptable model.
    rests_on_model
        Whether its input comes from masks or weights of a segmentation model.
    table
        One row for each lesion and seed, each seed in the order of the lesions: `lesion_id`, `seed`, `probability`
        (calibrated; NaN without an input), `threshold`.
    """

    cases: Cases
    notes: dict[str, object]
    rests_on_model: bool
    table: pd.DataFrame


def apply_classifier(trained: TrainedClassifier, files: Files, threads: int) -> pd.DataFrame:
    """Predict the lesions of some shards with each seed of a trained classifier; return the table of `Applied`.

    On a device of the same kind, the probabilities of the lesions of its run are those in its `predictions.parquet`.

    Parameters
    ----------
    trained
        The classifier.
    files
        What its input reads.
    threads
        Processors to use.

    Raises
    ------
    ConfigError
        If its input is of a promptable model that sees colours, and was not in the training, or the reverse; or if the
        device does not compute in the precision in which that model computed in the training.
    WeightsError
        If the weights of a seed do not fit, are not those of their record, or the input is of another promptable model.
    """
    return applied(trained, files, threads).table


def applied(trained: TrainedClassifier, files: Files, threads: int) -> Applied:
    """Do what `apply_classifier` does, and return also the lesions and what the input noted."""
    settings, cases = trained.settings, read_cases(files.images)
    device = choose_device(settings.device)
    tables = []
    with temporary_folder("mammoflow-classify-") as cache:
        job = Job(cache, threads, device)
        files = files_in_recorded_precision(trained.folder.name, trained.record, files, device)
        samples: Samples = INPUTS.load(settings.input).read(settings.input_options, cases, files, job)
        check_promptable(trained.folder.name, trained.record, samples.notes)
        for seed in trained.seeds:
            classifier = load_seed(trained, samples, seed).to(device)
            logits = predict_logits(trained, seed, classifier, samples, device)[samples.sample_of]
            tables.append(_table(trained, cases, seed, logits))
    table = pd.concat(tables, ignore_index=True)
    return Applied(cases, dict(samples.notes), samples.rests_on_model, table)


def load_seed(
    trained: TrainedClassifier, samples: Samples, seed: int, kind: type[Classifier] = Classifier, outputs: int = 0
) -> Classifier:
    """Return the classifier of a seed in evaluation mode; the front of the samples gets its weights too.

    Parameters
    ----------
    trained
        The classifier.
    samples
        What it is applied to.
    seed
        The seed.
    kind
        Class of the classifier.
    outputs
        Outputs of its head; 0 takes those of a classifier of malignancy.

    Raises
    ------
    WeightsError
        If the weights are missing, do not fit, or are not those of the record beside them.
    """
    settings, path = trained.settings, trained.weights(seed)
    state = read_state(path)
    front = {name.removeprefix(FRONT): tensor for name, tensor in state.items() if name.startswith(FRONT)}
    own = {name: tensor for name, tensor in state.items() if not name.startswith(FRONT)}
    member = NETWORKS.load(settings.network)
    numbers = samples[0]["vector"].shape[0] if member.TAKES == "vector" else 0
    network: Network = member.build(settings.network_options, None, numbers)
    if samples.combine is not None:
        network = SharedNetwork(network, samples.combine, samples[0]["picture"].shape[0])
    outputs = outputs or (2 if settings.outputs == "softmax" else 1)
    try:
        levels = own["mean"], own["deviation"]
        classifier = kind(network, *levels, 0, settings.dropout, settings.hidden, outputs)
        classifier.load_state_dict(own)
        if samples.front is not None:
            samples.front.load_state_dict(front)
    except (KeyError, RuntimeError) as error:
        raise WeightsError(
            f"weights {path} do not fit {settings.network}: {error}; train the classifier again"
        ) from error
    recorded_digest(path)
    return classifier.eval()


def predict_logits(
    trained: TrainedClassifier,
    seed: int,
    classifier: Classifier,
    samples: Samples,
    device: torch.device,
    shape: tuple[int, ...] = (),
) -> npt.NDArray[np.float64]:
    """Return the logits (samples, *shape), NaN without an input; in bf16 if training and this device use it, else fp32.

    Parameters
    ----------
    trained, seed
        The classifier, and a seed of its training.
    classifier
        In evaluation mode, on the device.
    samples
        What is predicted.
    device
        Where it is computed.
    shape
        Of the logits of one sample; () for malignancy, (classes,) for classes.
    """
    settings, front = trained.settings, samples.front
    here = choose_precision(device, front is not None and front.attention)
    recorded = last_precision(trained.record["seeds"][str(seed)]["precision"])
    half = recorded == "bf16-mixed" and (settings.precision == "bf16" or here == "bf16-mixed")
    if front is not None:
        front.mode(training=False)
    loader = Loader(samples, None, settings.batch_size, 0, 0, with_inputs=front is None)
    logits = np.full((len(samples), *shape), np.nan)
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=half):
        for batch in loader.plain(np.flatnonzero(samples.usable)):
            inputs = batch.inputs if front is None else front(batch.rows).inputs
            moved = {name: tensor.to(device) for name, tensor in inputs.items()}
            flips = FLIPPED_AXES[settings.test_time_flips] if front is None else [()]
            outputs = [classifier(_flipped(moved, axes)).float() for axes in flips]
            logits[batch.rows] = torch.stack(outputs).mean(dim=0).double().cpu().numpy()
    return logits


def _flipped(inputs: dict[str, Tensor], axes: tuple[int, ...]) -> dict[str, Tensor]:
    return {name: tensor.flip(axes) for name, tensor in inputs.items()} if axes else inputs


def _table(trained: TrainedClassifier, cases: Cases, seed: int, logits: npt.NDArray[np.float64]) -> pd.DataFrame:
    chosen = trained.record["seeds"][str(seed)]
    return pd.DataFrame(
        {
            "lesion_id": cases.lesions["lesion_id"],
            "seed": seed,
            "probability": expit(logits / float(chosen["temperature"])),
            "threshold": float(chosen["threshold"]),
        }
    )
