"""A lesion's patch with its mask and breast region, at the spacing at which features are computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.errors import ConfigError, ExcludedCase
from mammoflow.imaging.geometry import Mask, Row, mask_to_patch, resample
from mammoflow.reasons.lesions import LesionReason
from mammoflow.storage.files import read_image, read_mask
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import MASKS


@dataclass(frozen=True)
class LesionPatch:
    """What features are computed from.

    Attributes
    ----------
    image
        (rows, columns) float32 in the 16-bit grey levels of the film.
    mask
        (rows, columns): the lesion; at least one pixel.
    breast
        (rows, columns): the breast; pixels outside the film are not part of it.
    spacing_mm
        Pixel spacing in millimetres, the same along both axes.
    """

    image: npt.NDArray[np.float32]
    mask: Mask
    breast: Mask
    spacing_mm: float


class PatchFiles:
    """The patches of one shard, read from their files.

    Parameters
    ----------
    images
        Folder of the shard that the image stage wrote.
    masks
        Folder of the shard that the segment stage wrote; needed for predicted masks only.
    source
        Source of the mask that marks the lesion.
    spacing_mm
        Pixel spacing that patches are resampled to; a film with larger pixels keeps its spacing.
    exclude_pectoral
        Whether the pectoral muscle counts as outside the breast, where the image stage found one.

    Raises
    ------
    StudyError
        If a table is missing or does not fit.
    ConfigError
        If predicted masks are asked for without their folder.
    """

    def __init__(
        self,
        images: Path,
        masks: Path | None,
        source: Literal["predicted", "reference"],
        spacing_mm: float,
        exclude_pectoral: bool = False,
    ) -> None:
        self.images = images
        self.source = source
        self.spacing_mm = spacing_mm
        self.exclude_pectoral = exclude_pectoral
        self.lesions = read_table(images / "lesions.parquet", CANONICAL_LESIONS)
        table = read_table(images / "images.parquet", CANONICAL_IMAGES)
        self._rows: list[Row] = [dict(row) for _, row in self.lesions.iterrows()]
        self._image_rows: dict[str, Row] = {str(row["image_id"]): dict(row) for _, row in table.iterrows()}
        self._mask_paths: dict[str, Path] = {}
        self._models: dict[str, str] = {}
        if source == "predicted":
            if masks is None:
                raise ConfigError(
                    "mask is predicted, but no folder of masks is given; give one, or set it to reference"
                )
            predicted = read_table(masks / "masks.parquet", MASKS)
            files = [masks / name for name in predicted["mask_file"]]
            self._mask_paths = dict(zip(predicted["lesion_id"], files, strict=True))
            self._models = dict(zip(predicted["lesion_id"], predicted["model"], strict=True))

    def __len__(self) -> int:
        return len(self._rows)

    def keys(self, index: int) -> dict[str, object]:
        """Return the ids of a lesion and the model of its mask by column name."""
        ids = {name: self._rows[index][name] for name in ("lesion_id", "patient_id")}
        return {**ids, "mask_model": self._models.get(str(ids["lesion_id"]), "")}

    def spacing(self, index: int) -> float:
        """Return the pixel spacing in millimetres at which the features of a lesion are computed."""
        return max(self.spacing_mm, float(self._rows[index]["patch_spacing_mm"]))

    def read(self, index: int) -> LesionPatch:
        """Read the patch of the lesion in this row of `lesions`.

        Raises
        ------
        ExcludedCase
            If the lesion has no mask, or an empty one.
        StudyError
            If a file of an earlier stage is missing or damaged.
        """
        lesion = self._rows[index]
        image = np.asarray(read_image(self.images / lesion["patch_file"]), dtype=np.float32)
        shape = (image.shape[0], image.shape[1])
        mask = self._mask(lesion, shape)
        breast = read_mask(self.images / lesion["patch_breast_file"])
        if self.exclude_pectoral:
            breast = self._without_pectoral(lesion, breast, mask)
        spacing_in, spacing_out = float(lesion["patch_spacing_mm"]), self.spacing(index)
        if spacing_out > spacing_in:
            image, mask, breast = (resample(grid, spacing_in, spacing_out) for grid in (image, mask, breast))
        if not mask.any():
            raise ExcludedCase(LesionReason.MASK_EMPTY, f"the {self.source} mask has no pixel on the lesion's patch")
        return LesionPatch(image, mask, breast, spacing_out)

    def _without_pectoral(self, lesion: Row, breast: Mask, mask: Mask) -> Mask:
        """Take the pectoral muscle out of the breast, unless most of the lesion lies on it."""
        row = self._image_rows[lesion["image_id"]]
        name = row.get("pectoral_file")
        if not isinstance(name, str):
            return breast
        muscle = mask_to_patch(read_mask(self.images / name), lesion, row, (breast.shape[0], breast.shape[1]))
        if 2 * np.count_nonzero(mask & muscle) > np.count_nonzero(mask):
            return breast
        return np.asarray(breast & (~muscle | mask))

    def _mask(self, lesion: Row, shape: tuple[int, int]) -> Mask:
        """Return the mask on the grid of the patch file."""
        if self.source == "reference":
            if pd.isna(lesion["patch_mask_file"]):
                raise ExcludedCase(LesionReason.MASK_NOT_FOUND, "the study gives a box and no reference mask")
            return read_mask(self.images / lesion["patch_mask_file"])
        path = self._mask_paths.get(lesion["lesion_id"])
        if path is None:
            raise ExcludedCase(LesionReason.MASK_NOT_FOUND, "the segment stage wrote no mask for this lesion")
        return mask_to_patch(read_mask(path), lesion, self._image_rows[lesion["image_id"]], shape)
