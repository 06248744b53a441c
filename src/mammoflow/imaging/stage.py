"""The image stage: makes canonical images, breast regions, masks and lesion patches for one shard of the cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.config.images import ImagesSettings
from mammoflow.errors import ExcludedCase, StudyError
from mammoflow.imaging.case import Case, CaseResult, exclude_image, prepare_case, written_files
from mammoflow.reasons.files import FileReason
from mammoflow.run.runtime import progress
from mammoflow.run.workers import Lost, map_isolated
from mammoflow.storage.file_states import READ_FILES, ReadFile, write_read_files
from mammoflow.storage.outputs import begin_files, is_same, remove_unfinished
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.listing import announce, by_flag, by_reason, counted, lines

LONGEST_S = 300.0  # for one film and its lesions; two hundred times the time of a large one
WORKER_BYTES = 4 * 2**30
FOLDERS = ("image", "breast", "pectoral", "mask", "patch")
COLOURS = "colour"  # a folder that only a run with images.colour: keep has
TABLES = ("images", "lesions", "excluded")


def prepare_images(settings: ImagesSettings, study: Path, cohort_shard: Path, output: Path, threads: int) -> None:
    """Prepare every film and lesion of a shard; those that cannot be used are excluded with a reason.

    Parameters
    ----------
    settings
        Settings of the stage.
    study
        Folder that the paths of the cohort are relative to, where its rows do not name their study's folder.
    cohort_shard
        Folder with `images.parquet` and `lesions.parquet` of the cohort.
    output
        Folder for `image/`, `colour/`, `breast/`, `pectoral/`, `mask/`, `patch/`, `files.json` and, written last,
        `images.parquet`, `lesions.parquet` and `excluded.parquet`. What an earlier run wrote there is removed, and
        nothing else.
    threads
        Films at a time, each in a separate process.

    Raises
    ------
    StudyError
        If the study's folder or a table is missing, a lesion has no image, the disk is full, or a file of the same
        name is there that no earlier run wrote.
    """
    if not study.is_dir():
        raise StudyError(f"study folder {study} does not exist; expected the folder that the image paths start from")
    if is_same(study, output):
        raise StudyError(f"{output} is the study folder; expected another folder for the results; name a new one")
    cases = _cases(settings, study, cohort_shard, output)
    files = _begin(cases, output)
    results: dict[int, CaseResult] = {}
    work = map_isolated(prepare_case, cases, threads, LONGEST_S, WORKER_BYTES, preload="mammoflow.imaging.case")
    for index, answer in progress(work, "images", total=len(cases)):
        if isinstance(answer, Lost):
            problem = ExcludedCase(FileReason.UNREADABLE, f"reading the files of this film {answer.detail}")
            answer = exclude_image(cases[index], problem)
        results[index] = answer
    ordered = [results[index] for index in range(len(cases))]
    _remove_unlisted(ordered, output, files)
    _write_files(cases, ordered, output)
    _write(ordered, output)
    _report(ordered, "film" if settings.breast_region == "film" else "image")


def _cases(settings: ImagesSettings, study: Path, cohort_shard: Path, output: Path) -> list[Case]:
    images = read_table(cohort_shard / "images.parquet", IMAGES)
    lesions = read_table(cohort_shard / "lesions.parquet", LESIONS)
    orphans = lesions.loc[~lesions["image_id"].isin(images["image_id"]), "lesion_id"]
    if len(orphans):
        raise StudyError(
            f"{len(orphans)} lesions in {cohort_shard} have no image, for example {orphans.iloc[0]}; "
            "run the cohort stage again"
        )
    by_image: dict[str, list[dict[str, Any]]] = {}
    for lesion in _records(lesions):
        by_image.setdefault(lesion["image_id"], []).append(lesion)
    rows = zip(_records(images), _study_folders(images, study), strict=True)
    return [Case(settings, folder, output, image, by_image.get(image["image_id"], [])) for image, folder in rows]


def _study_folders(images: pd.DataFrame, study: Path) -> list[Path]:
    """Return the folder that the paths of each image are relative to; with several studies each row names its own."""
    of_rows = images["study"] if "study" in images.columns else pd.Series(None, index=images.index, dtype="object")
    folders = [study if pd.isna(folder) else Path(folder) for folder in of_rows]
    missing = [folder for folder in dict.fromkeys(folders) if not folder.is_dir()]
    if missing:
        raise StudyError(
            f"study folder {missing[0]} does not exist; expected the folder that the image paths start from; correct "
            "cohort.dataset.folder or cohort.more_datasets"
        )
    return folders


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _begin(cases: list[Case], output: Path) -> list[str]:
    """Remove earlier files, tables first, so that a run that stops half way does not look complete.

    Returns
    -------
    list of str
        The pictures that this run may write.
    """
    pictures = [file for case in cases for file in written_files(case)]
    begin_files(output, [*(f"{name}.parquet" for name in TABLES), READ_FILES, *pictures], (*FOLDERS, COLOURS))
    for name in FOLDERS:
        (output / name).mkdir(parents=True, exist_ok=True)
    return pictures


def _remove_unlisted(results: list[CaseResult], output: Path, pictures: list[str]) -> None:
    """Remove the files of lost workers, which no table lists."""
    rows = [result.image for result in results if result.image is not None]
    rows += [lesion for result in results for lesion in result.lesions]
    listed = {row[name] for row in rows for name in row if name.endswith("_file")}
    for path in pictures:
        if path not in listed:
            (output / path).unlink(missing_ok=True)
    remove_unfinished(output, pictures)


def _write(results: list[CaseResult], output: Path) -> None:
    images = [result.image for result in results if result.image is not None]
    lesions = [lesion for result in results for lesion in result.lesions]
    excluded = [row for result in results for row in result.excluded]
    write_table(pd.DataFrame(excluded), EXCLUDED, output / "excluded.parquet")
    write_table(pd.DataFrame(lesions), CANONICAL_LESIONS, output / "lesions.parquet")
    write_table(pd.DataFrame(images), CANONICAL_IMAGES, output / "images.parquet")


def _write_files(cases: list[Case], results: list[CaseResult], output: Path) -> None:
    """Write which files were read, by the name of their study."""
    files: dict[str, dict[str, ReadFile]] = {}
    for case, result in zip(cases, results, strict=True):
        files.setdefault(str(case.image["source"]), {}).update(result.files)
    write_read_files(output, files)


def _report(results: list[CaseResult], word: str) -> None:
    """Print what was prepared, left out and flagged, with the word for an image, and the largest memory of a worker."""
    images = [result.image for result in results if result.image is not None]
    lesions = [lesion for result in results for lesion in result.lesions]
    excluded = [row for result in results for row in result.excluded]
    peak = max((result.peak_bytes for result in results), default=0)
    left_out = by_reason(excluded, ("image",), "image_id")
    image_flags, lesion_flags = by_flag(images, "image_id"), by_flag(lesions, "lesion_id")
    announce(
        [
            *lines(f"{word} left out", left_out),
            *lines("lesion left out", by_reason(excluded, ("lesion",), "lesion_id")),
            *lines(f"{word} flagged", image_flags),
            *lines("lesion flagged", lesion_flags),
            f"images: {len(images)} of {len(results)} {word}s and {len(lesions)} lesions prepared, {word}s left out: "
            f"{counted(left_out)}; {word}s flagged: {counted(image_flags)}; lesions flagged: {counted(lesion_flags)}; "
            f"peak memory of a worker {peak / 2**20:.0f} MiB",
        ]
    )
