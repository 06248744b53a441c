"""Inner folds of image shards: tables of the training patients alone, divided again, that point to the same pictures.

A recipe reads such tables as it reads those of the image stage. So it sees no patient of validation or test, whatever
it does with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mammoflow.cohort.folds import FILE_COLUMN
from mammoflow.cohort.splits import fold_of_patients
from mammoflow.config.split import SplitSettings
from mammoflow.errors import StudyError
from mammoflow.tables.cohort import made_of_phantoms
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.training.sources import of_sources


@dataclass(frozen=True)
class InnerShards:
    """The training patients of image shards, in folds.

    Attributes
    ----------
    shards
        Rows of CANONICAL_IMAGES and CANONICAL_LESIONS of each shard: those of training patients, with absolute paths.
    fold_of
        Fold of each patient, from 0; the key is `source/patient`.
    count
        Number of folds.
    """

    shards: Sequence[tuple[pd.DataFrame, pd.DataFrame]]
    fold_of: dict[str, int]
    count: int

    @classmethod
    def draw(cls, folders: Sequence[Path], count: int, seed: int, sources: Sequence[str] = ()) -> InnerShards:
        """Draw the folds by patient: those with a lesion mask and those without one are spread evenly.

        Parameters
        ----------
        folders
            Folders of image-stage shards.
        count
            Number of folds.
        seed
            Of the draw, which depends on it and on the ids of the patients, and not on the order of rows.
        sources
            Names of the data sets to take; none takes all.

        Raises
        ------
        StudyError
            If a name is not that of a data set, or fewer patients have a lesion mask than there are folds.
        """
        shards = [_of_training(folder) for folder in folders]
        images = of_sources(pd.concat([images for images, _ in shards], ignore_index=True), sources)
        used = set(images["source"])
        shards = [(_of_used(images, used), _of_used(lesions, used)) for images, lesions in shards]
        lesions = pd.concat([lesions for _, lesions in shards], ignore_index=True)
        with_mask = set(_patients(lesions[lesions["mask_file"].notna()]))
        if len(with_mask) < count:
            raise StudyError(
                f"train has {len(with_mask)} patients with the mask of a lesion, and inner_folds is {count}; expected "
                f"at least one in each inner fold. Set inner_folds to {len(with_mask)} or less (2 at least), or add "
                "patients"
            )
        patients = images.assign(patient_id=_patients(images)).drop_duplicates("patient_id", ignore_index=True)
        has_mask = patients["patient_id"].isin(with_mask)
        patients = patients.assign(malignant=has_mask, labelled=has_mask)  # the two strata of the draw
        return cls(shards, fold_of_patients(patients, SplitSettings(method="kfold", folds=count, seed=seed)), count)

    def write(self, fold: int, folder: Path) -> list[Path]:
        """Write the tables of a fold: its patients are in validation, and the others in train.

        Returns
        -------
        list
            The folder of each shard.
        """
        written = []
        for number, (images, lesions) in enumerate(self.shards):
            shard = folder / f"{number:02d}"
            write_table(self._divided(images, fold), CANONICAL_IMAGES, shard / "images.parquet")
            write_table(self._divided(lesions, fold), CANONICAL_LESIONS, shard / "lesions.parquet")
            written.append(shard)
        return written

    def patients(self) -> list[str]:
        """Return the patients, as `source/patient`, sorted."""
        return sorted(self.fold_of)

    @property
    def phantom(self) -> bool:
        """Whether any of the images is a phantom's."""
        return any(made_of_phantoms(images) for images, _ in self.shards)

    def counts(self) -> list[dict[str, int]]:
        """Return how many patients, images and lesions each fold holds out."""
        tables = [pd.concat(of_shards, ignore_index=True) for of_shards in zip(*self.shards, strict=True)]
        folds = [_patients(table).map(self.fold_of) for table in tables]
        return [
            {
                "patients": sum(each == fold for each in self.fold_of.values()),
                "images": int((folds[0] == fold).sum()),
                "lesions": int((folds[1] == fold).sum()),
            }
            for fold in range(self.count)
        ]

    def content(self) -> str:
        """Return the tables as text without the places of files; other patients, pictures or masks give another one."""
        tables = (table for shard in self.shards for table in shard)
        kept = (table[[name for name in table.columns if not name.endswith(FILE_COLUMN)]] for table in tables)
        return "\n".join(table.to_csv(index=False) for table in kept)

    def _divided(self, table: pd.DataFrame, fold: int) -> pd.DataFrame:
        held_out = _patients(table).map(self.fold_of) == fold
        return table.assign(split=np.where(held_out, "validation", "train"))


def _of_training(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the images and lesions of the training patients of a shard, with absolute paths."""
    tables = []
    for name, schema in (("images", CANONICAL_IMAGES), ("lesions", CANONICAL_LESIONS)):
        table = read_table(folder / f"{name}.parquet", schema)
        table = table[table["split"] == "train"].reset_index(drop=True)
        columns = [name for name in table.columns if name.endswith(FILE_COLUMN)]
        tables.append(table.assign(**{name: f"{folder.resolve()}/" + table[name] for name in columns}))
    return tables[0], tables[1]


def _of_used(table: pd.DataFrame, sources: set[str]) -> pd.DataFrame:
    return table[table["source"].isin(sources)].reset_index(drop=True)


def _patients(table: pd.DataFrame) -> pd.Series:
    patients: pd.Series = table["source"] + "/" + table["patient_id"]
    return patients
