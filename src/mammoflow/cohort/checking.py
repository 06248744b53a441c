"""What the cohort stage would say of a study, in seconds and without writing anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mammoflow.cohort.division import divide, divide_folds, keep_official_test
from mammoflow.cohort.image_classes import describe_classes, why_classes_untrainable
from mammoflow.cohort.losses import describe_losses
from mammoflow.cohort.reader import Reader, open_reader
from mammoflow.cohort.selection import select_cases
from mammoflow.cohort.several_studies import Pool, pool_studies
from mammoflow.cohort.splits import check_no_leak
from mammoflow.cohort.step_counts import describe
from mammoflow.cohort.study_files import refuse_same_folders, require_study_files
from mammoflow.cohort.trainable import why_untrainable
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.config.split_names import SPLITS
from mammoflow.errors import MammoflowError

ALL_CAUSES = 1000


def open_studies(datasets: Sequence[DatasetSettings], folders: Sequence[Path]) -> list[Reader]:
    """Return the readers of the studies.

    Raises
    ------
    StudyError
        If a folder or a table is missing, or two studies are in one folder.
    """
    for dataset, folder in zip(datasets, folders, strict=True):
        require_study_files(dataset, folder)
    refuse_same_folders(datasets, folders)
    return [open_reader(dataset, folder) for dataset, folder in zip(datasets, folders, strict=True)]


class Checked(NamedTuple):
    """What the check of a study found.

    Attributes
    ----------
    lines
        What a person should know.
    runs
        Whether patients can be divided, no film is on two sides, and the configured classifiers can be trained. The
        cohort stage stops otherwise.
    """

    lines: list[str]
    runs: bool


def check_study(settings: CohortSettings, validation_classes: int = 0, class_sides: int = 0) -> Checked:
    """Read the case tables and the headers of the files, divide the patients, and return what a person should know.

    Parameters
    ----------
    settings
        Data sets, split and number of shards.
    validation_classes
        How many classes the classifiers that the run trains need in validation; 0 where it trains none.
    class_sides
        On how many sides the classifiers of classes that the run trains need every class; 0 where it trains none.

    Returns
    -------
    Checked
        The lines, and whether the workflow can run on the study.

    Raises
    ------
    StudyError
        If a folder, a table or a column is missing, or no case of a study can be used.
    """
    folders = [Path(dataset.folder) for dataset in settings.datasets]
    readers = open_studies(settings.datasets, folders)
    selections = [select_cases(reader, settings.unlabelled, settings.classes) for reader in readers]
    pool = pool_studies(selections, settings.datasets, folders)
    problem, untrainable = "", ""
    try:
        if settings.split.method == "official":
            pool = keep_official_test(pool)
        images, lesions = divide(settings, pool)
        folds = divide_folds(settings, pool) if settings.split.all_folds else None
        untrainable = why_untrainable(lesions, validation_classes, folds)
        untrainable = untrainable or why_classes_untrainable(images, settings.classes, class_sides, folds)
        check_no_leak(pd.concat([images, lesions], ignore_index=True), settings.split.leaking, folds)
    except MammoflowError as error:
        images, lesions, problem = pool.images, pool.lesions, str(error)
    lines = describe_cohort(readers, pool, images, lesions, ALL_CAUSES)
    lines += [*_labels(lesions), *describe_classes(images, settings.classes)]
    lines += [f"  split: {problem}"] if problem else _sides(settings, lesions)
    lines += [f"  classifiers: {untrainable}"] if untrainable else []
    return Checked(lines, not problem and not untrainable)


def describe_cohort(
    readers: Sequence[Reader], pool: Pool, images: pd.DataFrame, lesions: pd.DataFrame, causes: int | None = None
) -> list[str]:
    """Return what is usable, what is left out and why, and what a person should know about the tables."""
    counts = describe(images, lesions)
    lines = [
        f"{counts['lesions']} of {pool.flow[0]['lesions']} lesions usable, on {counts['images']} images of "
        f"{counts['patients']} patients"
    ]
    losses = describe_losses(pool.excluded) if causes is None else describe_losses(pool.excluded, causes)
    lines += [f"  left out: {line}" for line in losses] if pool.excluded else []
    several = len(readers) > 1
    return lines + [
        f"  note: {reader.dataset.name + ': ' if several else ''}{note}" for reader in readers for note in reader.notes
    ]


def _labels(lesions: pd.DataFrame) -> list[str]:
    malignant, benign = ((lesions["malignant"] == value).sum() for value in (1, 0))
    unknown = int(lesions["malignant"].isna().sum())
    assessed = int(lesions["birads"].notna().sum())
    lines = [
        f"  labels: {malignant} malignant, {benign} benign, {unknown} unknown; "
        f"{assessed} lesions with a BI-RADS assessment"
    ]
    if not malignant or not benign:
        lines.append("  warning: no AUC, sensitivity and specificity without both classes")
    if not assessed:
        lines.append("  warning: no BI-RADS assessment; the tables compare the models with trivial rules only")
    return lines


def _sides(settings: CohortSettings, lesions: pd.DataFrame) -> list[str]:
    if settings.split.all_folds:
        return [f"  split: {settings.split.folds} folds; each patient is test once"]
    if settings.split.method == "apply":
        return ["  split: every patient is test; nothing is trained on this study"]
    parts = []
    for side in SPLITS:
        rows = lesions[lesions["split"] == side]
        parts.append(
            f"{side} {rows['patient_id'].nunique()} patients ({(rows['malignant'] == 1).sum()} malignant, "
            f"{(rows['malignant'] == 0).sum()} benign lesions)"
        )
    return [f"  split: {', '.join(parts)}"]
