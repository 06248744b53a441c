"""The stage that trains a classifier, whatever its input, network and trainer, and predicts every lesion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mammoflow.classification.batches import Loader, choose_workers
from mammoflow.classification.calibration import Temperature
from mammoflow.classification.cases import Cases, read_cases
from mammoflow.classification.classifier import Classifier
from mammoflow.classification.covariates import covariate_vectors
from mammoflow.classification.few_labels import label_counts, patients_of, with_hidden_labels
from mammoflow.classification.front import Front
from mammoflow.classification.learner import ClassifierLearner, FrontLearner, predict_lesions
from mammoflow.classification.network import SharedNetwork
from mammoflow.classification.probes import with_shuffled_labels
from mammoflow.classification.results import Trained, case_digest, lesion_temperature, seen_test_patients, write_results
from mammoflow.classification.samples import Files, Job, Samples
from mammoflow.classification.vectors import FeatureVectors, feature_vectors
from mammoflow.config.classification import INPUTS, NETWORKS, ClassifierSettings
from mammoflow.config.training import TRAINERS
from mammoflow.errors import StudyError
from mammoflow.run.provenance import code_digest
from mammoflow.run.runtime import choose_device, seed_everything, set_threads
from mammoflow.storage.files import array_digest, file_digest
from mammoflow.training.learner import Learner
from mammoflow.training.loop import Fit, fit
from mammoflow.training.plan import OneCycle, Plan, Precision, choose_precision
from mammoflow.training.record import count_parameters
from mammoflow.training.state import FOLDER, remove_training_state, training_state
from mammoflow.weights.origin import weights_origin
from mammoflow.weights.registry import first_weights

CONSTANT_RATE = OneCycle(first_share=1.0, final_share=1.0)
"""A cycle whose ends are as high as its peak."""

CACHE_PREFIX = ".inputs-"
"""No classifier's name begins with a point."""


def train_classifier(settings: ClassifierSettings, name: str, files: Files, output: Path, threads: int) -> None:
    """Train a classifier with each of its seeds and predict every lesion.

    Parameters
    ----------
    settings
        Input, network, trainer, and how to train.
    name
        The classifier's name in the tables.
    files
        What earlier stages wrote: what the input and the feature vectors need.
    output
        Folder for predictions.parquet, history.csv, training.json and `seeds/`. The training state is beside it.
    threads
        Processors that this job may use.

    Raises
    ------
    StudyError
        If train lacks a class, validation is empty or lacks a class that its AUC needs, inputs are not finite, or the
        training gives no finite weights and predictions.
    LeakageError
        If a patient is in two splits, and the split does not leak on purpose.
    WeightsError
        If a weights file is missing or does not fit.
    SystemExit
        With code 143, after SIGTERM; the same call continues.
    """
    set_threads(threads)
    cases = read_cases(files.images)
    device = choose_device(settings.device)
    source = NETWORKS.load(settings.network).WEIGHTS
    weights = first_weights(settings.network, settings.weights, source, files.weights)
    cache = output.parent / FOLDER / f"{CACHE_PREFIX}{output.name}"
    job = Job(cache, threads, device, each_lesion=bool(settings.vectors or settings.covariates))
    shown = cases if settings.labels == "true" else with_shuffled_labels(cases, settings.seeds[0])
    shown = with_hidden_labels(shown, settings.few_labels)
    samples: Samples = INPUTS.load(settings.input).read(settings.input_options, shown, files, job)
    samples.check(settings.keep == "best_auc", settings.few_labels.fraction)
    vectors = join_vectors(settings, cases, files, samples)
    state = training_state(
        output,
        settings.model_dump_json(),
        file_digest(weights) if weights else "random weights",
        samples.digest,
        samples.rows_digest(),
        "no vectors" if vectors is None else array_digest(vectors.values),
        case_digest(cases),
        code=code_digest(*settings.modules(), *samples.further_modules),
    )
    training = Training(settings, name, cases, samples, vectors, device, choose_workers(threads, device), weights)
    trained = [training.run(seed, state / f"seed-{seed}") for seed in settings.seeds]
    facts = {"first_weights": weights_origin(weights, source), **_facts(settings, samples, vectors, cases, files)}
    facts |= {**label_counts(cases, samples).facts(settings.few_labels), "steps": training.steps}
    write_results(
        output, name, settings, cases, trained, facts, threads, _unlabelled_patients(settings, cases, samples)
    )
    remove_training_state(output.with_name(cache.name))
    remove_training_state(output)


