"""The radiomics stage: PyRadiomics features of each lesion of a shard."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from mammoflow.config.features import RadiomicsSettings
from mammoflow.features.feature_table import Row, feature_row, write_features
from mammoflow.features.lesion_patch import PatchReader
from mammoflow.features.radiomics import LesionRadiomics
from mammoflow.run.runtime import progress

SERIAL_BELOW = 100
"""Lesions below which one process is faster: another takes seconds to start, a lesion a twentieth of one."""


class _Worker:
    """What a process needs for one lesion after the other."""

    def __init__(self, settings: RadiomicsSettings, images: Path, masks: Path) -> None:
        self.reader = PatchReader(images, masks, settings.mask, settings.spacing_mm)
        self.compute = LesionRadiomics(settings)

    def row(self, index: int) -> Row:
        return feature_row(self.reader, index, self.compute)


_worker: list[_Worker] = []


def _start(settings: RadiomicsSettings, images: Path, masks: Path) -> None:
    _worker[:] = [_Worker(settings, images, masks)]


def _row(index: int) -> Row:
    return _worker[0].row(index)


def extract_radiomics(settings: RadiomicsSettings, images: Path, masks: Path, output: Path, threads: int) -> None:
    """Write the radiomics features of every lesion of a shard, in the order of its lesion table.

    Parameters
    ----------
    settings
        Feature classes and discretisation. PyRadiomics computes on the CPU whatever the device.
    images
        Folder of the shard that the image stage wrote.
    masks
        Folder of the shard that the segment stage wrote.
    output
        Table to write (Parquet, FEATURES): keys, `status`, `detail`, `spacing_mm`, the columns of `LesionRadiomics`.
    threads
        Processes; a small shard takes one.

    Raises
    ------
    StudyError
        If a file of an earlier stage is missing or damaged.
    """
    worker = _Worker(settings, images, masks)
    lesions = len(worker.reader)
    processes = min(threads, lesions // SERIAL_BELOW + 1)
    parallel = _rows_of_processes(settings, images, masks, lesions, processes)
    rows = map(worker.row, range(lesions)) if processes <= 1 else parallel
    write_features(list(progress(rows, "radiomics", total=lesions)), worker.compute.columns, output)


def _rows_of_processes(
    settings: RadiomicsSettings, images: Path, masks: Path, lesions: int, processes: int
) -> Iterator[Row]:
    """Yield the rows in order. New processes are spawned: forking one that has started threads can hang."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_start, initargs=(settings, images, masks)) as pool:
        yield from pool.map(_row, range(lesions), chunksize=4)
