"""Train the three-layer perceptron on a promptable model's embeddings and predict every lesion."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from mammoflow.classification.cases import Samples, mask_paths, predicted_masks, read_cases
from mammoflow.classification.perceptron import FeatureClassifier, Perceptron
from mammoflow.classification.promptable import (
    MaskScores,
    PromptableClassifier,
    PromptedLesions,
    frozen_features,
    prompted_lesions,
)
from mammoflow.classification.results import (
    Outcome,
    case_digest,
    lesion_threshold,
    parameter_counts,
    remove_training_state,
    training_state,
    write_results,
)
from mammoflow.classification.training import Classifier, Fit, Plan, fit, predict
from mammoflow.config.classification import PerceptronTraining, PerceptronVariant
from mammoflow.config.inference import Precision
from mammoflow.errors import StudyError
from mammoflow.run.provenance import code_digest
from mammoflow.run.runtime import choose_device, seed_everything, set_threads
from mammoflow.segmentation.embedding.training_sources import EmbeddingSource, EncoderSource
from mammoflow.segmentation.loading import load_promptable
from mammoflow.segmentation.prompting.going_on import default_prompts
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.storage.arrays import ArrayStore
from mammoflow.storage.files import array_digest
from mammoflow.tables.files import read_tables
from mammoflow.tables.prompts import PROMPTS
from mammoflow.weights.registry import ModelSpec


def train_perceptron(
    settings: PerceptronTraining,
    variant: PerceptronVariant,
    model: ModelSpec,
    images: list[Path],
    masks: list[Path],
    prompts: list[Path],
    store: Path,
    default_margin_mm: float,
    output: Path,
    threads: int,
    precision: Precision = "auto",
) -> None:
    """Train the three-layer perceptron on a promptable model's embeddings and predict every lesion.

    The perceptron is first trained alone on the frozen model. `decoder_tuned` and `all_tuned` go on from there and
    train it together with the mask decoder, or with decoder and encoder, on classification and segmentation.

    Parameters
    ----------
    settings
        How to train.
    variant
        `frozen`, `decoder_tuned` or `all_tuned`.
    model
        The promptable model.
    images
        Shards of the image stage.
    masks
        Shards of the segmentation stage of this model, whose Dice is recorded beside that of tuned masks.
    prompts
        Tables of the prompt stage.
    store
        Folder of the embeddings.
    default_margin_mm
        The margin of the prompts to use.
    output
        Folder for predictions.parquet, history.csv, model.safetensors and training.json; its name is the model's.
    threads
        Processors that this job may use.
    precision
        Numbers of the image encoder where its embeddings come from the store: those of the segmentation, so that no
        image is encoded twice.

    Raises
    ------
    StudyError
        If train lacks a class, validation is empty, or no prompt has the margin.
    LeakageError
        If a patient stands in two splits.
    """
    start = time.monotonic()
    set_threads(threads)
    cases = read_cases(images)
    handed_on = predicted_masks(masks)
    chosen = prompts_at(prompts, default_margin_mm)
    usable = cases.lesions["lesion_id"].isin(chosen["lesion_id"]).to_numpy(dtype=np.bool_)
    samples = Samples.of(cases.labels, cases.lesions, usable)
    samples.check()
    plan = Plan.of(settings, settings.epochs, settings.learning_rate, choose_device(settings.device))
    promptable = load_promptable(model, plan.device, precision)
    lesions = prompted_lesions(promptable, cases, chosen, mask_paths(cases, handed_on, "reference"))
    source = EmbeddingSource(promptable, cases.images, ArrayStore(store), settings.batch_size)
    features = frozen_features(promptable, source, lesions)
    state = training_state(
        output,
        settings.model_dump_json(),
        variant,
        promptable.digest,
        array_digest(features),
        array_digest(lesions.boxes),
        case_digest(cases),
        code_digest("mammoflow.classification.perceptron_stage"),
    )
    seed_everything(settings.seed)
    perceptron = Perceptron.fit_input(features[samples.labelled("train")], settings.hidden, settings.dropout)
    classifier: Classifier = FeatureClassifier(perceptron, features)
    fits = {"perceptron": fit(classifier, samples, plan, state / "perceptron", output.name)}
    if variant != "frozen":
        plan = Plan.of(settings, settings.tuning_epochs, settings.tuning_learning_rate, plan.device)
        plan = replace(plan, transformer=variant == "all_tuned")
        if variant == "all_tuned":
            source.cache.clear()  # a tuned encoder makes embeddings of its own
        tuned_source = source if variant == "decoder_tuned" else EncoderSource(promptable, cases.images)
        classifier = build_tuned(settings, perceptron, promptable, tuned_source, lesions)
        fits["tuning"] = fit(classifier, samples, plan, state / "tuning", f"{output.name}, tuning")
    scores = MaskScores(promptable, lesions, mask_paths(cases, handed_on, "predicted"))
    probabilities = np.full(len(usable), np.nan)
    probabilities[usable] = predict(classifier, np.flatnonzero(usable), plan, scores)
    last = list(fits.values())[-1]
    outcome = Outcome(
        classifier,
        probabilities,
        lesion_threshold(cases, probabilities),
        joined_history(fits),
        last.chosen_epoch,
        last.resumed_from,
        parameter_counts(classifier, promptable.network),
        time.monotonic() - start,
        {
            "variant": variant,
            "promptable_model": {"name": model.name, "digest": promptable.digest},
            "default_margin_mm": default_margin_mm,
            "lesions_without_prompt": int((~usable).sum()),
            "masks": scores.summary(samples.split),
        },
    )
    write_results(output, cases, settings, plan, outcome)
    remove_training_state(output)


def prompts_at(tables: list[Path], margin_mm: float) -> pd.DataFrame:
    """Return the box prompts of one margin, one row a lesion.

    Raises
    ------
    StudyError
        If no prompt has the margin.
    """
    prompts = read_tables(tables, PROMPTS)
    chosen = default_prompts(prompts[prompts["kind"] == "box"], margin_mm)
    if chosen.empty:
        found = sorted(prompts["margin_mm"].unique().tolist())
        raise StudyError(f"no box prompt at {margin_mm:g} mm; found margins {found}. Run the prompts stage with it")
    return chosen


def build_tuned(
    settings: PerceptronTraining,
    perceptron: Perceptron,
    promptable: PromptableModel,
    source: EmbeddingSource | EncoderSource,
    lesions: PromptedLesions,
) -> PromptableClassifier:
    """Join the trained perceptron and the model; the encoder learns where the source computes embeddings anew."""
    rate = settings.encoder_learning_rate if isinstance(source, EncoderSource) else None
    return PromptableClassifier(perceptron, promptable, source, lesions, settings.segmentation_weight, rate)


def joined_history(fits: dict[str, Fit]) -> pd.DataFrame:
    """Join the learning curves of several fits, told apart by the column `phase`."""
    return pd.concat([pd.DataFrame(fitted.history).assign(phase=phase) for phase, fitted in fits.items()])