def _unlabelled_patients(settings: ClassifierSettings, cases: Cases, samples: Samples) -> list[str]:
    """Return source and patient of each training sample that the trainer learns from without a label."""
    if not TRAINERS.load(settings.trainer).UNLABELLED:
        return []
    return patients_of(cases, samples, samples.unlabelled("train"))


def join_vectors(settings: ClassifierSettings, cases: Cases, files: Files, samples: Samples) -> FeatureVectors | None:
    """Return what joins the network's features: columns of feature families, and covariates."""
    training = samples.labelled("train")
    vectors = feature_vectors(settings.vectors, files.features, cases, training)
    if not settings.covariates:
        return vectors
    covariates = covariate_vectors(list(settings.covariates), cases, training)
    return covariates if vectors is None else vectors.joined(covariates)


def check_finite_predictions(
    logits: npt.NDArray[np.float64], samples: Samples, name: str, learning_rate: float, noun: str = "lesions"
) -> None:
    """Refuse logits (lesions,) that are not finite where there is an input to predict from.

    Weights can be finite and so large that what they give is not. `noun` says what is predicted.

    Raises
    ------
    StudyError
        Naming the count and the learning rate.
    """
    lost = int((~np.isfinite(logits) & samples.usable[samples.sample_of]).sum())
    if lost:
        raise StudyError(
            f"training {name} gave predictions that are not finite for {lost} of {len(logits)} {noun}; expected "
            f"finite ones. Lower the learning rate (now {learning_rate:g})"
        )


def _facts(
    settings: ClassifierSettings, samples: Samples, vectors: FeatureVectors | None, cases: Cases, files: Files
) -> dict[str, object]:
    """Return what the record says about the input."""
    facts = dict(samples.notes)
    if vectors is not None:
        facts |= {"vector_columns": vectors.columns, "lesions_without_vectors": vectors.missing}
    if samples.rests_on_model or settings.vectors:
        facts["seen_test_patients"] = seen_test_patients(cases, files.scores)
    return facts


