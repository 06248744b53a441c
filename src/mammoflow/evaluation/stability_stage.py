"""The stability stage: how much each feature changes if box, mask, orientation or pixel spacing change a little."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mammoflow.config.features import FeaturesSettings
from mammoflow.config.stability import StabilitySettings
from mammoflow.errors import StudyError
from mammoflow.evaluation.icc import icc_2_1
from mammoflow.evaluation.metrics import FloatArray
from mammoflow.evaluation.stability_figure import draw_stability
from mammoflow.evaluation.stability_masks import Segmenter, drawn_lesions, masks_of_other_boxes
from mammoflow.evaluation.stability_values import REFERENCE, Job, feature_values
from mammoflow.run.console import say
from mammoflow.run.runtime import set_threads
from mammoflow.storage.files import read_json
from mammoflow.storage.intermediate import temporary_folder
from mammoflow.tables.files import read_table, write_csv
from mammoflow.tables.images import CANONICAL_LESIONS
from mammoflow.tables.stability import ALL, PERTURBATIONS, STABILITY
from mammoflow.tables.study import is_phantom, study_note


def stability(
    settings: FeaturesSettings,
    cohort: Path,
    images: Sequence[Path],
    masks: Sequence[Path],
    segmenter: Segmenter | None,
    output: Path,
    threads: int,
) -> None:
    """Recompute the features of training lesions under small changes, and write their agreement.

    Parameters
    ----------
    settings
        Feature families, their options, and the changes.
    cohort
        Folder of the cohort stage.
    images
        Folders of the image stage, one for each shard.
    masks
        Folders of the default segmentation model, one for each shard; may be empty if no family has predicted masks.
    segmenter
        The default segmentation model; None if its masks do not come from reference boxes: then no other box is tried.
    output
        Table to write (CSV, `mammoflow.tables.stability`); a figure goes beside it.
    threads
        Processors to use.

    Raises
    ------
    StudyError
        If there is no training lesion.
    """
    study = read_json(cohort / "study.json")
    tables = {folder: read_table(folder / "lesions.parquet", CANONICAL_LESIONS) for folder in images}
    lesions = pd.concat([*tables.values()], ignore_index=True)
    chosen = drawn_lesions(settings.stability, lesions)
    if not chosen:
        raise StudyError("no lesion is in the training split; expected some, on which the stability is measured")
    by_shard = {folder: [one for one in chosen if one in set(table["lesion_id"])] for folder, table in tables.items()}
    masks_of = {folder.name: folder for folder in masks}
    predicted = [family for family in settings.run if settings.families[family].mask == "predicted"]
    rows = []
    with temporary_folder("mammoflow-stability-") as work:
        further: dict[Path, dict[str, Path]] = {}
        if segmenter is not None and predicted:
            for folder, of_shard in by_shard.items():
                if of_shard:
                    further[folder] = masks_of_other_boxes(
                        settings.stability, segmenter, folder, of_shard, work, threads
                    )
            set_threads(1)
        for family in settings.run:
            options = settings.families[family]
            jobs = [
                (
                    Job(
                        family,
                        options,
                        settings.stability,
                        folder,
                        masks_of.get(folder.name),
                        further.get(folder, {}) if family in predicted else {},
                    ),
                    of_shard,
                )
                for folder, of_shard in by_shard.items()
                if of_shard
            ]
            columns, values = feature_values(jobs, threads)
            rows += _rows(family, options.mask, columns, values, settings.stability)
    table = pd.DataFrame(rows).assign(note=study_note(study))
    write_csv(output, pd.DataFrame(STABILITY.validate(table)))
    draw_stability(output.with_suffix(".png"), table, is_phantom(study))
    say(f"stability: {len(chosen)} training lesions, each of another patient; {len(table)} rows in {output}")


def _rows(
    family: str, mask: str, columns: list[str], values: dict[str, FloatArray], settings: StabilitySettings
) -> list[dict[str, object]]:
    """Return a row for each feature and kind of change, and one for all changes together."""
    groups = {
        kind: [REFERENCE, *(name for name in values if name.split()[0] == kind)]
        for kind in PERTURBATIONS
        if kind != ALL
    }
    groups[ALL] = [*values]
    rows: list[dict[str, object]] = []
    for place, feature in enumerate(columns):
        for kind, conditions in groups.items():
            if len(conditions) < 2:
                continue
            found = icc_2_1(np.stack([values[name][:, place] for name in conditions], axis=1), settings.confidence)
            rows.append(
                {
                    "family": family,
                    "feature": feature,
                    "perturbation": kind,
                    "mask": mask,
                    "conditions": len(conditions),
                    "n": found.targets,
                    "patients": found.targets,
                    "icc": found.value,
                    "icc_low": found.low,
                    "icc_high": found.high,
                }
            )
    return rows
