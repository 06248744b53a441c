"""Two views of a breast together: the picture of a lesion beside that of the same finding in the other view."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mammoflow.classification.cases import Cases
from mammoflow.classification.covariates import UNKNOWN
from mammoflow.classification.samples import Inputs, Samples
from mammoflow.config.pictures import Combine
from mammoflow.errors import StudyError
from mammoflow.storage.files import array_digest, text_digest
from mammoflow.training.batching import Rows


def rows_of_other_view(cases: Cases) -> Rows:
    """Return for each lesion the row of the lesion that shows its finding in another view of the breast.

    Of several, the one whose annotated box has the nearest diagonal in millimetres is taken, and of equal ones the
    first by `lesion_id`. A lesion keeps its own row where no other view shows its finding, or where its view or its
    side is unknown: without a side, equal numbers may be two findings. The other lesion is always in the same split:
    under a split by image a training sample shows no test image.

    Returns
    -------
    ndarray
        (lesions,)

    Raises
    ------
    StudyError
        If lesions of several patients have one `finding_id`.
    """
    lesions, sizes = cases.lesions, _box_diagonals_mm(cases)
    partners = np.arange(len(lesions))
    views = lesions["view"].to_numpy(dtype=object)
    for finding, group in lesions.groupby("finding_id"):
        patients = sorted(group["patient_id"].unique())
        if len(patients) > 1:
            raise StudyError(
                f"finding {finding} has lesions of {len(patients)} patients, first {patients[:3]}; expected each "
                "finding to be of one patient, so that no patient leaves its split. Correct the findings of the case "
                "table and run the cohort stage again"
            )
        # rows are in the order of the ids, so that `min` takes the first of equal ones
        known = ~group["view"].isin(UNKNOWN) & (group["laterality"] != "")
        for _, side in group[known].groupby(["laterality", "split"]):
            rows = side.index.to_numpy()
            for row in rows:
                others = rows[views[rows] != views[row]]
                if others.size:
                    partners[row] = min(others, key=lambda other: abs(sizes[other] - sizes[row]))
    return partners


def _box_diagonals_mm(cases: Cases) -> npt.NDArray[np.float64]:
    """Return the diagonal (lesions,) of each annotated box in millimetres."""
    lesions = cases.lesions
    spacing = cases.images.iloc[lesions["image_index"]][["row_spacing_mm", "column_spacing_mm"]].to_numpy(np.float64)
    low, high = lesions[["y0", "x0"]].to_numpy(np.float64), lesions[["y1", "x1"]].to_numpy(np.float64)
    diagonals: npt.NDArray[np.float64] = np.linalg.norm((high - low) * spacing, axis=1)
    return diagonals


class TwoViewSamples(Samples):
    """Lesions that are two pictures each: their own, and that of another lesion.

    Parameters
    ----------
    pictures
        Lesions that are one picture each.
    partners
        (lesions,) row of the lesion whose picture is the second one; a lesion without one has its own row.
    combine
        How the features of both pictures become those of the lesion.
    """

    def __init__(self, pictures: Samples, partners: Rows, combine: Combine) -> None:
        self.pictures, self.partners, self.combine = pictures, partners, combine
        self.labels, self.split, self.usable = pictures.labels, pictures.split, pictures.usable
        self.sample_of, self.rests_on_model = pictures.sample_of, pictures.rests_on_model
        self.digest = text_digest(pictures.digest, array_digest(partners))
        alone = int((partners == np.arange(len(partners))).sum())
        self.notes = {**pictures.notes, "lesions_without_other_view": alone}

    def __getitem__(self, row: int) -> Inputs:
        """Return `picture` (2, 1 or 3, side, side), float32 in 0..1: the lesion's own view first."""
        both = self.pictures[row], self.pictures[int(self.partners[row])]
        return {"picture": torch.stack([inputs["picture"] for inputs in both])}

    def drawn(self, row: int, generator: np.random.Generator) -> Inputs:
        """Return `picture` with changes that are drawn for each view by itself."""
        rows = row, int(self.partners[row])
        return {"picture": torch.stack([self.pictures.drawn(place, generator)["picture"] for place in rows])}

    def levels(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return mean and deviation (1 or 3, 1, 1) of the own pictures of some lesions."""
        return self.pictures.levels(rows)
