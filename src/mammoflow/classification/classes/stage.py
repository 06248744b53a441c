"""The stage that trains a classifier of several classes, and predicts every image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mammoflow.classification.batches import choose_workers
from mammoflow.classification.calibration import Temperature
from mammoflow.classification.cases import Cases, read_cases
from mammoflow.classification.classes.cases import (
    ImageClasses,
    check_classes,
    counts_by_split,
    read_image_classes,
    with_classes,
)
from mammoflow.classification.classes.learner import ClassClassifier, ClassLearner
from mammoflow.classification.classes.probabilities import fit_class_temperature
from mammoflow.classification.classes.results import ClassTrained, write_class_results
from mammoflow.classification.classifier import Classifier
from mammoflow.classification.results import seen_test_patients
from mammoflow.classification.samples import Files, Job, Samples
from mammoflow.classification.stage import CACHE_PREFIX, Training, check_finite_predictions
from mammoflow.config.classification import INPUTS, NETWORKS, ClassifierSettings
from mammoflow.run.provenance import code_digest
from mammoflow.run.runtime import choose_device, seed_everything, set_threads
from mammoflow.storage.files import file_digest, text_digest
from mammoflow.training.state import FOLDER, remove_training_state, training_state
from mammoflow.weights.origin import weights_origin
from mammoflow.weights.registry import first_weights


def train_class_classifier(settings: ClassifierSettings, name: str, files: Files, output: Path, threads: int) -> None:
    """Train a classifier of several classes with each of its seeds and predict every image.

    Parameters
    ----------
    settings
        Input, network, and how to train; the target is classes.
    name
        The classifier's name in the tables.
    files
        What earlier stages wrote, with the classes of the images.
    output
        Folder for class_predictions.parquet, history.csv, training.json and `seeds/`. The training state is beside it.
    threads
        Processors that this job may use.

    Raises
    ------
    StudyError, LeakageError, WeightsError, SystemExit
        As `classification.stage.train_classifier`; also if an image is not in the table of classes.
    """
    set_threads(threads)
    cases = read_cases(files.images)
    classes = read_image_classes(files.classes, cases.images)
    device = choose_device(settings.device)
    source = NETWORKS.load(settings.network).WEIGHTS
    weights = first_weights(settings.network, settings.weights, source, files.weights)
    cache = output.parent / FOLDER / f"{CACHE_PREFIX}{output.name}"
    read = INPUTS.load(settings.input).read
    samples: Samples = with_classes(read(settings.input_options, cases, files, Job(cache, threads, device)), classes)
    check_classes(samples, classes, all_in_validation=settings.keep == "best_auc")
    state = training_state(
        output,
        settings.model_dump_json(),
        file_digest(weights) if weights else "random weights",
        samples.digest,
        _digest(cases, classes),
        code=code_digest(*settings.modules(), *samples.further_modules),
    )
    training = ClassTraining(
        settings, name, cases, samples, None, device, choose_workers(threads, device), weights, classes
    )
    trained = [training.run(seed, state / f"seed-{seed}") for seed in settings.seeds]
    facts = {"first_weights": weights_origin(weights, source), **samples.notes, "steps": training.steps}
    if samples.rests_on_model:
        facts["seen_test_patients"] = seen_test_patients(cases, files.scores)
    facts["n"] = counts_by_split(samples, classes, cases.images)
    write_class_results(output, name, settings, cases.images, classes, trained, facts, threads)
    remove_training_state(output.with_name(cache.name))
    remove_training_state(output)


def _digest(cases: Cases, classes: ImageClasses) -> str:
    """Return a digest of which images there are, how they are split, and what their classes are."""
    table = cases.images[["image_id", "split"]].assign(image_class=classes.named())
    return text_digest(table.to_csv(index=False), *classes.names)


@dataclass(frozen=True)
class ClassTraining(Training):
    """Everything that the trainings of a classifier of several classes share.

    Attributes
    ----------
    classes
        Names of the classes, and the class of each image.
    """

    classes: ImageClasses

    def run(self, seed: int, state: Path) -> ClassTrained:
        """Train with one seed."""
        seed_everything(seed)
        chosen = self.settings
        classifier = self._classifier()
        learner = ClassLearner(
            classifier, self._loader(seed), chosen.keep, chosen.class_weights, chosen.test_time_flips
        )
        plan = self._plan(seed)
        fits = {"network": self._fit(learner, plan, state / "network", seed)}
        logits = learner.predict(plan)
        check_finite_predictions(logits.sum(axis=1), self.samples, self.name, plan.learning_rate, "images")
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in learner.state().items()}
        rows = self.samples.labelled("validation")
        rows = rows[np.isfinite(logits[rows]).all(axis=1)]
        temperature = (
            fit_class_temperature(self.samples.labels[rows], logits[rows], learner.class_weights)
            if chosen.calibrate == "temperature"
            else Temperature(1.0, "none")
        )
        return ClassTrained(seed, tensors, logits, temperature, fits, plan, self._parameters(learner.network), {})

    def _kind(self) -> tuple[type[Classifier], int]:
        """Return the class of the classifier, and the outputs of its head."""
        return ClassClassifier, len(self.classes.names)
