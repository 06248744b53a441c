"""The tables of other runs on whose images a segmentation model is trained: those of `train.more_images`."""

from __future__ import annotations

from pathlib import Path

from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError
from mammoflow.planning.models import training


def further_images(config: StudyConfig, model: str) -> list[str]:
    """Return the image tables of the further runs that a model is trained on.

    Shards that such a run had under an earlier number of shards are left out: its cohort has them no longer.

    Raises
    ------
    ConfigError
        If a folder has none.
    """
    tables: list[str] = []
    for folder in map(Path, training(config, model).more_images):
        # The folder of images is that of a run or of a fold.
        cohorts = [place / "cohort" / "shards" for place in (folder.parent, folder.parent.parent)]
        cohort = next((place for place in cohorts if place.is_dir()), folder)
        shards = [table for table in sorted(folder.glob("*/images.parquet")) if (cohort / table.parent.name).is_dir()]
        if not shards:
            raise ConfigError(
                f"segmentation.models.{model}.train.more_images: found no shards of images in {str(folder)!r}; "
                "expected the folder `images` of a finished run; make that run's target `images` first, or correct the "
                "path"
            )
        tables += map(str, shards)
    return tables


def further_tables(config: StudyConfig, model: str) -> list[str]:
    """Return the tables of images and of lesions, with their masks and labels, of the further runs of a training.

    Raises
    ------
    ConfigError
        If a folder has no table of images.
    """
    images = further_images(config, model)
    return [*images, *(str(Path(table).with_name("lesions.parquet")) for table in images)]
