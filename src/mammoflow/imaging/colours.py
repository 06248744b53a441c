"""Colours of pictures, kept beside the grey image for the networks that use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from mammoflow.formats.dicom_header import header_integer, is_colour
from mammoflow.formats.pixels import stored_pixels
from mammoflow.imaging.geometry import resize
from mammoflow.imaging.grey import colour_difference, order_planes
from mammoflow.storage.files import array_digest, write_image

RGB = npt.NDArray[np.uint8]
Shape = tuple[int, int]


def picture_colours(pixels: npt.NDArray[Any], bits: int | None = None) -> RGB | None:
    """Return the colours of a picture in 8 bit.

    Parameters
    ----------
    pixels
        (height, width) or (height, width, channels), uint8 or uint16: red, green, blue; opacity is ignored.
    bits
        Bits of a value; None takes all of the type.

    Returns
    -------
    ndarray or None
        (height, width, 3), or None for a picture that `mammoflow.imaging.grey.one_channel` takes for grey.
    """
    if pixels.ndim == 2 or not colour_difference(pixels):
        return None
    colours = np.ascontiguousarray(pixels[..., :3])
    white = np.iinfo(pixels.dtype).max if bits is None else 2**bits - 1
    if white == np.iinfo(np.uint8).max:
        return colours.astype(np.uint8)
    return np.asarray(np.rint(np.clip(colours * (255.0 / white), 0, 255)), dtype=np.uint8)


def dicom_colours(dataset: pydicom.Dataset) -> RGB | None:
    """Return the colours of a dataset from `open_dicom` as `picture_colours` does; windows and LUTs do not apply.

    Raises
    ------
    ExcludedCase
        UNREADABLE where pixels cannot be decoded.
    """
    if not is_colour(dataset):
        return None
    pixels, _ = order_planes(dataset, stored_pixels(dataset))
    return picture_colours(pixels, header_integer(dataset, "BitsStored"))


def write_colours(folder: Path, file: str, colours: RGB | None, film: Shape, canonical: Shape) -> dict[str, str | None]:
    """Bring colours to the grid of the canonical image, and write them.

    Parameters
    ----------
    folder
        Folder of the stage.
    file
        The PNG file, relative to it.
    colours
        (height, width, 3) of the stored film, or None where there are none.
    film
        (height, width) of the film with square pixels.
    canonical
        (height, width) of the canonical image.

    Returns
    -------
    dict
        Columns of CANONICAL_IMAGES.
    """
    if colours is None:
        return {"colour_file": None, "colour_digest": None}
    picture = resize(resize(colours, film), canonical)
    write_image(folder / file, picture)
    return {"colour_file": file, "colour_digest": array_digest(picture)}
