"""Train EfficientNet-B0 on one kind of input and predict every lesion."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.classification.cases import Cases, Samples, mask_paths, predicted_masks, read_cases
from mammoflow.classification.efficientnet import PictureClassifier, augmentation
from mammoflow.classification.pictures import breast_pictures, masked_crops
from mammoflow.classification.results import (
    Outcome,
    case_digest,
    lesion_threshold,
    parameter_counts,
    remove_training_state,
    training_state,
    write_results,
)
from mammoflow.classification.standardiser import Standardiser
from mammoflow.classification.training import Plan, fit, predict
from mammoflow.config.classification import EfficientNetInput, EfficientNetTraining
from mammoflow.errors import StudyError
from mammoflow.run.provenance import code_digest
from mammoflow.run.runtime import choose_device, seed_everything, set_threads
from mammoflow.storage.files import array_digest, file_digest
from mammoflow.tables.features import FEATURES, feature_columns
from mammoflow.tables.files import read_tables


@dataclass(frozen=True)
class PictureInputs:
    """What the network sees.

    Attributes
    ----------
    samples
        Lesions, or images for `whole_image`.
    sample_of
        (lesions,) the sample whose probability a lesion gets.
    pictures, picture_of, vectors
        See `PictureClassifier`.
    notes
        What the record says about the input.
    """

    samples: Samples
    sample_of: npt.NDArray[np.intp]
    pictures: npt.NDArray[np.uint16]
    picture_of: npt.NDArray[np.intp]
    vectors: npt.NDArray[np.float32] | None
    notes: dict[str, object]

    def digest(self) -> str:
        """Return a digest of all pixels and vectors."""
        vectors = np.zeros(0, np.float32) if self.vectors is None else self.vectors
        return array_digest(self.pictures) + array_digest(vectors)


def train_efficientnet(
    settings: EfficientNetTraining,
    kind: EfficientNetInput,
    images: list[Path],
    masks: list[Path],
    radiomics: list[Path],
    output: Path,
    threads: int,
) -> None:
    """Train EfficientNet-B0 on one kind of input and predict every lesion.

    Parameters
    ----------
    settings
        How to train.
    kind
        `masked_crop`, `whole_image` (a lesion gets the probability of its image), or `whole_image_radiomics` (one
        probability a lesion, from the image and the lesion's radiomics).
    images
        Shards of the image stage.
    masks
        Shards of the segmentation stage of one model; read for `masked_crop`.
    radiomics
        Tables of the radiomics stage; read for `whole_image_radiomics`.
    output
        Folder for predictions.parquet, history.csv, model.safetensors and training.json; its name is the model's.
    threads
        Processors that this job may use.

    Raises
    ------
    StudyError
        If train lacks a class, or validation is empty.
    LeakageError
        If a patient stands in two splits.
    WeightsError
        If the weights file is missing or does not fit.
    """
    start = time.monotonic()
    set_threads(threads)
    cases = read_cases(images)
    inputs = read_inputs(settings, kind, cases, masks, radiomics, threads)
    plan = Plan.of(settings, settings.epochs, settings.learning_rate, choose_device(settings.device))
    classifier = build_classifier(settings, inputs)
    state = training_state(
        output,
        settings.model_dump_json(),
        kind,
        file_digest(Path(settings.weights)) if settings.weights else "random weights",
        inputs.digest(),
        case_digest(cases),
        code_digest("mammoflow.classification.efficientnet_stage"),
    )
    fitted = fit(classifier, inputs.samples, plan, state, output.name)
    probabilities = predict(classifier, np.arange(len(inputs.samples.labels)), plan)[inputs.sample_of]
    outcome = Outcome(
        classifier,
        probabilities,
        lesion_threshold(cases, probabilities),
        pd.DataFrame(fitted.history),
        fitted.chosen_epoch,
        fitted.resumed_from,
        parameter_counts(classifier, classifier),
        time.monotonic() - start,
        {"input": kind, **inputs.notes},
    )
    write_results(output, cases, settings, plan, outcome)
    remove_training_state(output)


def read_inputs(
    settings: EfficientNetTraining,
    kind: EfficientNetInput,
    cases: Cases,
    masks: list[Path],
    radiomics: list[Path],
    threads: int,
) -> PictureInputs:
    """Read everything that one kind of input needs, once.

    Raises
    ------
    StudyError
        If train lacks a class, or validation is empty.
    """
    lesions = np.arange(len(cases.lesions))
    image_of = cases.lesions["image_index"].to_numpy(dtype=np.intp)
    by_lesion = Samples.of(cases.labels, cases.lesions)
    if kind == "masked_crop":
        by_lesion.check()
        paths = mask_paths(cases, predicted_masks(masks), settings.mask)
        crops, fallback = masked_crops(cases, paths, settings.crop_margin, settings.image_px, threads)
        return PictureInputs(by_lesion, lesions, crops, lesions, None, {"lesions_without_mask": int(fallback.sum())})
    samples = Samples.of(cases.image_labels, cases.images) if kind == "whole_image" else by_lesion
    samples.check()
    pictures = breast_pictures(cases, settings.image_px, threads)
    if kind == "whole_image":
        return PictureInputs(
            samples, image_of, pictures, np.arange(len(cases.images)), None, {"samples": len(pictures)}
        )
    vectors, names, missing = radiomics_vectors(cases, radiomics, samples)
    notes: dict[str, object] = {"radiomics_columns": names, "lesions_without_radiomics": missing}
    return PictureInputs(samples, lesions, pictures, image_of, vectors, notes)


def radiomics_vectors(
    cases: Cases, tables: list[Path], samples: Samples
) -> tuple[npt.NDArray[np.float32], list[str], int]:
    """Return standardised radiomics (lesions, columns), the columns' names, and how many lesions have none.

    Medians, means and deviations are those of the training lesions.

    Raises
    ------
    StudyError
        If no column varies over the training lesions.
    """
    table = read_tables(tables, FEATURES).set_index("lesion_id")
    numbers = table[feature_columns(table, "radiomics")]
    matrix = numbers.reindex(cases.lesions["lesion_id"]).to_numpy(dtype=np.float64, na_value=np.nan)
    standardiser = Standardiser.fit(matrix[samples.labelled("train")])
    names = [str(name) for name, kept in zip(numbers.columns, standardiser.kept, strict=True) if kept]
    if not names:
        raise StudyError(
            f"none of {matrix.shape[1]} radiomics columns varies over the training lesions; expected some that do. "
            "Look at the radiomics tables, or leave whole_image_radiomics out of classification.efficientnet.inputs"
        )
    return standardiser.transform(matrix), names, int((~np.isfinite(matrix)).all(axis=1).sum())


def build_classifier(settings: EfficientNetTraining, inputs: PictureInputs) -> PictureClassifier:
    """Build the network from the seed; its grey levels are standardised by training pictures only."""
    seed_everything(settings.seed)
    return PictureClassifier(
        inputs.pictures,
        inputs.picture_of,
        inputs.vectors,
        np.unique(inputs.picture_of[inputs.samples.labelled("train")]),
        settings.weights,
        settings.dropout,
        augmentation(settings.rotation_degrees, settings.brightness),
    )
