"""What the classifiers of a run say about segmented lesions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.classification.application import TrainedClassifier, apply_classifier
from mammoflow.classification.samples import Files, PromptableSource
from mammoflow.config.classification import INPUTS
from mammoflow.errors import StudyError
from mammoflow.prediction.masks import Segmented
from mammoflow.prediction.results import Malignancy
from mammoflow.prediction.runs import FinishedRun, model_named
from mammoflow.weights.origin import OTHER_MASKS, are_of_other_weights


def judge(
    run: FinishedRun, segmented: Segmented, images: Path, store: Path, threads: int
) -> dict[str, dict[str, Malignancy]]:
    """Apply each classifier of a run to the lesions of prepared and segmented films.

    Parameters
    ----------
    run
        The run.
    segmented
        Masks of the films.
    images
        Folder of the prepared films.
    store
        Folder of the embeddings.
    threads
        Processors to use.

    Returns
    -------
    dict
        By lesion id, what each classifier says, by its name.
    """
    said: dict[str, dict[str, Malignancy]] = {}
    folders = list(segmented.folders.values())
    prompts = [folder / "prompts.parquet" for folder in folders]
    has_other_masks = are_of_other_weights(folders, run.masks)
    for classifier in run.classifiers:
        wanted = model_named(classifier.settings)
        if wanted not in ("", run.model.name):
            raise StudyError(
                f"classifier {classifier.folder.name} reads the embedding of {wanted}, and the masks are of "
                f"{run.model.name}; expected --model {wanted}, or --classifier with another one"
            )
        reads_masks = "masks" in classifier.settings.needs()
        facts = {"run": run.folder.name, **classifier.facts(), OTHER_MASKS: reads_masks and has_other_masks}
        can_read = getattr(INPUTS.load(classifier.settings.input), "can_read", None)
        if can_read is not None and not can_read(prompts, run.margin_mm):
            for unprompted in segmented.rows:
                said.setdefault(unprompted, {})[classifier.folder.name] = _nothing(classifier, facts)
            continue
        source = PromptableSource(run.model, run.segment.encoder_use, store, run.margin_mm)
        table = apply_classifier(classifier, Files([images], folders, prompts, model=source), threads)
        for lesion, rows in table.groupby("lesion_id"):
            said.setdefault(str(lesion), {})[classifier.folder.name] = _malignancy(classifier, rows, facts)
    return said


def _nothing(classifier: TrainedClassifier, facts: dict[str, Any]) -> Malignancy:
    """Return the answer about a lesion of which the classifier has no input."""
    threshold = float(np.mean([seed["threshold"] for seed in classifier.record["seeds"].values()]))
    return Malignancy(None, threshold, None, facts)


def _malignancy(classifier: TrainedClassifier, rows: pd.DataFrame, facts: dict[str, Any]) -> Malignancy:
    """Join what the seeds of a classifier say about a lesion."""
    probability, threshold = float(rows["probability"].mean()), float(rows["threshold"].mean())
    if pd.isna(probability):
        return _nothing(classifier, facts)
    return Malignancy(probability, threshold, probability >= threshold, facts)
