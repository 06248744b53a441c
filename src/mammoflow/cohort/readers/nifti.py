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

Areas = npt.NDArray[np.int64]
MaskOfVolume = tuple[dict[str, Any], Areas]
"""The row of a mask, and the pixels that it marks on each slice."""


class StudyReader(FoldersReader):
    """Folders of volumes, laid out as for the reader `folders`."""

    suffixes = SUFFIXES

    @property
    def volume_options(self) -> Options:
        """The options of this reader."""
        return cast("Options", self.dataset.options)

    def read_rows(self) -> tuple[pd.DataFrame, list[Exclusion]]:
        """Return the rows of the chosen slices of each volume; masks that cannot be used are excluded."""
        volumes, excluded = super().read_rows()
        volumes_in_doubt, self.in_doubt = self.in_doubt, set()
        of_volumes: dict[str, list[dict[str, Any]]] = {}
        for values in volumes.to_dict("records"):
            row = {str(name): value for name, value in values.items()}
            of_volumes.setdefault(str(row["image_id"]), []).append(row)
        rows: list[dict[str, Any]] = []
        for volume, of_volume in of_volumes.items():
            usable, lost = self._read_masks(of_volume)
            slices = self._slices(usable)
            if volume in volumes_in_doubt or any(mask.reason is not LesionReason.MASK_EMPTY for mask in lost):
                self.in_doubt.update(str(row["image_id"]) for row in slices)
            rows += slices
            excluded += lost
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

    def _read_masks(self, rows: Sequence[dict[str, Any]]) -> tuple[list[MaskOfVolume], list[Exclusion]]:
        """Read the masks of one volume; those that cannot be used are excluded."""
        usable = []
        lost = []
        for row in rows:
            try:
                usable.append((row, self._areas(row)))
            except ExcludedCase as problem:
                lost.append(Exclusion.of("image", problem, row, str(row["mask_name"] or row["image_name"])))
        return usable, lost

    def _areas(self, row: Row) -> Areas:
        """Return the pixels that a mask marks on each slice of its volume."""
        options = self.volume_options
        if not row["mask_name"]:
            raise ExcludedCase(LesionReason.MASK_NOT_FOUND, "no file fits cohort.dataset.options.masks for this volume")
        path = safe_path(self.study, str(row["mask_name"]))
        refuse_other_grid(safe_path(self.study, str(row["image_name"])), path)
        mask = read_volume(path).voxels
        whole = np.rint(mask)  # as the image stage reads it; the outline of a soft mask is at a half
        marked = np.isin(whole, options.mask_values) if options.mask_values else whole > 0
        others = tuple(axis for axis in range(3) if axis != AXES[options.plane])
        areas: Areas = marked.sum(axis=others)
        if not areas.any():
            raise ExcludedCase(LesionReason.MASK_EMPTY, f"no voxel of the mask has a value of {options.mask_values}")
        return areas

    def _slices(self, masks: Sequence[MaskOfVolume]) -> list[dict[str, Any]]:
        """Return the rows of one volume: of each chosen slice the masks that mark it, or one normal row."""
        if not masks:
            return []
        options = self.volume_options
        whole = np.sum([areas for _, areas in masks], axis=0)
        rows = []
        for index in chosen_slices(whole, options.slices, options.every):
            place = f"{options.plane}{index:04d}"
            shown = [row for row, areas in masks if areas[index]]
            for row in shown or [{**masks[0][0], "label": "normal"}]:
                ids = {name: f"{row[name]}_{place}" for name in ("image_id", "lesion_id")}
                rows.append({**row, **ids, "place": place_text(options.plane, index)})
        return rows


def chosen_slices(areas: Areas, which: str, every: int) -> list[int]:
    """Return the indices of the slices that are images.

    Parameters
    ----------
    areas
        (slices,) pixels of all lesions on each slice.
    which
        "largest", "lesion" or "all", see `Options.slices`.
    every
        Only every n-th of them.
    """
    if which == "largest":
        return [int(np.argmax(areas))]
    places = np.flatnonzero(areas) if which == "lesion" else np.arange(areas.size)
    return [int(place) for place in places[::every]]