@dataclass(frozen=True)
class Training:
    """Everything that the trainings of a classifier share."""

    settings: ClassifierSettings
    name: str
    cases: Cases
    samples: Samples
    vectors: FeatureVectors | None
    device: torch.device
    workers: int
    weights: Path | None

    @property
    def steps(self) -> int:
        """Steps of the training of network and head, if no patience ends it."""
        return self.settings.epochs * self._loader(0).count(self.samples.labelled("train"))

    def run(self, seed: int, state: Path) -> Trained:
        """Train with one seed; with a front, network and head first and all together after that."""
        seed_everything(seed)
        classifier = self._classifier()
        weights = self.settings.class_weights
        learner = ClassifierLearner(
            classifier, self._loader(seed), self.settings.keep, weights, self.settings.test_time_flips
        )
        plan = self._plan(seed)
        fits = {"network": self._fit(learner, plan, state / "network", seed)}
        front, facts = self.samples.front, {}
        if front is None:
            logits = predict_lesions(learner, plan)
        else:
            at_start = {name: tensor.detach().cpu().clone() for name, tensor in front.state_dict().items()}
            learner = FrontLearner(
                classifier, front, self._loader(seed, with_inputs=False), self.settings.keep, weights
            )
            plan = self._plan(seed, front)
            fits["together"] = self._fit(learner, plan, state / "together", seed)
            logits = predict_lesions(learner, plan)
            facts = front.summary(self.samples.split)
        check_finite_predictions(logits, self.samples, self.name, plan.learning_rate)
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in learner.state().items()}
        parameters = self._parameters(learner.network)
        if front is not None:  # the next seed starts from the model as it was
            front.load_state_dict(at_start)
        temperature = (
            lesion_temperature(self.cases, logits, learner.malignant_weight)
            if self.settings.calibrate == "temperature"
            else Temperature(1.0, "none")
        )
        return Trained(seed, tensors, logits, temperature, fits, plan, parameters, facts)

    def _fit(self, learner: ClassifierLearner, plan: Plan, state: Path, seed: int) -> Fit:
        """Train a learner in the way of the trainer."""
        trainer = TRAINERS.load(self.settings.trainer)
        rows = self.samples.unlabelled("train")
        size = self.settings.few_labels.unlabelled_batch_size or self.settings.batch_size
        unlabelled = (lambda epoch: learner.loader.unlabelled(rows, epoch, size)) if trainer.UNLABELLED else None
        wrapped: Learner = trainer.wrap(learner, unlabelled, self.settings.trainer_options)
        label = self.name if len(self.settings.seeds) == 1 else f"{self.name}, seed {seed}"
        return fit(wrapped, plan, state, label)

    def _plan(self, seed: int, front: Front | None = None) -> Plan:
        """Return the plan of the training of network and head, or of all together with a front."""
        chosen = self.settings
        transformer = front is not None and front.attention
        of_names: dict[str, Precision] = {"fp32": "32-true", "bf16": "bf16-mixed"}
        return Plan(
            chosen.epochs if front is None else front.epochs,
            chosen.patience,
            chosen.learning_rate if front is None else front.learning_rate,
            chosen.weight_decay,
            seed,
            self.device,
            of_names.get(chosen.precision, choose_precision(self.device, transformer)),
            schedule=OneCycle() if chosen.schedule == "one_cycle" else CONSTANT_RATE,
            validate_every=chosen.validate_every,
        )

    def _classifier(self) -> Classifier:
        """Build network and head; inputs are standardised by training samples, or as the weights ask for."""
        member = NETWORKS.load(self.settings.network)
        numbers = self.samples[0]["vector"].shape[0] if member.TAKES == "vector" else 0
        network = member.build(self.settings.network_options, self.weights, numbers)
        if self.samples.combine is not None:
            network = SharedNetwork(network, self.samples.combine, self.samples[0]["picture"].shape[0])
        mean, deviation = self.samples.levels(self.samples.labelled("train"))
        if not bool(torch.isfinite(mean).all() and torch.isfinite(deviation).all()):
            raise StudyError(
                f"the input {self.settings.input} of {self.name} has values that are not finite numbers in train; "
                "expected finite ones. Look at the images or at the segmentation model behind them, and remove what a "
                "damaged run has left"
            )
        if network.levels is not None:
            mean, deviation = (torch.tensor(values).view(-1, 1, 1) for values in network.levels)
        columns = 0 if self.vectors is None else len(self.vectors.columns)
        kind, outputs = self._kind()
        return kind(network, mean, deviation, columns, self.settings.dropout, self.settings.hidden, outputs)

    def _kind(self) -> tuple[type[Classifier], int]:
        """Return the class of the classifier, and the outputs of its head."""
        return Classifier, 2 if self.settings.outputs == "softmax" else 1

    def _loader(self, seed: int, with_inputs: bool = True) -> Loader:
        values = None if self.vectors is None else self.vectors.values
        chosen = self.settings
        batches = chosen.few_labels.epoch_batches
        return Loader(self.samples, values, chosen.batch_size, seed, self.workers, with_inputs, batches)

    def _parameters(self, network: nn.Module) -> tuple[int, int]:
        """Count the numbers that were trained, and all that a prediction uses."""
        trainable, total = count_parameters([item for item in network.parameters() if item.requires_grad], network)
        front = self.samples.front
        inside = 0 if front is None else count_parameters([], front)[1]  # counted in `network` already
        return trainable, total + self.samples.further_parameters - inside
