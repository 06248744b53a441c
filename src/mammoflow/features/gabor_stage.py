"""The Gabor stage: texture around each lesion of a shard against the tissue about it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mammoflow.config.features import GaborSettings
from mammoflow.features.feature_table import Row, feature_row, write_features
from mammoflow.features.lesion_patch import PatchReader
from mammoflow.features.texture import LesionTexture
from mammoflow.run.runtime import choose_device, progress, set_threads


def extract_gabor(settings: GaborSettings, images: Path, masks: Path, output: Path, threads: int) -> None:
    """Write the Gabor features of every lesion of a shard, in the order of its lesion table.

    Parameters
    ----------
    settings
        Regions, bank and device.
    images
        Folder of the shard that the image stage wrote.
    masks
        Folder of the shard that the segment stage wrote.
    output
        Table to write (Parquet, FEATURES): keys, `status`, `detail`, `spacing_mm`, the columns of `LesionTexture`.
    threads
        Lesions worked on at the same time.

    Raises
    ------
    StudyError
        If a file of an earlier stage is missing or damaged.
    ConfigError
        If the device asked for is not there.
    """
    texture = LesionTexture(settings, choose_device(settings.device))
    reader = PatchReader(images, masks, settings.mask, settings.spacing_mm, settings.exclude_pectoral)
    # One thread a lesion: decoding, resampling and transforms all release Python's lock, a single transform is too
    # small to be worth splitting.
    set_threads(1)

    def work(index: int) -> Row:
        return feature_row(reader, index, texture)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        rows = list(progress(pool.map(work, range(len(reader))), "gabor", total=len(reader)))
    write_features(rows, texture.columns, output)
