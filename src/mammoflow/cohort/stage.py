"""The cohort stage: from a study folder to the tables of images, lesions and exclusions, split and sharded."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.cohort.flow import describe, flow_step
from mammoflow.cohort.preflight import check_study
from mammoflow.cohort.reader import Exclusion, Reader, open_reader
from mammoflow.cohort.resolution import Resolved, resolve_files
from mammoflow.cohort.splits import check_no_leak, shard_of, split_patients
from mammoflow.cohort.table_files import records
from mammoflow.config.cohort import CohortSettings
from mammoflow.errors import ExcludedCase, Reason, StudyError
from mammoflow.store import write_text
from mammoflow.tables import EXCLUDED, IMAGES, LESIONS, ROWS, SPLITS, empty_table, write_table

Flow = list[dict[str, Any]]


def build_cohort(settings: CohortSettings, study: Path, output: Path) -> None:
    """Read a study, leave out what cannot be used, split it by patient and write the cohort's tables.

    Parameters
    ----------
    settings
        Data set, split and number of shards.
    study
        The study folder; all paths in the tables are relative to it.
    output
        Folder for `rows.parquet`, `images.parquet`, `lesions.parquet`, `excluded.parquet`, `study.json`, `shards/K/`.

    Raises
    ------
    StudyError
        If the folder, a table or a column is missing, or no case can be used.
    LeakageError
        If a patient or a film would stand on two sides of the split; nothing is written then.
    """
    check_study(settings.dataset, study)
    reader = open_reader(settings.dataset, study)
    read, resolved, flow = _select(reader)
    if not resolved.lesions:
        reasons = Counter(str(exclusion.reason) for exclusion in resolved.excluded)
        found = "; ".join(f"{reason}: {count}" for reason, count in reasons.most_common()) or "the table has no rows"
        raise StudyError(
            f"no lesion of the study {settings.dataset.name!r} in {study} can be used ({found}). "
            "Check cohort.dataset.folder and that the tables belong to the files"
        )
    images, lesions = _split_and_shard(settings, resolved, read)
    for table in (images, lesions, pd.concat([images, lesions], ignore_index=True)):
        check_no_leak(table)
    excluded = pd.DataFrame([{"stage": "cohort", **asdict(exclusion)} for exclusion in resolved.excluded])
    _write(output, settings.shards, images, lesions, excluded if len(excluded) else empty_table(EXCLUDED))
    rows = read.reindex(columns=list(ROWS.columns)).assign(source=settings.dataset.name)
    rows = rows.sort_values(["lesion_id", "image_name"], kind="stable")
    write_table(rows.astype(object).where(rows.notna(), None), ROWS, output / "rows.parquet")
    summary = _summary(settings, reader, images, lesions, resolved.excluded, flow)
    write_text(output / "study.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")


def _select(reader: Reader) -> tuple[pd.DataFrame, Resolved, Flow]:
    """Go from all rows to usable ones; return the rows as read, what is left with its files, and the flow."""
    rows, unread = reader.read_rows()
    unique, repeated = _drop_repeated(rows)
    labelled, unlabelled = _drop_unlabelled(unique)
    resolved = resolve_files(reader, labelled)
    kept_images = {image["image_id"] for image in resolved.images}
    kept_lesions = {lesion["lesion_id"] for lesion in resolved.lesions}
    lost_images = {exclusion.image_id for exclusion in resolved.excluded if exclusion.level == "image"}
    on_found_images = labelled[~labelled["image_id"].isin(_unfound(resolved))]
    used = labelled[
        labelled["image_id"].isin(kept_images)
        & (labelled["lesion_id"].isin(kept_lesions) | (labelled["label"] == "normal"))
    ]
    of_images = [exclusion for exclusion in resolved.excluded if exclusion.image_id in _unfound(resolved)]
    of_lesions = [exclusion for exclusion in resolved.excluded if exclusion.image_id not in _unfound(resolved)]
    flow = [
        flow_step("rows of the case tables", rows, [], unread),
        flow_step("readable, not repeated, not marked unusable", unique, [*unread, *repeated]),
        flow_step("malignancy known", labelled, unlabelled),
        flow_step("image readable", on_found_images, of_images),
        flow_step("mask or box found", used, of_lesions),
    ]
    before = [*unread, *repeated, *unlabelled]
    emptied = _images_without_rows(before, kept_images | lost_images)
    resolved.excluded = [*before, *emptied, *resolved.excluded]
    return rows, resolved, flow


def _unfound(resolved: Resolved) -> set[str]:
    """Return the images whose own file is unusable."""
    return {
        exclusion.image_id
        for exclusion in resolved.excluded
        if exclusion.level == "image" and exclusion.reason is not Reason.NO_LESIONS
    }


def _drop_repeated(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[Exclusion]]:
    repeated = rows["lesion_id"].duplicated()
    excluded = [
        Exclusion.of("row", ExcludedCase(Reason.DUPLICATE_ROW, f"a second row for {row['lesion_id']}"), row)
        for row in records(rows[repeated])
    ]
    return rows[~repeated], excluded


def _drop_unlabelled(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[Exclusion]]:
    known = rows["label"].notna()
    excluded = [
        Exclusion.of("lesion", ExcludedCase(Reason.NO_LABEL, f"pathology is {row['pathology']!r}"), row)
        for row in records(rows[~known])
    ]
    return rows[known], excluded


def _images_without_rows(excluded: list[Exclusion], accounted: set[str]) -> list[Exclusion]:
    """Exclude the images that lost all their rows before their file was looked for."""
    lost = {exclusion.image_id: exclusion for exclusion in excluded if exclusion.image_id not in accounted | {""}}
    detail = "all of its rows were left out"
    return [Exclusion("image", Reason.NO_LESIONS, detail, last.patient_id, name) for name, last in lost.items()]


def _split_and_shard(
    settings: CohortSettings, resolved: Resolved, read: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of images and lesions with source, split and shard, in the order of their ids."""
    images, lesions = pd.DataFrame(resolved.images), pd.DataFrame(resolved.lesions)
    malignant = set(lesions.loc[lesions["malignant"] == 1, "patient_id"])
    # Rows that were left out count too: a patient whose test film is damaged stays a test patient.
    sides = {side: set(read.loc[read["official_split"] == side, "patient_id"]) for side in ("train", "test")}
    ids = sorted(set(images["patient_id"]))
    patients = pd.DataFrame(
        {
            "patient_id": ids,
            "malignant": [patient in malignant for patient in ids],
            "official_train": [patient in sides["train"] for patient in ids],
            "official_test": [patient in sides["test"] for patient in ids],
        }
    )
    splits = split_patients(patients, settings.split)
    shards = {patient: shard_of(patient, settings.shards) for patient in ids}
    common = {"source": settings.dataset.name}
    images, lesions = (
        table.assign(**common, split=table["patient_id"].map(splits), shard=table["patient_id"].map(shards))
        for table in (images, lesions)
    )
    images["default_spacing_mm"] = settings.dataset.spacing_mm
    return (
        images.sort_values("image_id", ignore_index=True),
        lesions.sort_values("lesion_id", ignore_index=True),
    )


