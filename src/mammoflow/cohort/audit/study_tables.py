"""The tables that an audit looks at, read and checked once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.tables.cohort import EXCLUDED, FOLDS, IMAGES, LESIONS, ROWS
from mammoflow.tables.files import empty_table, read_table, read_tables
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.study import has_every_fold, is_phantom

MALIGNANT, BENIGN, NORMAL, UNKNOWN = "malignant", "benign", "normal", "unknown"


@dataclass(frozen=True)
class StudyTables:
    """The tables of a cohort and, where they are made already, of its images.

    Attributes
    ----------
    study
        Content of the cohort's `study.json`.
    rows
        Every row of the case tables that could be read, before anything is left out.
    images, lesions
        What the cohort stage kept.
    canonical
        What the image stage kept; empty where it has not run.
    usable
        The lesions that later stages use: the image stage's, or the cohort's where that has not run.
    excluded
        What both stages left out, with reasons.
    prepared
        Whether the image stage's tables were given.
    folds
        Table FOLDS, the side of each patient in each fold, where the run makes every fold.
    """

    study: dict[str, Any]
    rows: pd.DataFrame
    images: pd.DataFrame
    lesions: pd.DataFrame
    canonical: pd.DataFrame
    usable: pd.DataFrame
    excluded: pd.DataFrame
    prepared: bool
    folds: pd.DataFrame | None = None

    @property
    def phantom(self) -> bool:
        """Whether the study is made of phantoms."""
        return is_phantom(self.study)

    @property
    def usable_images(self) -> pd.DataFrame:
        """The images that later stages use."""
        return self.canonical if self.prepared else self.images


def read_study(study: dict[str, Any], cohort: Path, images: list[Path]) -> StudyTables:
    """Read the tables of a study.

    Parameters
    ----------
    study
        Content of the cohort's `study.json`.
    cohort
        Folder of the cohort stage.
    images
        One folder of the image stage a shard; none where images are not prepared yet.

    Raises
    ------
    StudyError
        If a table is missing or does not fit its schema.
    """
    lesions = read_table(cohort / "lesions.parquet", LESIONS)
    canonical, usable = empty_table(CANONICAL_IMAGES), lesions
    if images:
        canonical = read_tables([folder / "images.parquet" for folder in images], CANONICAL_IMAGES)
        usable = read_tables([folder / "lesions.parquet" for folder in images], CANONICAL_LESIONS)
    return StudyTables(
        study=study,
        rows=read_table(cohort / "rows.parquet", ROWS),
        images=read_table(cohort / "images.parquet", IMAGES),
        lesions=lesions,
        canonical=canonical,
        usable=usable,
        excluded=read_tables([folder / "excluded.parquet" for folder in [cohort, *images]], EXCLUDED),
        prepared=bool(images),
        folds=read_table(cohort / "folds.parquet", FOLDS) if has_every_fold(study) else None,
    )


def label_of(malignant: pd.Series) -> str:
    """Return what a group of lesions says about malignancy: malignant where one is; normal where there is none."""
    labels = malignant.dropna()
    if malignant.empty:
        return NORMAL
    if labels.empty:
        return UNKNOWN
    return MALIGNANT if (labels == 1).any() else BENIGN
