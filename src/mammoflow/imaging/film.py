"""Reading a film from any file of a study, and its grey levels.

The content of a file decides its format, not its name: see `mammoflow.formats.file_kinds`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mammoflow.config.images import ImagesSettings
from mammoflow.errors import ExcludedCase
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.presentation_intent import PROCESSING
from mammoflow.imaging.colours import RGB, dicom_colours, picture_colours
from mammoflow.imaging.film_header import FilmHeader, read_header
from mammoflow.imaging.grey import Grey, grey_and_conflict, one_channel
from mammoflow.imaging.pictures import decode_picture, is_picture
from mammoflow.imaging.spacing import Spacing
from mammoflow.imaging.voi import choose_voi
from mammoflow.reasons.files import FileReason

FEW_LEVELS = 16  # grey levels: a film has hundreds; masks, drawings and reduced palettes have fewer
SAMPLE_SIDE = 512


@dataclass(frozen=True)
class Film:
    """A film as it is stored in its file.

    Attributes
    ----------
    pixels
        (height, width) uint16, dark is background.
    header
        What its DICOM header says; a picture file has none.
    voi
        The VOI transformation in its grey levels, see `mammoflow.imaging.voi.Voi`.
    pixels_conflict
        Whether the header contradicts the pixels, see `mammoflow.imaging.grey.grey_and_conflict`.
    turned
        Whether the orientation in a picture file asked for a turn or a reflection, which was applied.
    colours
        (height, width, 3) red, green and blue, where the settings keep colours and those of the file differ.
    """

    pixels: Grey
    header: FilmHeader
    voi: str = "none"
    pixels_conflict: bool = False
    turned: bool = False
    colours: RGB | None = None

    @property
    def has_few_levels(self) -> bool:
        """Whether a sample of the pixels has at most 16 grey levels, as a mask or a drawing has."""
        step = max(1, max(self.pixels.shape) // SAMPLE_SIDE)
        return int(np.count_nonzero(np.bincount(self.pixels[::step, ::step].ravel()))) <= FEW_LEVELS

    @property
    def spacing(self) -> Spacing | None:
        """Pixel spacing of the header, or None."""
        return self.header.spacing.spacing


def read_film(path: Path, settings: ImagesSettings | None = None, frame: int | None = None) -> Film:
    """Read a film from DICOM, PNG, TIFF, JPEG or BMP.

    Parameters
    ----------
    path
        The file.
    settings
        Settings of the VOI transformation, of colours, of modalities and of images for processing; None takes the
        defaults.
    frame
        Index from 0 of the frame, in a DICOM file of several frames; None expects one frame.

    Raises
    ------
    ExcludedCase
        With the reason, where the file is missing, broken, hostile, not grey, not a single image or, where the settings
        say so, for processing.
    """
    settings = settings or ImagesSettings()
    luminance, keep = settings.colour != "refuse", settings.colour == "keep"
    if is_picture(path):
        picture = decode_picture(path)
        grey = picture.pixels if picture.pixels.ndim == 2 else one_channel(picture.pixels, luminance)
        colours = picture_colours(picture.pixels) if keep else None
        return Film(_to_16_bit(grey), FilmHeader(lossy=picture.lossy), turned=picture.turned, colours=colours)
    dataset = open_dicom(path, frame)
    header = read_header(dataset)
    if settings.modalities and header.modality not in settings.modalities:
        raise ExcludedCase(
            FileReason.MODALITY,
            f"{path.name} has the modality {header.modality or 'unknown'}; expected one of images.modalities "
            f"{settings.modalities}",
        )
    if header.intent == PROCESSING and settings.for_processing == "exclude":
        raise ExcludedCase(
            FileReason.FOR_PROCESSING, f"{path.name} is for processing, not for presentation; see images.for_processing"
        )
    voi = choose_voi(dataset, settings)
    grey, conflict = grey_and_conflict(dataset, voi, luminance)
    return Film(grey, header, voi.label, conflict, colours=dicom_colours(dataset) if keep else None)


def _to_16_bit(grey: npt.NDArray[Any]) -> Grey:
    """Bring 8 bit to the full range (times 257); 16 bit stay as they are."""
    if grey.dtype == np.uint16:
        return grey
    return np.asarray(grey.astype(np.uint16) * np.uint16(257))
