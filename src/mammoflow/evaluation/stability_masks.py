"""Masks of the same lesions from other boxes, for the stability of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.config.stability import StabilitySettings
from mammoflow.segmentation.prompted.stage import segment
from mammoflow.segmentation.prompting.prompts import prompt_table
from mammoflow.segmentation.prompting.sources import reference_source
from mammoflow.tables.cohort import measured
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.prompts import PROMPTS
from mammoflow.weights.registry import ModelSpec


@dataclass(frozen=True)
class Segmenter:
    """The default segmentation model of the study, as its job is told it.

    Attributes
    ----------
    settings
        Of the model's job.
    model
        A promptable model.
    store
        Folder of the embeddings.
    default_margin_mm
        Margin of the boxes whose masks the features of the study are computed on.
    """

    settings: SegmentSettings
    model: ModelSpec
    store: Path
    default_margin_mm: float


def masks_of_other_boxes(
    settings: StabilitySettings,
    segmenter: Segmenter,
    images: Path,
    lesions: Sequence[str],
    folder: Path,
    threads: int,
) -> dict[str, Path]:
    """Segment some lesions of a shard again, from jittered boxes and from boxes with other margins.

    Parameters
    ----------
    settings
        Jitter, draws and margins.
    segmenter
        The model.
    images
        Folder of the shard that the image stage wrote.
    lesions
        Ids of the lesions.
    folder
        Where the masks go, in one folder for each condition.
    threads
        Threads of the model.

    Returns
    -------
    dict
        Folder with `masks.parquet` by condition, such as `box 1` and `margin 5 mm`.
    """
    table = read_table(images / "images.parquet", CANONICAL_IMAGES)
    references = reference_source(images, read_table(images / "lesions.parquet", CANONICAL_LESIONS))
    chosen = references[references["lesion_id"].isin(lesions)]
    margin = segmenter.default_margin_mm
    conditions = {f"box {draw}": (margin, draw, f"box-{draw}") for draw in range(1, settings.box_draws + 1)} | {
        f"margin {other:g} mm": (other, 0, f"margin-{other:g}") for other in settings.margins_mm if other != margin
    }
    folders = {}
    for condition, (width, draw, name) in conditions.items():
        prompts = prompt_table(_prompts(settings, width), table, chosen, references)
        # The stage takes exact boxes of its default margin: of each lesion this one box is there.
        one = prompts[prompts["draw"] == draw].assign(draw=0)
        target = folder / images.name / name
        write_table(one.astype({"draw": "Int64"}), PROMPTS, target / "prompts.parquet")
        segment(
            segmenter.settings,
            segmenter.model,
            images,
            [target / "prompts.parquet"],
            segmenter.store,
            width,
            target,
            threads,
        )
        folders[condition] = target
    return folders


def _prompts(settings: StabilitySettings, margin_mm: float) -> PromptSettings:
    return PromptSettings(
        margins_mm=[margin_mm],
        default_margin_mm=margin_mm,
        kinds=["box"],
        draws=settings.box_draws,
        jitter_mm=settings.box_jitter_mm if settings.box_draws else 0.0,
        seed=settings.seed,
    )


def drawn_lesions(settings: StabilitySettings, lesions: pd.DataFrame) -> list[str]:
    """Return the ids of some measured training lesions, each of another patient.

    So targets are independent, and an interval over lesions is one over patients.

    Parameters
    ----------
    settings
        Number and seed.
    lesions
        `lesion_id`, `patient_id`, `split` and `malignant` of all lesions of the study.
    """
    training = measured(lesions[lesions["split"] == "train"]).sort_values("lesion_id")
    shuffled = training.sample(frac=1.0, random_state=settings.seed)
    one_each = shuffled.drop_duplicates("patient_id").head(settings.lesions)
    return sorted(one_each["lesion_id"].astype(str))
