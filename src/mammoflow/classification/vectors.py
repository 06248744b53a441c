"""Vectors: samples that are one vector each, and feature vectors beside any sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mammoflow.classification.cases import Cases
from mammoflow.classification.samples import Inputs, Samples
from mammoflow.classification.standardiser import Standardiser
from mammoflow.errors import StudyError
from mammoflow.storage.files import array_digest
from mammoflow.tables.features import FEATURES, feature_columns
from mammoflow.tables.files import read_tables
from mammoflow.training.batching import Rows


class VectorSamples(Samples):
    """Lesions that are one vector each.

    Parameters
    ----------
    vectors
        (lesions, numbers), NaN where a lesion has none.
    labels, split, usable
        See `Samples`.
    """

    def __init__(
        self,
        vectors: npt.NDArray[np.float32],
        labels: npt.NDArray[np.float32],
        split: npt.NDArray[np.object_],
        usable: npt.NDArray[np.bool_],
    ) -> None:
        self.vectors, self.labels, self.split, self.usable = vectors, labels, split, usable
        self.sample_of = np.arange(len(labels))
        self.digest = array_digest(vectors)
        self.notes = {}

    def __getitem__(self, row: int) -> Inputs:
        """Return `vector` (numbers,)."""
        return {"vector": torch.from_numpy(self.vectors[row])}

    def levels(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return mean and deviation (numbers,) of the vectors of some lesions."""
        chosen = self.vectors[rows].astype(np.float64)
        return torch.from_numpy(chosen.mean(axis=0)), torch.from_numpy(chosen.std(axis=0))


@dataclass(frozen=True)
class FeatureVectors:
    """Features of lesions, standardised by the training lesions.

    Attributes
    ----------
    values
        (lesions, columns) float32, without gaps.
    columns
        Names of the columns that are used.
    missing
        Lesions without any feature.
    """

    values: npt.NDArray[np.float32]
    columns: list[str]
    missing: int

    def joined(self, other: FeatureVectors) -> FeatureVectors:
        """Return these columns and others after them; lesions without features are those that these lack."""
        values = np.concatenate([self.values, other.values], axis=1)
        return FeatureVectors(values, [*self.columns, *other.columns], self.missing)


def feature_vectors(families: list[str], tables: list[Path], cases: Cases, training: Rows) -> FeatureVectors | None:
    """Read the features of some families; None where no family is asked for.

    Parameters
    ----------
    families
        Feature families; their columns are in this order.
    tables
        Tables of all families, each in a folder with the name of its family.
    cases
        The lesions.
    training
        Rows of the lesions by which columns are standardised and gaps are filled.

    Raises
    ------
    StudyError
        If a family has no table, or no column varies over the training lesions.
    """
    if not families:
        return None
    blocks, names = [], []
    for family in families:
        files = [table for table in tables if table.parent.name == family]
        if not files:
            raise StudyError(
                f"vectors names {family}, and no table of that family was given; expected tables in a folder {family}"
            )
        table = read_tables(files, FEATURES).set_index("lesion_id")
        columns = feature_columns(table, family)
        blocks.append(table[columns].reindex(cases.lesions["lesion_id"]).to_numpy(dtype=np.float64, na_value=np.nan))
        names += columns
    matrix = np.concatenate(blocks, axis=1)
    standardiser = Standardiser.fit(matrix[training])
    used = [name for name, varies in zip(names, standardiser.kept, strict=True) if varies]
    if not used:
        raise StudyError(
            f"none of {matrix.shape[1]} columns of {', '.join(families)} varies over the training lesions; expected "
            "some that do. Look at the feature tables, or take the family out of `vectors`"
        )
    missing = int((~np.isfinite(matrix)).all(axis=1).sum())
    return FeatureVectors(standardiser.transform(matrix), used, missing)
