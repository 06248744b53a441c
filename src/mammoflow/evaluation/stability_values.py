"""Features of the same lesions under many conditions: other masks, rotations and pixel spacings."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mammoflow.config.features import FEATURE_FAMILIES, FeatureOptions
from mammoflow.config.stability import StabilitySettings
from mammoflow.errors import ExcludedCase
from mammoflow.evaluation.metrics import FloatArray
from mammoflow.features.lesion_patch import LesionPatch, PatchFiles
from mammoflow.features.perturbations import resized_mask, rotated
from mammoflow.run.runtime import progress

REFERENCE = "reference"
"""The condition without a change."""

NOT_PERTURBED = ("_mirrored_", "_asymmetry")
"""Parts of the names of features whose source is not perturbed: the place of the other breast."""


@dataclass(frozen=True)
class Job:
    """What a process must be told to compute the lesions of one shard.

    Attributes
    ----------
    family, options
        The feature family.
    settings
        The conditions.
    images, masks
        Folders of the shard; no masks for annotated ones.
    further_masks
        Folders of masks from other boxes by condition.
    """

    family: str
    options: FeatureOptions
    settings: StabilitySettings
    images: Path
    masks: Path | None
    further_masks: Mapping[str, Path] = field(default_factory=dict)


class _Worker:
    """Computes one lesion after the other under every condition."""

    def __init__(self, job: Job) -> None:
        self.job = job
        share = job.settings.spacing_share
        factors = {"spacing too small": 1 - share, "spacing too large": 1 + share} if share else {}
        self.files = {
            REFERENCE: self._files(job.masks, 1.0),
            **{name: self._files(job.masks, factor) for name, factor in factors.items()},
            **{name: self._files(folder, 1.0) for name, folder in job.further_masks.items()},
        }
        self.extractor = FEATURE_FAMILIES.load(job.family).open_family(job.options, "cpu")
        self.columns = [name for name in self.extractor.columns if not any(part in name for part in NOT_PERTURBED)]
        ids = [str(name) for name in self.files[REFERENCE].lesions["lesion_id"]]
        self.places = {lesion: place for place, lesion in enumerate(ids)}

    def _files(self, masks: Path | None, factor: float) -> PatchFiles:
        options = self.job.options
        return PatchFiles(
            self.job.images,
            masks,
            options.mask,
            options.spacing_mm,
            options.without_pectoral,
            spacing_factor=factor,
        )

    def values(self, lesion: str) -> dict[str, FloatArray]:
        """Return the features (columns,) of a lesion by condition; `nan` where there are none."""
        place = self.places[lesion]
        found: dict[str, FloatArray] = {}
        for condition, files in self.files.items():
            try:
                patch = files.read(place)
            except ExcludedCase:
                patch = None
            found[condition] = self._features(patch)
            if condition == REFERENCE:
                found |= self._perturbed(patch)
        return found

    def _perturbed(self, patch: LesionPatch | None) -> dict[str, FloatArray]:
        settings, found = self.job.settings, {}
        for pixels in (settings.mask_pixels, -settings.mask_pixels) if settings.mask_pixels else ():
            try:
                changed = None if patch is None else resized_mask(patch, pixels)
            except ExcludedCase:
                changed = None
            found[f"mask {pixels:+d} px"] = self._features(changed)
        for degrees in settings.rotations_deg:
            found[f"rotation {degrees:+g} deg"] = self._features(None if patch is None else rotated(patch, degrees))
        return found

    def _features(self, patch: LesionPatch | None) -> FloatArray:
        if patch is None:
            return np.full(len(self.columns), np.nan)
        try:
            row = self.extractor(patch)
        except ExcludedCase:
            row = {}
        return np.array([float(row.get(name, np.nan)) for name in self.columns])


_worker: list[_Worker] = []


def _start(job: Job) -> None:
    _worker[:] = [_Worker(job)]


def _values(lesion: str) -> dict[str, FloatArray]:
    return _worker[0].values(lesion)


def feature_values(jobs: Sequence[tuple[Job, Sequence[str]]], threads: int) -> tuple[list[str], dict[str, FloatArray]]:
    """Compute a family's features of lesions under every condition.

    Parameters
    ----------
    jobs
        For each shard its job and the ids of its lesions.
    threads
        Processes to use.

    Returns
    -------
    tuple
        Names of the features, and (lesions, features) by condition, lesions in the order of the jobs.
    """
    columns: list[str] = []
    rows: dict[str, list[FloatArray]] = {}
    for job, lesions in jobs:
        with _computed(job, lesions, threads) as (names, values):
            columns = names
            for found in progress(values, f"{job.family} {job.images.name}", total=len(lesions)):
                for condition, row in found.items():
                    rows.setdefault(condition, []).append(row)
    return columns, {condition: np.stack(found) for condition, found in rows.items()}


@contextmanager
def _computed(
    job: Job, lesions: Sequence[str], threads: int
) -> Iterator[tuple[list[str], Iterator[dict[str, FloatArray]]]]:
    """Give the names of the features and an iterator over the lesions, in this process or in several."""
    worker = _Worker(job)
    if threads < 2 or len(lesions) < 2 * threads:
        yield worker.columns, map(worker.values, lesions)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(threads, context, initializer=_start, initargs=(job,)) as pool:
        yield worker.columns, pool.map(_values, lesions, chunksize=2)
