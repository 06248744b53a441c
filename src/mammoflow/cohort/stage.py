"""The cohort stage: from study folders to the tables of images, lesions and exclusions, split and sharded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.cohort.anonymous_ids import IdMaker, anonymous, anonymous_exclusion, hide_notes
from mammoflow.cohort.birads_convention import convention_notes
from mammoflow.cohort.checking import describe_cohort, open_studies
from mammoflow.cohort.division import divide, divide_folds, keep_official_test
from mammoflow.cohort.image_classes import (
    CLASS,
    class_counts,
    class_table,
    describe_classes,
    why_classes_untrainable,
)
from mammoflow.cohort.reader import Exclusion, Reader
from mammoflow.cohort.selection import NothingLeft, Selection, select_cases
from mammoflow.cohort.several_studies import Pool, pool_studies
from mammoflow.cohort.splits import check_no_leak
from mammoflow.cohort.step_counts import describe, describe_parts
from mammoflow.cohort.trainable import why_untrainable
from mammoflow.config.cohort import CohortSettings
from mammoflow.config.split_names import SPLITS
from mammoflow.errors import StudyError
from mammoflow.storage.file_states import READ_FILES
from mammoflow.storage.files import write_text
from mammoflow.tables.classes import IMAGE_CLASSES
from mammoflow.tables.cohort import EXCLUDED, FOLDS, IMAGES, LESIONS, ROWS
from mammoflow.tables.files import empty_table, write_csv, write_table
from mammoflow.tables.listing import announce, by_reason, lines


def build_cohort(
    settings: CohortSettings, study: Path, output: Path, validation_classes: int = 0, class_sides: int = 0
) -> None:
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
        with the tables and the names of the files of a shard; and for `folds.parquet` where one run makes every fold,
        and `classes.parquet` where images have classes.
    validation_classes
        How many classes the classifiers that the run trains need in validation; 0 where it trains none.
    class_sides
        On how many sides the classifiers of classes that the run trains need every class; 0 where it trains none.

    Raises
    ------
    StudyError
        If a folder, a table or a column is missing, no case of a study can be used, the split cannot be made, or
        classifiers are to be trained and a side lacks the classes that they need.
    LeakageError
        If a patient or a film would be on two sides of the split or of a fold; nothing is written then.
    """
    studies = [study, *(Path(dataset.folder) for dataset in settings.more_datasets)]
    readers = open_studies(settings.datasets, studies)
    selections = _select(readers, settings, output)
    pool = pool_studies(selections, settings.datasets, studies)
    if settings.split.method == "official":
        pool = keep_official_test(pool)
    try:
        images, lesions = divide(settings, pool)
        folds = divide_folds(settings, pool) if settings.split.all_folds else None
        untrainable = why_untrainable(lesions, validation_classes, folds)
        untrainable = untrainable or why_classes_untrainable(images, settings.classes, class_sides, folds)
        if untrainable:
            raise StudyError(untrainable)
    except StudyError:
        _write_lost(pool.excluded, output)
        raise
    check_no_leak(pd.concat([images, lesions], ignore_index=True), settings.split.leaking, folds)
    _write_excluded(pool.excluded, output)
    if settings.classes:
        write_table(class_table(images, settings.classes), IMAGE_CLASSES, output / "classes.parquet")
    _write(output, settings.shards, images.drop(columns=CLASS, errors="ignore"), lesions)
    if folds is not None:
        write_table(folds, FOLDS, output / "folds.parquet")
    rows = pool.rows.reindex(columns=list(ROWS.columns)).sort_values(["lesion_id", "image_name"], kind="stable")
    write_table(rows.astype(object).where(rows.notna(), None), ROWS, output / "rows.parquet")
    summary = _summary(settings, readers, images, lesions, pool)
    write_text(output / "study.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    _report(readers, pool, images, lesions, settings.classes)


def _select(readers: Sequence[Reader], settings: CohortSettings, output: Path) -> list[Selection]:
    """Select the cases of every study; where one has none, its exclusions are written before the stop."""
    selections = []
    for reader in readers:
        key = reader.dataset.anonymous_ids
        make = IdMaker.from_file(Path(key)) if key else None
        try:
            selection = select_cases(reader, settings.unlabelled, settings.classes)
        except NothingLeft as error:
            excluded = [anonymous_exclusion(each, make) for each in error.excluded] if make else error.excluded
            _write_lost(excluded, output)
            said = "no lesion can be used; `mammoflow check` says why" if make else error
            raise StudyError(f"{said}. Every row with its reason: {output / 'excluded.csv'}") from error
        if make:
            selection = anonymous(selection, make)
            hide_notes(reader)
        selections.append(selection)
    (output / "excluded.csv").unlink(missing_ok=True)
    return selections


def _write_lost(exclusions: Sequence[Exclusion], output: Path) -> None:
    """Write the exclusions of a stage that stops; the CSV stays where Snakemake removes the outputs of the job."""
    write_csv(output / "excluded.csv", _write_excluded(exclusions, output))


def _write_excluded(exclusions: Sequence[Exclusion], output: Path) -> pd.DataFrame:
    rows = pd.DataFrame([{"stage": "cohort", **asdict(exclusion)} for exclusion in exclusions])
    return write_table(rows if len(rows) else empty_table(EXCLUDED), EXCLUDED, output / "excluded.parquet")


def _report(
    readers: Sequence[Reader], pool: Pool, images: pd.DataFrame, lesions: pd.DataFrame, classes: Sequence[str]
) -> None:
    """Print what is usable, what is left out and why, and what a person should know about the tables."""
    said = [*describe_cohort(readers, pool, images, lesions), *describe_classes(images, classes)]
    passed_over = by_reason([asdict(exclusion) for exclusion in pool.excluded], ("file",), "path")
    announce([f"cohort: {said[0]}", *said[1:], *(f"  {line}" for line in lines("file passed over", passed_over))])


def _write(output: Path, shards: int, images: pd.DataFrame, lesions: pd.DataFrame) -> None:
    folder = output / "shards"
    _remove_shards(folder)
    images = write_table(images, IMAGES, output / "images.parquet")
    lesions = write_table(lesions, LESIONS, output / "lesions.parquet")
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
        | {"table_notes": list(reader.notes)}
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
            **({"classes": class_counts(images, settings.classes)} if settings.classes else {}),
        },
        "flow": pool.flow,
    }
