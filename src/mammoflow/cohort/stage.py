"""The cohort stage: from study folders to the tables of images, lesions and exclusions, split and sharded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.cohort.birads_convention import convention_notes
from mammoflow.cohort.division import divide, divide_folds, keep_official_test
from mammoflow.cohort.reader import Reader, open_reader
from mammoflow.cohort.selection import select_cases
from mammoflow.cohort.several_studies import Pool, pool_studies
from mammoflow.cohort.splits import check_no_leak
from mammoflow.cohort.step_counts import describe, describe_parts
from mammoflow.cohort.study_files import require_study_files
from mammoflow.config.cohort import CohortSettings
from mammoflow.storage.file_states import READ_FILES
from mammoflow.storage.files import write_text
from mammoflow.tables.cohort import EXCLUDED, FOLDS, IMAGES, LESIONS, ROWS
from mammoflow.tables.columns import SPLITS
from mammoflow.tables.files import empty_table, write_table
from mammoflow.tables.listing import announce, by_reason, lines


def build_cohort(settings: CohortSettings, study: Path, output: Path) -> None:
    """Read the studies, leave out what cannot be used, split by patient and write the cohort's tables.

    Parameters
    ----------
    settings
        Data sets, split and number of shards.
    study
        Folder of the first study; those of further ones are in the settings. All paths in the tables are relative to
        the folder of their study.
    output
        Folder for `rows.parquet`, `images.parquet`, `lesions.parquet`, `excluded.parquet`, `study.json`, `shards/K/`
        with the tables and the names of the files of a shard; and for `folds.parquet` where one run makes every fold.

    Raises
    ------
    StudyError
        If a folder, a table or a column is missing, no case of a study can be used, or the split cannot be made.
    LeakageError
        If a patient or a film would be on two sides of the split; nothing is written then.
    """
    studies = [study, *(Path(dataset.folder) for dataset in settings.more_datasets)]
    for dataset, folder in zip(settings.datasets, studies, strict=True):
        require_study_files(dataset, folder)
    readers = [open_reader(dataset, folder) for dataset, folder in zip(settings.datasets, studies, strict=True)]
    selections = [select_cases(reader, settings.unlabelled) for reader in readers]
    pool = pool_studies(selections, settings.datasets, studies)
    if settings.split.method == "official":
        pool = keep_official_test(pool)
    images, lesions = divide(settings, pool)
    folds = divide_folds(settings, pool) if settings.split.all_folds else None
    for table in (images, lesions, pd.concat([images, lesions], ignore_index=True)):
        check_no_leak(table, by_image=settings.split.leaking)
    excluded = pd.DataFrame([{"stage": "cohort", **asdict(exclusion)} for exclusion in pool.excluded])
    _write(output, settings.shards, images, lesions, excluded if len(excluded) else empty_table(EXCLUDED))
    if folds is not None:
        write_table(folds, FOLDS, output / "folds.parquet")
    rows = pool.rows.reindex(columns=list(ROWS.columns)).sort_values(["lesion_id", "image_name"], kind="stable")
    write_table(rows.astype(object).where(rows.notna(), None), ROWS, output / "rows.parquet")
    summary = _summary(settings, readers, images, lesions, pool)
    write_text(output / "study.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    _report(images, lesions, pool)


def _report(images: pd.DataFrame, lesions: pd.DataFrame, pool: Pool) -> None:
    """Print what is in the cohort, and what was left out, to standard error."""
    excluded = [asdict(exclusion) for exclusion in pool.excluded]
    announce(
        [
            *lines("file passed over", by_reason(excluded, ("file",), "path")),
            *lines("image left out", by_reason(excluded, ("image",), "image_id")),
            *lines("row or lesion left out", by_reason(excluded, ("row", "lesion"), "lesion_id")),
            *lines("patient left out", by_reason(excluded, ("patient",), "patient_id")),
            f"cohort: {len(images)} images and {len(lesions)} lesions of {images['patient_id'].nunique()} patients",
        ]
    )


def _write(output: Path, shards: int, images: pd.DataFrame, lesions: pd.DataFrame, excluded: pd.DataFrame) -> None:
    folder = output / "shards"
    _remove_shards(folder)
    images = write_table(images, IMAGES, output / "images.parquet")
    lesions = write_table(lesions, LESIONS, output / "lesions.parquet")
    write_table(excluded, EXCLUDED, output / "excluded.parquet")
    for shard in range(shards):
        target = folder / f"{shard:02d}"
        of_shard = images[images["shard"] == shard], lesions[lesions["shard"] == shard]
        write_table(of_shard[0], IMAGES, target / "images.parquet")
        write_table(of_shard[1], LESIONS, target / "lesions.parquet")
        write_text(target / READ_FILES, json.dumps(_named_files(*of_shard), indent=0, sort_keys=True) + "\n")


def _remove_shards(folder: Path) -> None:
    """Remove the shards of an earlier run, which may have had another number of them, and no other file."""
    for shard in folder.glob("*"):
        if shard.name.isdecimal() and shard.is_dir() and not shard.is_symlink():
            for name in ("images.parquet", "lesions.parquet", READ_FILES):
                (shard / name).unlink(missing_ok=True)
            if not any(shard.iterdir()):
                shard.rmdir()


def _named_files(images: pd.DataFrame, lesions: pd.DataFrame) -> dict[str, list[str]]:
    """Return the files that a shard names, by the name of their study: what the shard's images are made of."""
    named = pd.concat([images.set_index("source")["image_path"], lesions.set_index("source")["mask_path"]]).dropna()
    return {str(study): sorted(set(map(str, paths))) for study, paths in named.groupby(level=0)}


def _summary(
    settings: CohortSettings, readers: Sequence[Reader], images: pd.DataFrame, lesions: pd.DataFrame, pool: Pool
) -> dict[str, Any]:
    """Return what `study.json` says."""
    reasons = Counter(str(exclusion.reason) for exclusion in pool.excluded if exclusion.level in ("row", "lesion"))
    lost_images = Counter(str(exclusion.reason) for exclusion in pool.excluded if exclusion.level == "image")
    by_part = {"by_split": describe_parts(images, lesions, "split", SPLITS)}
    if settings.split.method == "kfold":
        by_part["by_fold"] = describe_parts(images, lesions, "fold", range(settings.split.folds))
    names = [dataset.name for dataset in settings.datasets]
    by_source = describe_parts(images, lesions, "source", names)
    sources = [
        {"name": dataset.name, "reader": dataset.reader, "phantom": reader.is_phantom(), "audit": reader.audit()}
        | by_source[dataset.name]
        for dataset, reader in zip(settings.datasets, readers, strict=True)
    ]
    return {
        "name": " + ".join(names),
        "reader": " + ".join(dict.fromkeys(dataset.reader for dataset in settings.datasets)),
        "phantom": any(source["phantom"] for source in sources),
        "split": {**settings.split.model_dump(), "leaking": settings.split.leaking},
        "sources": sources,
        "notes": [
            note
            for dataset in settings.datasets
            for note in convention_notes(lesions[lesions["source"] == dataset.name], dataset)
        ],
        "counts": {
            "rows": pool.flow[0]["lesions"],
            **describe(images, lesions),
            "by_type": lesions["lesion_type"].value_counts().to_dict(),
            **by_part,
            "excluded_lesions": dict(reasons.most_common()),
            "excluded_images": dict(lost_images.most_common()),
            "audit": sources[0]["audit"] if len(sources) == 1 else {},
        },
        "flow": pool.flow,
    }
