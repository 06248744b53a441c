"""The segment stage: every prompt of a shard decoded, refined and scored by one promptable model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mammoflow.config.prompted import SegmentSettings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.run.runtime import choose_device, set_threads
from mammoflow.segmentation.loading import load_promptable
from mammoflow.segmentation.prompted.decoding import PromptedShard, segment_views
from mammoflow.segmentation.prompted.empty_images import images_without_lesions, score_empty_images
from mammoflow.segmentation.prompted.masks import MaskWriter
from mammoflow.segmentation.prompted.scoring import PromptScorer
from mammoflow.segmentation.prompting.default_prompts import default_prompts
from mammoflow.storage.arrays import ArrayStore
from mammoflow.tables.files import empty_table, read_table, read_tables, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import EMPTY_SCORES, MASKS, SEGMENTATION_SCORES
from mammoflow.tables.prompts import PROMPTS
from mammoflow.weights.origin import write_origin
from mammoflow.weights.registry import ModelSpec
from mammoflow.weights.seen_patients import seen_patients

OF_AUTOMATIC_MODELS = ("detections.parquet", "maps.parquet")
"""Tables that a promptable model does not write."""


def segment(
    settings: SegmentSettings,
    model: ModelSpec,
    images: Path,
    prompts: Sequence[Path],
    store: Path,
    default_margin_mm: float,
    output: Path,
    threads: int,
) -> None:
    """Segment a shard with one model, from its prompts to scores and to the masks that later stages use.

    Parameters
    ----------
    settings
        Iterations, what they feed back, which head and iteration are chosen, fields of view, device.
    model
        The promptable model, with its weights file.
    images
        Folder of the shard's canonical images.
    prompts
        Parquet files of the shard's tables PROMPTS: its own, and those made around other models' masks.
    store
        Folder of the embeddings, shared by all runs.
    default_margin_mm
        Margin of the prompts whose masks later stages use (`default_prompts`), in the first field of view.
    output
        Folder for `scores.parquet` (with the rows of the floor, model `ellipse`), `masks.parquet`, `mask/`,
        `empty.parquet` of images without a lesion, and `weights.json`, which says what the weights are.
    threads
        Threads of this job.

    Raises
    ------
    ConfigError
        If there are prompts and none has the default margin, or the model does not see what the settings say.
    StudyError
        If a table, an image or a mask is missing or does not fit.
    WeightsError
        If the weights are missing, not the published ones, or carry code.
    """
    image_table = read_table(images / "images.parquet", CANONICAL_IMAGES)
    lesions = read_table(images / "lesions.parquet", CANONICAL_LESIONS)
    prompt_table = read_tables(list(prompts), PROMPTS)
    scores, masks, empty = empty_table(SEGMENTATION_SCORES), empty_table(MASKS), empty_table(EMPTY_SCORES)
    normal = images_without_lesions(image_table, lesions) if settings.empty_images else image_table[:0]
    if len(prompt_table) or len(normal):
        _check(image_table, lesions, prompt_table, default_margin_mm)
        set_threads(threads)
        loaded = load_promptable(model, choose_device(settings.device), settings.encoder_use)
        seen = seen_patients(model.file) if model.file else frozenset()
        default_ids = frozenset(default_prompts(prompt_table, default_margin_mm)["prompt_id"])
        scorer = PromptScorer(settings, loaded.name, seen)
        writer = MaskWriter(output, default_ids)
        embeddings = ArrayStore(store)
        shard = PromptedShard(settings, loaded, images, lesions, prompt_table, embeddings)
        prompted = image_table[image_table["image_id"].isin(prompt_table["image_id"])]
        segment_views(shard, prompted, scorer, writer)
        scores = pd.DataFrame(scorer.rows) if scorer.rows else scores
        masks = pd.DataFrame(writer.rows) if writer.rows else masks
        rows = score_empty_images(settings, loaded, normal, images, embeddings, seen)
        empty = pd.DataFrame(rows) if rows else empty
    for name in OF_AUTOMATIC_MODELS:
        (output / name).unlink(missing_ok=True)  # of an automatic model that had the same name before
    write_table(masks, MASKS, output / "masks.parquet")
    write_table(empty, EMPTY_SCORES, output / "empty.parquet")
    write_origin(output, model)
    write_table(scores, SEGMENTATION_SCORES, output / "scores.parquet")


def _check(images: pd.DataFrame, lesions: pd.DataFrame, prompts: pd.DataFrame, default_margin_mm: float) -> None:
    for key, table in (("image_id", images), ("lesion_id", lesions)):
        absent = sorted(set(prompts[key]) - set(table[key]))
        if absent:
            raise StudyError(f"prompts name {key} {absent[:5]}, which the images lack; run the prompt stage again")
    around_lesions = prompts[~prompts["origin"].str.startswith("model:")]
    if len(around_lesions) and default_prompts(around_lesions, default_margin_mm).empty:
        margins = sorted(set(around_lesions["margin_mm"]))
        raise ConfigError(
            f"no prompt has the default margin {default_margin_mm} mm, found {margins} mm; "
            "expected prompts.default_margin_mm to be one of prompts.margins_mm"
        )
