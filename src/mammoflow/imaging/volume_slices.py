"""Images of files that hold more than one: frames of DICOM objects, and slices of NIfTI volumes and their masks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.config.images import ImagesSettings
from mammoflow.formats.volumes import read_slice
from mammoflow.imaging.film import Film, read_film
from mammoflow.imaging.film_header import FilmHeader
from mammoflow.imaging.geometry import Mask
from mammoflow.imaging.grey import WHITE
from mammoflow.imaging.mask_levels import mask_of_value
from mammoflow.imaging.spacing import VOLUME_LONGEST_SIDE_MM, HeaderSpacing, Spacing
from mammoflow.imaging.voi import window_function

ANY_VALUE = ">0"


def read_image(path: Path, row: Mapping[str, Any], settings: ImagesSettings) -> Film:
    """Read the film of a row of IMAGES: its file, or the frame or slice of the file that the row names.

    Parameters
    ----------
    path
        The file.
    row
        The row; `frame` and `volume_slice` may be missing.
    settings
        Settings of the stage.

    Raises
    ------
    ExcludedCase
        See `mammoflow.imaging.film.read_film` and `read_volume_slice`.
    """
    frame, place = row.get("frame"), row.get("volume_slice")
    if isinstance(place, str) and place:
        return read_volume_slice(path, place, settings)
    return read_film(path, settings, None if frame is None or pd.isna(frame) else int(frame))


def read_volume_slice(path: Path, place: str, settings: ImagesSettings) -> Film:
    """Read a slice as a film.

    A NIfTI header does not state the range of grey levels. With `images.voi: fixed` the window makes them. Otherwise
    the lowest value of the volume becomes black and the highest one white, which is equal for all slices of a volume
    and differs between volumes.

    Parameters
    ----------
    path
        The volume.
    place
        Plane and index of the slice, such as "axial 12".
    settings
        Settings of the window.

    Raises
    ------
    ExcludedCase
        See `mammoflow.formats.volumes.read_slice`.
    """
    pixels, volume, plane = read_slice(path, place)
    values = pixels.astype(np.float64)
    if settings.window_center is not None and settings.window_width is not None:
        levels = window_function("LINEAR", settings.window_center, settings.window_width)(values)
        voi = "window of the settings"
    else:
        low, high = float(volume.voxels.min()), float(volume.voxels.max())
        levels, voi = (values - low) / max(high - low, np.finfo(float).tiny), "range of the volume"
    spacing = Spacing(*volume.slice_spacing_mm(plane), "affine")
    header = FilmHeader(HeaderSpacing(spacing, longest_mm=VOLUME_LONGEST_SIDE_MM), orientation=plane)
    return Film(np.rint(levels * WHITE).astype(np.uint16), header, voi)


def read_mask_slice(path: Path, place: str, value: str) -> Mask:
    """Read the mask (height, width) of a slice.

    Parameters
    ----------
    path
        The volume of the mask, on the grid of its image.
    place
        Plane and index of the slice.
    value
        Which voxels belong to the lesion, see `mammoflow.config.images.MASK_VALUE`; "" takes all above 0.

    Raises
    ------
    ExcludedCase
        See `mammoflow.formats.volumes.read_slice`; MASK_LEVELS where no pixel has the value.
    """
    pixels, _, _ = read_slice(path, place)
    levels = np.clip(np.rint(pixels), 0, WHITE).astype(np.uint16)
    return mask_of_value(levels, value or ANY_VALUE, path.name)
