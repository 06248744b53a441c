"""The feature stage: one family of features for each lesion of a shard."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from mammoflow.config.features import FEATURE_FAMILIES, FeatureOptions
from mammoflow.errors import ExcludedCase
from mammoflow.features.extractor import FamilyExtractor
from mammoflow.features.lesion_patch import PatchFiles
from mammoflow.run.runtime import choose_device, progress, set_threads
from mammoflow.tables.features import OK, FeatureRow, write_features

SERIAL_BELOW = 100
"""Lesions below which one process is faster: another takes seconds to start, a lesion a twentieth of one."""


def extract(family: str, options: FeatureOptions, images: Path, masks: Path | None, output: Path, threads: int) -> None:
    """Write the features of every lesion of a shard, in the order of its lesion table.

    Parameters
    ----------
    family
        Name of the feature family.
    options
        The family's options.
    images
        Folder of the shard that the image stage wrote.
    masks
        Folder of the shard that the segment stage wrote; may be missing for reference masks.
    output
        Table to write (Parquet, FEATURES).
    threads
        Lesions that are computed at the same time, in threads or in processes as the family says.

    Raises
    ------
    StudyError
        If a file of an earlier stage is missing or damaged.
    ConfigError
        If the device asked for is missing, or predicted masks are asked for without their folder.
    """
    member = FEATURE_FAMILIES.load(family)
    job = _Job(family, options, images, masks, _device(member, options))
    worker = _Worker(job)
    lesions = len(worker.patches)
    if not member.PROCESSES or job.device != "cpu":
        rows = _rows_of_threads(worker, lesions, threads)
    elif (processes := min(threads, lesions // SERIAL_BELOW + 1)) > 1:
        rows = _rows_of_processes(job, lesions, processes)
    else:
        rows = map(worker.row, range(lesions))
    extractor = worker.extractor
    write_features(
        list(progress(rows, family, total=lesions)), family, extractor.columns, extractor.description, output
    )


def _device(member: ModuleType, options: FeatureOptions) -> str:
    """Return the device of a family, and limit each of its computations to one thread of the CPU.

    A lesion at a time in each thread is faster than one lesion in several: decoding, resampling and transforms release
    Python's lock, and a single transform is too small to split. Without a GPU, torch is not loaded.
    """
    if not (member.GPU and options.can_use_gpu):
        return "cpu"
    set_threads(1)
    return str(choose_device(getattr(options, "device", "auto")))


@dataclass(frozen=True)
class _Job:
    """What a process must be told to compute lesions."""

    family: str
    options: FeatureOptions
    images: Path
    masks: Path | None
    device: str


class _Worker:
    """Reads and computes one lesion after the other."""

    def __init__(self, job: _Job) -> None:
        options = job.options
        self.patches = PatchFiles(
            job.images,
            job.masks,
            options.mask,
            options.spacing_mm,
            options.without_pectoral,
            options.compares_breasts,
        )
        self.extractor: FamilyExtractor = FEATURE_FAMILIES.load(job.family).open_family(options, job.device)

    def row(self, index: int) -> FeatureRow:
        """Return the row of a lesion: its ids, `status`, `detail`, `spacing_mm` and the numbers of the family."""
        patches = self.patches
        row: FeatureRow = {**patches.keys(index), "status": OK, "detail": "", "spacing_mm": patches.spacing(index)}
        try:
            row.update(self.extractor(patches.read(index)))
        except ExcludedCase as error:
            row.update(status=str(error.reason), detail=error.detail)
        return row


_worker: list[_Worker] = []


def _start(job: _Job) -> None:
    _worker[:] = [_Worker(job)]


def _row(index: int) -> FeatureRow:
    return _worker[0].row(index)


def _rows_of_threads(worker: _Worker, lesions: int, threads: int) -> Iterator[FeatureRow]:
    """Yield the rows in order."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        yield from pool.map(worker.row, range(lesions))


def _rows_of_processes(job: _Job, lesions: int, processes: int) -> Iterator[FeatureRow]:
    """Yield the rows in order. New processes are spawned: forking one that has started threads can hang."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_start, initargs=(job,)) as pool:
        yield from pool.map(_row, range(lesions), chunksize=4)
