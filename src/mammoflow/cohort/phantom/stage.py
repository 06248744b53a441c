"""The phantom stage: draw a study, render its films in parallel, and write it as a CBIS-DDSM download looks."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from mammoflow.cohort.phantom.files import FilmWriter, StoredFile, WrittenFilm
from mammoflow.cohort.phantom.film import draw_film
from mammoflow.cohort.phantom.names import NORMAL_TABLE
from mammoflow.cohort.phantom.population import Breast, draw_study
from mammoflow.cohort.phantom.tables import (
    MANIFEST,
    MARKER,
    SPACING_TABLE,
    case_tables,
    manifest,
    marker,
    normal_table,
    spacing_table,
)
from mammoflow.config.phantom import PhantomSettings
from mammoflow.errors import StudyError
from mammoflow.run.runtime import progress
from mammoflow.storage.files import file_digest, write_text

UNEVEN_FROM = 40
"""Patients from which on a study holds a mask of uneven scales, a case that has to be excluded."""


def write_phantom_study(settings: PhantomSettings, output: Path, threads: int) -> None:
    """Write a phantom study.

    The study is built in a folder beside `output` and renamed at the end, so `output` is never a part of a study.
    The bytes of its files depend on the settings alone, not on the number of processes.

    Parameters
    ----------
    settings
        Number of patients, seed, pixel spacing, layout.
    output
        Folder of the study; what lies there is replaced.
    threads
        Number of processes that render films.

    Raises
    ------
    StudyError
        If `output` exists and is no folder, or is a folder that holds something other than a phantom study.
    """
    _check_output(output)
    unfinished = output.with_name(f".{output.name}-unfinished")
    replaced = output.with_name(f".{output.name}-replaced")
    for leftover in (unfinished, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        _write_into(unfinished, settings, threads)
        if output.exists():
            output.replace(replaced)
        unfinished.replace(output)
        shutil.rmtree(replaced, ignore_errors=True)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _check_output(output: Path) -> None:
    """Refuse to replace anything that this stage did not write."""
    if output.exists() and not output.is_dir():
        raise StudyError(f"{output} is a file; expected a folder for the phantom study, or nothing")
    if output.is_dir() and any(output.iterdir()) and not (output / MARKER).is_file():
        raise StudyError(
            f"{output} holds files but no {MARKER}, so it is no phantom study; remove it or name another folder"
        )
    foreign = _foreign_files(output) if output.is_dir() else []
    if foreign:
        raise StudyError(
            f"{output} is a phantom study that holds {foreign[0]} too, which this stage did not write; nothing was "
            "changed: move that file to another folder, or name another folder for the study"
        )


def _foreign_files(study: Path) -> list[str]:
    """Return the files of a phantom study that are not its own, sorted.

    Its manifest lists them all. Snakemake removes the manifest before the stage runs; then DICOM files and tables of
    the study's names count as its own.
    """
    files = {path.relative_to(study).as_posix() for path in study.rglob("*") if path.is_symlink() or not path.is_dir()}
    files -= {MARKER, MANIFEST}
    if (study / MANIFEST).is_file():
        with (study / MANIFEST).open(newline="", encoding="utf-8") as table:
            return sorted(files - {row["path"] for row in csv.DictReader(table)})
    tables = {*case_tables([]), NORMAL_TABLE, SPACING_TABLE}
    return sorted(file for file in files if not file.endswith(".dcm") and file not in tables)


def _write_into(root: Path, settings: PhantomSettings, threads: int) -> None:
    breasts = draw_study(settings)
    writer = FilmWriter(root, settings.layout, settings.seed, _uneven(settings, breasts))
    films = [(breast, view) for breast in breasts for view in breast.views]
    written = list(progress(_render(writer, films, threads), "phantom films", total=len(films)))
    files = [file for film in written for file in film.files]
    rows = [row for film in written for row in film.rows]
    tables = case_tables(rows)
    normal = [film.normal for film in written if film.normal]
    if normal:
        tables[NORMAL_TABLE] = normal_table(normal)
    tables[SPACING_TABLE] = spacing_table([spacing for film in written for spacing in film.spacings])
    for name, text in tables.items():
        write_text(root / name, text)
        files.append(StoredFile(name, file_digest(root / name), "table", None))
    write_text(root / MANIFEST, manifest(files))
    write_text(root / MARKER, marker(settings, len(films), len(normal), len(rows)))


def _uneven(settings: PhantomSettings, breasts: Sequence[Breast]) -> tuple[str, str] | None:
    """Choose the finding and view whose mask is to fit its film in no even scale."""
    if settings.patients < UNEVEN_FROM:
        return None
    for breast in breasts:
        for finding in breast.findings:
            if breast.fine_scanner and finding.split == "Training" and len(finding.views) == 2:
                return finding.finding_id, "MLO"
    return None


def _draw_and_write(writer: FilmWriter, film: tuple[Breast, str]) -> WrittenFilm:
    return writer.write(draw_film(*film))


def _render(writer: FilmWriter, films: Sequence[tuple[Breast, str]], threads: int) -> Iterator[WrittenFilm]:
    """Render and write films in as many processes as there are threads; the order is that of `films`."""
    job = partial(_draw_and_write, writer)
    if threads <= 1:
        yield from map(job, films)
        return
    # Forking a process that has threads (torch, OpenCV) can hang; a spawned one starts clean.
    with ProcessPoolExecutor(threads, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        yield from pool.map(job, films, chunksize=4)


def _one_thread() -> None:
    import cv2

    cv2.setNumThreads(1)
