"""The lesions and images that classifiers are trained on and predict, joined from the shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.config.split_names import SPLITS
from mammoflow.errors import LeakageError, StudyError
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS, FULLY_ANNOTATED
from mammoflow.tables.masks import MASKS


@dataclass(frozen=True)
class Cases:
    """All lesions of a study that have a canonical image.

    Attributes
    ----------
    lesions
        Table CANONICAL_LESIONS; the column `folder` is the shard's folder, `image_index` the row of its image.
    images
        Table CANONICAL_IMAGES, with `folder`.
    """

    lesions: pd.DataFrame
    images: pd.DataFrame

    @property
    def labels(self) -> npt.NDArray[np.float32]:
        """(lesions,): 1 malignant, 0 benign, NaN unknown."""
        return self.lesions["malignant"].to_numpy(dtype=np.float32, na_value=np.nan)

    def only(self, rows: npt.NDArray[np.intp]) -> Cases:
        """Return some of the lesions, by their rows, with their images alone."""
        lesions = self.lesions.iloc[rows].reset_index(drop=True)
        kept, places = np.unique(lesions["image_index"].to_numpy(dtype=np.intp), return_inverse=True)
        images = self.images.iloc[kept].reset_index(drop=True)
        return Cases(lesions.assign(image_index=places), images)

    def table_of(self, sample_of: npt.NDArray[np.intp], number: int) -> pd.DataFrame:
        """Return the table whose rows are the samples of an input: the lesions, or the images.

        Parameters
        ----------
        sample_of
            (lesions,) the sample of each lesion.
        number
            Samples.

        Raises
        ------
        ValueError
            If they are neither.
        """
        of_images = number == len(self.images) and np.array_equal(sample_of, self.lesions["image_index"])
        table = self.images if of_images else self.lesions
        patients = table["patient_id"].to_numpy()
        if len(table) != number or (patients[sample_of] != self.lesions["patient_id"].to_numpy()).any():
            raise ValueError("the samples are neither the lesions nor the images of the tables")
        return table

    @property
    def image_labels(self) -> npt.NDArray[np.float32]:
        """(images,): 1 where any lesion of the image is malignant, 0 where all are benign, NaN otherwise.

        A lesion that was left out may be malignant: so an image without a malignant lesion is NaN where it is not
        fully annotated.
        """
        labels = np.full(len(self.images), np.nan, np.float32)
        for index, group in self.lesions.groupby("image_index"):
            values = group["malignant"].to_numpy(dtype=np.float32, na_value=np.nan)
            labels[int(str(index))] = 1.0 if np.any(values == 1) else values.sum()
        if FULLY_ANNOTATED in self.images.columns:
            labels[(labels == 0) & ~self.images[FULLY_ANNOTATED].to_numpy(dtype=np.bool_)] = np.nan
        return labels


def read_cases(folders: list[Path]) -> Cases:
    """Read the image stage's shards and check that no patient is on two sides, unless the split leaks on purpose.

    Raises
    ------
    StudyError
        If there is no lesion, or a lesion's image is missing.
    LeakageError
        If a patient is in two splits, and the tables do not say that the split was drawn by image on purpose.
    """
    images = _join(folders, "images.parquet", "image_id")
    lesions = _join(folders, "lesions.parquet", "lesion_id")
    if lesions.empty:
        raise StudyError("no lesion in the images tables; expected at least one in train and validation")
    row_of = {image_id: row for row, image_id in enumerate(images["image_id"])}
    lost = sorted(set(lesions["image_id"]) - set(row_of))
    if lost:
        raise StudyError(f"{len(lost)} images of lesions are not in images.parquet, first {lost[0]}; run images again")
    lesions["image_index"] = lesions["image_id"].map(row_of).astype(int)
    both = pd.concat([lesions[["patient_id", "split"]], images[["patient_id", "split"]]]).drop_duplicates()
    shared = sorted(both["patient_id"][both["patient_id"].duplicated()].unique())
    if shared and not ("leaking" in lesions.columns and (lesions["leaking"] == 1).all()):
        raise LeakageError(
            f"{len(shared)} patients are on two sides of the split, first {shared[:3]}; expected each in one of "
            f"{', '.join(SPLITS)}; run the cohort stage again"
        )
    return Cases(lesions, images)


def _join(folders: list[Path], name: str, key: str) -> pd.DataFrame:
    schema = CANONICAL_IMAGES if key == "image_id" else CANONICAL_LESIONS
    tables = [read_table(folder / name, schema).assign(folder=str(folder)) for folder in folders]
    joined = pd.concat([table for table in tables if not table.empty] or tables[:1], ignore_index=True)
    # one order whatever the number of shards, so that seeds give the same training
    return joined.sort_values(key, ignore_index=True)


def predicted_masks(folders: list[Path]) -> pd.DataFrame:
    """Read the masks that the segmentation stage handed on.

    Returns
    -------
    DataFrame
        Table MASKS with `folder`, indexed by `lesion_id`.

    Raises
    ------
    StudyError
        If a lesion has masks of several models, so that it is not clear which one is meant.
    """
    tables = [read_table(folder / "masks.parquet", MASKS).assign(folder=str(folder)) for folder in folders]
    masks = pd.concat([table for table in tables if not table.empty] or tables[:1], ignore_index=True)
    if masks["lesion_id"].duplicated().any():
        models = ", ".join(sorted(masks["model"].unique()))
        raise StudyError(f"masks of several models for one lesion ({models}); pass the folders of one model")
    return masks.set_index("lesion_id")


def mask_paths(cases: Cases, masks: pd.DataFrame, which: str) -> list[Path | None]:
    """Return each lesion's mask file, None where it has none.

    Parameters
    ----------
    cases
        The lesions.
    masks
        What `predicted_masks` returned.
    which
        "predicted" or "reference".
    """
    return list(_mask_paths(cases, masks, which))


def _mask_paths(cases: Cases, masks: pd.DataFrame, which: str) -> Iterator[Path | None]:
    for lesion_id, folder, file in cases.lesions[["lesion_id", "folder", "mask_file"]].itertuples(index=False):
        if which == "reference":
            yield None if pd.isna(file) else Path(folder) / file
        elif lesion_id in masks.index:
            yield Path(str(masks.at[lesion_id, "folder"])) / str(masks.at[lesion_id, "mask_file"])
        else:
            yield None