def _write(output: Path, shards: int, images: pd.DataFrame, lesions: pd.DataFrame, excluded: pd.DataFrame) -> None:
    folder = output / "shards"
    if folder.is_dir():
        shutil.rmtree(folder)  # of an earlier run with another number of shards
    images = write_table(images, IMAGES, output / "images.parquet")
    lesions = write_table(lesions, LESIONS, output / "lesions.parquet")
    write_table(excluded, EXCLUDED, output / "excluded.parquet")
    for shard in range(shards):
        target = folder / f"{shard:02d}"
        write_table(images[images["shard"] == shard], IMAGES, target / "images.parquet")
        write_table(lesions[lesions["shard"] == shard], LESIONS, target / "lesions.parquet")


def _summary(
    settings: CohortSettings,
    reader: Reader,
    images: pd.DataFrame,
    lesions: pd.DataFrame,
    excluded: list[Exclusion],
    flow: Flow,
) -> dict[str, Any]:
    by_split = {name: describe(images[images["split"] == name], lesions[lesions["split"] == name]) for name in SPLITS}
    reasons = Counter(str(exclusion.reason) for exclusion in excluded if exclusion.level in ("row", "lesion"))
    lost_images = Counter(str(exclusion.reason) for exclusion in excluded if exclusion.level == "image")
    return {
        "name": settings.dataset.name,
        "reader": settings.dataset.reader,
        "phantom": reader.is_phantom(),
        "split": settings.split.model_dump(),
        "counts": {
            "rows": flow[0]["lesions"],
            **describe(images, lesions),
            "by_type": lesions["lesion_type"].value_counts().to_dict(),
            "by_split": by_split,
            "excluded_lesions": dict(reasons.most_common()),
            "excluded_images": dict(lost_images.most_common()),
            "audit": reader.audit(),
        },
        "flow": flow,
    }
