"""Images without a lesion, prompted with a point at their middle: a right answer is an empty mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.config.prompted import SegmentSettings
from mammoflow.segmentation.embedding.embeddings import embeddings
from mammoflow.segmentation.prompted.batches import Batches
from mammoflow.segmentation.prompted.refinement import RefinementPlan, refine
from mammoflow.segmentation.prompting.arrays import PromptArrays
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.storage.arrays import ArrayStore
from mammoflow.tables.images import FULLY_ANNOTATED
from mammoflow.weights.seen_patients import is_seen


def images_without_lesions(images: pd.DataFrame, lesions: pd.DataFrame) -> pd.DataFrame:
    """Return the images that are known to have no lesion.

    Parameters
    ----------
    images, lesions
        Tables CANONICAL_IMAGES and CANONICAL_LESIONS of a shard.
    """
    normal = images[~images["image_id"].isin(lesions["image_id"])]
    return normal[normal[FULLY_ANNOTATED].astype(bool)] if FULLY_ANNOTATED in normal.columns else normal


def middle_point(height: int, width: int) -> PromptArrays:
    """Return the prompt of one point at the middle of an image."""
    points = np.array([[[width / 2, height / 2]]], dtype=np.float32)
    return PromptArrays(np.full((1, 4), np.nan, np.float32), points, np.ones((1, 1), dtype=np.int64))


def score_empty_images(
    settings: SegmentSettings,
    model: PromptableModel,
    images: pd.DataFrame,
    folder: Path,
    store: ArrayStore,
    seen: frozenset[str],
) -> list[dict[str, Any]]:
    """Prompt images without a lesion at their middle and measure the masks of the first iteration.

    Parameters
    ----------
    settings
        Which head counts. An oracle has no reference here, so the best predicted IoU chooses.
    model
        The model.
    images
        Rows of CANONICAL_IMAGES.
    folder
        Folder of the shard.
    store
        The store of embeddings.
    seen
        Patients that the weights were trained on.

    Returns
    -------
    list
        Rows of the table EMPTY_SCORES.
    """
    facts = {str(row["image_id"]): row for row in images.to_dict("records")}
    plan, batches = RefinementPlan(1, settings.feed, settings.heads), Batches(1, "prompts")
    rows = []
    for image_id, arrays in embeddings(model, images, folder, store, settings.batch_images):
        image = facts[image_id]
        size = int(image["height"]), int(image["width"])
        refined = next(refine(model, arrays, middle_point(*size), size, plan, batches))
        pixels = int(np.count_nonzero(refined.masks[0, 0]))
        rows.append(
            {
                "image_id": image_id,
                "patient_id": image["patient_id"],
                "split": image["split"],
                "model": model.name,
                "area_mm2": pixels * float(image["row_spacing_mm"]) * float(image["column_spacing_mm"]),
                "predicted_iou": float(refined.predicted_iou[0, 0]),
                "empty": pixels == 0,
                "seen": is_seen(str(image["patient_id"]), seen),
            }
        )
    return rows
