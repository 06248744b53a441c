"""BI-RADS without images: the tables of the radiologist's assessment, from the case tables of a study."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.cohort.birads_convention import BIRADS as FROM_BIRADS
from mammoflow.cohort.birads_convention import label_by_birads
from mammoflow.cohort.reader import open_reader
from mammoflow.cohort.study_files import require_study_files
from mammoflow.cohort.table_files import recorded_tables
from mammoflow.config.birads import BiradsJob
from mammoflow.config.cohort import DatasetSettings
from mammoflow.errors import StudyError
from mammoflow.evaluation.birads import CASE_TABLES, PUBLISHED
from mammoflow.evaluation.birads_table import (
    ALL,
    PARTED_BY,
    SHUFFLED_ROWS,
    birads_table,
    nearest_row,
    scorable_rows,
    shuffled_means,
)
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.storage.files import write_text
from mammoflow.tables.birads import BIRADS, ESTIMATED
from mammoflow.tables.files import write_csv, write_table
from mammoflow.tables.study import PHANTOM, is_cbis_ddsm

PUBLISHED_COLUMNS = ["source", "rows", "n", *ESTIMATED, "note"]
ROUNDING = 0.0051
"""Figures with two digits are met by figures that lie this near."""


@dataclass(frozen=True)
class BiradsResult:
    """What the tables of BI-RADS say.

    Attributes
    ----------
    table
        Of the schema BIRADS, all studies one below the other.
    published
        The published row and what is beside it; empty unless a study is CBIS-DDSM.
    sentences
        What a reader must know, for the console and the record.
    """

    table: pd.DataFrame
    published: pd.DataFrame
    sentences: list[str]


def write_birads(settings: BiradsJob, studies: Sequence[Path], output: Path) -> BiradsResult:
    """Score the BI-RADS assessments of each study and write the tables.

    Parameters
    ----------
    settings
        The studies and how intervals are computed.
    studies
        Folder of each study. Only its case tables are read; no image needs to be there.
    output
        Folder for `birads.csv`, `birads.parquet`, `birads.json`, and `birads_published.csv` for CBIS-DDSM.

    Raises
    ------
    StudyError
        If a table or a column is missing, or no row has both a known malignancy and an assessment.
    """
    given = zip(settings.datasets, studies, strict=True)
    with recorded_tables() as tables:
        parts = [_of_study(settings, dataset, study) for dataset, study in given]
    table = write_table(pd.concat([part.table for part in parts], ignore_index=True), BIRADS, output / "birads.parquet")
    write_csv(output / "birads.csv", table)
    published = pd.concat([part.published for part in parts], ignore_index=True)
    if len(published):
        write_csv(output / "birads_published.csv", published)
    else:
        (output / "birads_published.csv").unlink(missing_ok=True)  # of an earlier call with another study
    sentences = [sentence for part in parts for sentence in part.sentences]
    record: dict[str, Any] = {"settings": settings.model_dump(mode="json"), "tables": tables, "notes": sentences}
    write_text(output / "birads.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return BiradsResult(table, published, sentences)


def _of_study(settings: BiradsJob, dataset: DatasetSettings, study: Path) -> BiradsResult:
    require_study_files(dataset, study)
    reader = open_reader(dataset, study)
    read, unread = reader.read_rows()
    rows, left_out = scorable_rows(label_by_birads(read.reset_index(drop=True), dataset))
    reasons = {"cannot be read": len(unread), **left_out}
    lost = "; ".join(f"{reason}: {count}" for reason, count in reasons.items() if count)
    if rows.empty:
        raise StudyError(
            f"no row of the data set {dataset.name!r} in {study} has both a known malignancy and a BI-RADS assessment "
            f"({lost or 'the tables have no rows'}); expected columns for both: name them in the options of the reader"
        )
    sentences = [
        f"{dataset.name}: {len(rows):,} rows, one for each lesion on a view, of {rows['patient_id'].nunique():,} "
        f"patients; rows left out: {lost or 'none'}."
    ]
    notes = [PHANTOM] if reader.is_phantom() else []
    circular = int((rows["label_origin"] == FROM_BIRADS).sum())
    if circular:
        notes.append("circular: labels follow from BI-RADS")
        sentences.append(
            f"{dataset.name}: the labels of {circular:,} rows follow from BI-RADS by convention "
            "(malignant_from_birads), so scoring BI-RADS on them is circular."
        )
    table = birads_table(rows, dataset.name, PatientBootstrap.of(settings), settings.fewest_cases, "; ".join(notes))
    published = pd.DataFrame(columns=PUBLISHED_COLUMNS)
    if is_cbis_ddsm({"name": dataset.name, "reader": dataset.reader, "phantom": reader.is_phantom()}):
        published, said = _beside_published(rows, table, settings.seed)
        sentences += said
    return BiradsResult(table, published, sentences)


def _beside_published(rows: pd.DataFrame, table: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, list[str]]:
    """Return the published row, what the case tables give, the nearest row of the table, and shuffled assessments."""
    found: list[dict[str, Any]] = [
        {"source": "published table", "rows": "not stated", **PUBLISHED, "note": "another set of rows"},
        *({"source": "official case tables of CBIS-DDSM", **row} for row in CASE_TABLES),
    ]
    sentences: list[str] = []
    nearest = nearest_row(table, PUBLISHED)
    if nearest is not None:
        row, sentence = _described_nearest(*nearest)
        found.append(row)
        sentences.append(sentence)
    if int((rows["lesion_type"] == "mass").sum()) >= SHUFFLED_ROWS:
        means = shuffled_means(rows, seed)
        shuffled = " / ".join(f"{value:.2f}" for value in means.values())
        found.append(
            {
                "source": "shuffled assessments",
                "rows": f"{SHUFFLED_ROWS} mass rows at random, mean of 100,000 draws",
                "n": SHUFFLED_ROWS,
                **means,
                "note": "what assessments that were joined to the wrong rows would give; a hypothesis",
            }
        )
        sentences.append(
            f"{SHUFFLED_ROWS} mass rows with shuffled assessments average {shuffled}: assessments that were joined to "
            "the wrong rows would explain the published row. This is a hypothesis."
        )
    return pd.DataFrame(found, columns=PUBLISHED_COLUMNS), sentences


def _described_nearest(nearest: pd.Series, distance: float) -> tuple[dict[str, Any], str]:
    """Return the row of the table beside the published one for the nearest row, and the sentence about it."""
    parted = {name: str(nearest[name]) for name in PARTED_BY if nearest[name] != ALL}
    part = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in parted.items())
    where = f"level {nearest['level']}, {part or 'all rows'}, BI-RADS 0 {nearest['birads_zero']}, {nearest['rule']}"
    row = {
        "source": "nearest row of birads.csv",
        "rows": where,
        "n": nearest["n"],
        **{name: nearest[name] for name in ESTIMATED},
        "note": f"largest distance to a published figure: {distance:.3f}",
    }
    figures = " / ".join(f"{value:.2f}" for value in PUBLISHED.values())
    sentence = f"The published table gives {figures} (accuracy, precision, recall, F1) for BI-RADS. " + (
        f"No selection of rows gives that; the nearest one ({where}) differs by {distance:.2f} in one figure."
        if distance > ROUNDING
        else f"This selection of rows comes near it: {where}."
    )
    return row, sentence


def headline_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return what the console shows: BI-RADS > 3, 0 as written, of each type and split, at every level."""
    return table[
        (table["threshold"] == 4)
        & (table["birads_zero"] == "as_written")
        & (table["density"] == ALL)
        & (table["view"] == ALL)
    ]
