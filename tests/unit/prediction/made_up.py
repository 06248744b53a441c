"""Small made-up films with a bright disc, as DICOM and as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mammoflow.cohort.phantom.dicom import phantom_uid, write_dicom
from mammoflow.storage.files import write_image

SIZE = (320, 240)
CENTRE, RADIUS = (150.0, 100.0), 24.0
BOX = (76.0, 126.0, 124.0, 174.0)
"""x0, y0, x1, y1 of the disc."""

SPACING_MM = 0.25


def disc(size: tuple[int, int] = SIZE) -> npt.NDArray[np.bool_]:
    """Return the mask of the disc."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    return np.asarray(np.hypot(rows - CENTRE[0], columns - CENTRE[1]) < RADIUS)


def grey() -> npt.NDArray[np.uint16]:
    """Return a film: a breast on the left of the picture with a bright disc in it."""
    generator = np.random.default_rng(5)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    breast = np.hypot((rows - 160) / 140, columns / 190) < 1
    levels = 18000 * breast + 16000 * disc() + generator.normal(0, 500, SIZE) * breast
    return np.asarray(np.clip(levels + 400, 0, 65535), dtype=np.uint16)


def write_film(path: Path, patient: str = "Mass-Test_P_09999_LEFT_CC") -> Path:
    """Write the film as a Secondary Capture without spacing and frame of reference, as CBIS-DDSM has them."""
    write_dicom(
        path,
        grey(),
        folder=patient,
        description="full mammogram images",
        laterality="L",
        view="CC",
        study_uid=phantom_uid("study", path.name),
        series_uid=phantom_uid("series", path.name),
        instance=1,
    )
    return path


def write_picture(path: Path) -> Path:
    """Write the film as a 16-bit PNG."""
    write_image(path, grey())
    return path
