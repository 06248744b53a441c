"""The usable images and lesions of a cohort, each on its side of the split."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from mammoflow.cohort.reader import Exclusion
from mammoflow.cohort.several_studies import Pool
from mammoflow.cohort.splits import (
    beside_official_test,
    fold_of_patients,
    shard_of,
    sides_of_folds,
    split_images,
    split_patients,
)
from mammoflow.cohort.step_counts import describe
from mammoflow.cohort.table_files import records
from mammoflow.config.cohort import CohortSettings
from mammoflow.config.split import SplitSettings
from mammoflow.errors import ExcludedCase
from mammoflow.reasons.cohort import CohortReason
from mammoflow.tables.cohort import shown_paths


def keep_official_test(pool: Pool) -> Pool:
    """Leave out what official test patients have outside the official test set, so that the train side gives way.

    Rows that were left out before count too, also by the reader: a patient whose test film is damaged or marked
    unusable does not come back in training. An image that stays without some of its lesions is not fully annotated.
    """
    test = _official_test(pool)
    lesions_out = beside_official_test(pool.lesions, test)
    lesions = pool.lesions[~lesions_out]
    # An image on both official sides stays for its test lesions; one without any lesion for its own side.
    emptied = pool.images["image_id"].isin(set(pool.lesions["image_id"]) - set(lesions["image_id"]))
    alone = beside_official_test(pool.images, test) & ~pool.images["image_id"].isin(lesions["image_id"])
    images_out = alone | emptied
    images = pool.images[~images_out]
    loses_lesions = images["image_id"].isin(pool.lesions.loc[lesions_out, "image_id"])
    images = images.assign(fully_annotated=images["fully_annotated"].mask(loses_lesions, False))
    problem = ExcludedCase(CohortReason.OFFICIAL_TEST_PATIENT, "outside the official test set")
    excluded = []
    out = (("image", pool.images[images_out], "image_path"), ("lesion", pool.lesions[lesions_out], "mask_path"))
    for level, table, column in out:
        rows = zip(records(table), shown_paths(table, column), strict=True)
        excluded += [Exclusion.of(level, problem, row, path) for row, path in rows]
    counts = describe(images, lesions)
    step = {
        "step": "on one official side",
        **{name: counts[name] for name in ("images", "lesions", "patients")},
        "excluded": {str(problem.reason): int(lesions_out.sum())} if lesions_out.any() else {},
    }
    return replace(pool, images=images, lesions=lesions, excluded=[*pool.excluded, *excluded], flow=[*pool.flow, step])


def divide(settings: CohortSettings, pool: Pool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of images and lesions with split and shard, in the order of their ids.

    For the method kfold both have the column `fold`, the part in which the patient is test; for by_image the column
    `leaking`, which is 1. Where one run makes every fold, each patient is test once, and all are on the test side here;
    so they are for the method apply.

    Raises
    ------
    StudyError
        If the patients cannot be divided in this way.
    """
    images, lesions = pool.images, pool.lesions
    patients = _patients(pool)
    shards = {patient: shard_of(patient, settings.shards) for patient in patients["patient_id"]}
    if settings.split.leaking:
        key, splits = "image_id", split_images(_images(pool), settings.split)
    elif settings.split.all_folds or settings.split.method == "apply":
        key, splits = "patient_id", dict.fromkeys(patients["patient_id"], "test")
    else:
        key, splits = "patient_id", split_patients(patients, settings.split)
    split_columns = _further_columns(patients, settings.split)
    images, lesions = (
        table.assign(
            split=table[key].map(splits),
            shard=table["patient_id"].map(shards),
            **{name: table["patient_id"].map(values) for name, values in split_columns.items()},
        )
        for table in (images, lesions)
    )
    return images.sort_values("image_id", ignore_index=True), lesions.sort_values("lesion_id", ignore_index=True)


def divide_folds(settings: CohortSettings, pool: Pool) -> pd.DataFrame:
    """Return the side of every patient in every fold, the table FOLDS.

    Raises
    ------
    StudyError
        If the patients cannot be divided in this way.
    """
    return sides_of_folds(_patients(pool), settings.split)


def _further_columns(patients: pd.DataFrame, settings: SplitSettings) -> dict[str, dict[str, int]]:
    if settings.method == "kfold":
        return {"fold": fold_of_patients(patients, settings)}
    return {"leaking": dict.fromkeys(patients["patient_id"], 1)} if settings.leaking else {}


def _patients(pool: Pool) -> pd.DataFrame:
    """Return one row per patient with an image that can be used."""
    malignant = set(pool.lesions.loc[pool.lesions["malignant"] == 1, "patient_id"])
    labelled = set(pool.images.loc[pool.images["labelled"].astype(bool), "patient_id"])
    patients = pool.images[["patient_id", "source"]].drop_duplicates("patient_id").sort_values("patient_id")
    return patients.assign(
        malignant=patients["patient_id"].isin(malignant),
        labelled=patients["patient_id"].isin(labelled),
        official_train=patients["patient_id"].isin(_on_side(pool.rows, "train")),
        official_test=patients["patient_id"].isin(_official_test(pool)),
    )


def _images(pool: Pool) -> pd.DataFrame:
    malignant = set(pool.lesions.loc[pool.lesions["malignant"] == 1, "image_id"])
    images = pool.images[["image_id", "source"]]
    return images.assign(
        malignant=images["image_id"].isin(malignant),
        labelled=pool.images["labelled"].astype(bool),
    )


def _official_test(pool: Pool) -> set[str]:
    return _on_side(pool.rows, "test") | pool.official_test


def _on_side(rows: pd.DataFrame, side: str) -> set[str]:
    return set(rows.loc[rows["official_split"] == side, "patient_id"])
