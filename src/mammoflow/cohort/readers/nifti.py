"""NIfTI volumes with mask volumes: chosen slices of each volume become images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.cohort.reader import Exclusion, FoundImage, FoundLesion, Row
from mammoflow.cohort.readers._nifti_options import Options
from mammoflow.cohort.readers.folders import StudyReader as FoldersReader
from mammoflow.errors import ExcludedCase
from mammoflow.formats.study_paths import safe_path
from mammoflow.formats.volumes import AXES, SUFFIXES, place_text, read_volume, refuse_other_grid
from mammoflow.reasons.lesions import LesionReason


class StudyReader(FoldersReader):
    """Folders of volumes, laid out as for the reader `folders`."""

    suffixes = SUFFIXES

    @property
    def volume_options(self) -> Options:
        """The options of this reader."""
        return cast("Options", self.dataset.options)

    def read_rows(self) -> tuple[pd.DataFrame, list[Exclusion]]:
        """Return one row for each chosen slice; a volume without a mask that can be read is excluded."""
        volumes, excluded = super().read_rows()
        rows: list[dict[str, Any]] = []
        for volume in volumes.to_dict("records"):
            row = {str(name): value for name, value in volume.items()}
            try:
                rows += self._slices(row)
            except ExcludedCase as problem:
                excluded.append(Exclusion.of("image", problem, row, str(row["mask_name"] or row["image_name"])))
        return pd.DataFrame(rows, columns=[*volumes.columns, "place"]), excluded

    def find_image(self, rows: Sequence[Row]) -> FoundImage:
        """Check that the volume is there; the image stage reads it."""
        name = str(rows[0]["image_name"])
        safe_path(self.study, name)
        return FoundImage(name, further={"volume_slice": rows[0]["place"]})

    def find_lesion(self, row: Row, image: FoundImage) -> FoundLesion:
        """Name the slice and the values of the mask."""
        values = ",".join(map(str, self.volume_options.mask_values))
        return FoundLesion(str(row["mask_name"]), {"volume_slice": row["place"], "mask_value": values or ">0"})

    def _slices(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of the chosen slices of one volume and mask."""
        options = self.volume_options
        if not row["mask_name"]:
            raise ExcludedCase(LesionReason.MASK_NOT_FOUND, "no file fits cohort.dataset.options.masks for this volume")
        path = safe_path(self.study, str(row["mask_name"]))
        refuse_other_grid(safe_path(self.study, str(row["image_name"])), path)
        mask = read_volume(path).voxels
        marked = np.isin(np.rint(mask), options.mask_values) if options.mask_values else mask > 0
        others = tuple(axis for axis in range(3) if axis != AXES[options.plane])
        areas = marked.sum(axis=others)
        if not areas.any():
            raise ExcludedCase(LesionReason.MASK_EMPTY, f"no voxel of the mask has a value of {options.mask_values}")
        return [
            {
                **row,
                "image_id": f"{row['image_id']}_{options.plane}{index:04d}",
                "lesion_id": f"{row['lesion_id']}_{options.plane}{index:04d}",
                "label": row["label"] if areas[index] else "normal",
                "place": place_text(options.plane, int(index)),
            }
            for index in chosen_slices(areas, options.slices, options.every)
        ]


def chosen_slices(areas: npt.NDArray[np.int64], which: str, every: int) -> list[int]:
    """Return the indices of the slices that are images.

    Parameters
    ----------
    areas
        (slices,) pixels of the lesion on each slice.
    which
        "largest", "lesion" or "all", see `Options.slices`.
    every
        Only every n-th of them.
    """
    if which == "largest":
        return [int(np.argmax(areas))]
    places = np.flatnonzero(areas) if which == "lesion" else np.arange(areas.size)
    return [int(place) for place in places[::every]]
