"""Volumes of NIfTI files, and their slices along the axes of the patient.

SimpleITK reads them and applies the slope and intercept of the header. The voxel grid is turned and mirrored, without
interpolation, so that rows run from front to back and columns from right to left of the patient, as in DICOM slices.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mammoflow.errors import ExcludedCase
from mammoflow.formats.opening import regular_file_size
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.lesions import LesionReason

Voxels = npt.NDArray[Any]
AXES = {"axial": 0, "coronal": 1, "sagittal": 2}
"""Axis of an array (z, y, x) that runs through the slices of each plane."""
SUFFIXES = (".nii.gz", ".nii")
LARGEST_BYTES = 2**30
"""Of the voxels of a volume as they are stored; reading them takes a multiple."""
PLACE = re.compile(r"(axial|coronal|sagittal) ([0-9]+)")


@dataclass(frozen=True)
class Volume:
    """A volume.

    Attributes
    ----------
    voxels
        (z, y, x): from feet to head, from front to back, from right to left of the patient.
    spacing_mm
        Of z, y and x.
    """

    voxels: Voxels
    spacing_mm: tuple[float, float, float]

    def count(self, plane: str) -> int:
        """Return the number of slices of a plane."""
        return int(self.voxels.shape[AXES[plane]])

    def slice(self, plane: str, index: int) -> Voxels:
        """Return a slice (height, width); the head is at the top of coronal and sagittal slices."""
        pixels = np.take(self.voxels, index, axis=AXES[plane])
        return np.asarray(pixels if plane == "axial" else pixels[::-1])

    def slice_spacing_mm(self, plane: str) -> tuple[float, float]:
        """Return the millimetres from row to row and from column to column of the slices of a plane."""
        rows, columns = (spacing for axis, spacing in enumerate(self.spacing_mm) if axis != AXES[plane])
        return rows, columns


def _header(path: Path) -> Any:
    """Return SimpleITK's reader of a file, with the header read.

    Raises
    ------
    ExcludedCase
        As `read_volume`.
    """
    import SimpleITK

    regular_file_size(path)
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("NiftiImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} cannot be read as NIfTI; export it again") from error
    size = reader.GetSize()
    if len(size) != 3 or reader.GetNumberOfComponents() != 1:
        raise ExcludedCase(FileReason.MULTI_FRAME, f"{path.name} has the size {size}; expected one volume")
    voxel = SimpleITK.GetPixelIDValueAsString(reader.GetPixelID())  # such as "16-bit signed integer"
    bits = re.match("[0-9]+", voxel)
    if np.prod(size, dtype=float) * (int(bits[0]) if bits else 64) / 8 > LARGEST_BYTES:
        raise ExcludedCase(
            FileReason.UNREADABLE,
            f"{path.name} claims {size} voxels ({voxel}); expected at most {LARGEST_BYTES:,} bytes; store it with "
            "fewer bits or in parts",
        )
    return reader


def refuse_other_grid(image: Path, mask: Path) -> None:
    """Refuse a mask volume whose voxels are not those of its image.

    Raises
    ------
    ExcludedCase
        MASK_SHAPE where size, voxel spacing, directions or origin differ; the reasons of `read_volume`.
    """
    one, other = _header(image), _header(mask)
    spacing = np.asarray(one.GetSpacing())
    same = (
        one.GetSize() == other.GetSize()
        and np.allclose(spacing, other.GetSpacing(), rtol=0.01)
        and np.allclose(one.GetDirection(), other.GetDirection(), atol=0.01)
        and bool((np.abs(np.subtract(one.GetOrigin(), other.GetOrigin())) < spacing.min() / 2).all())
    )
    if not same:
        raise ExcludedCase(
            LesionReason.MASK_SHAPE,
            f"{mask.name} has the size {other.GetSize()} and its image {one.GetSize()}; expected the same size, "
            "spacing, directions and origin: resample the mask to its image",
        )


def read_volume(path: Path) -> Volume:
    """Read a NIfTI volume of three axes.

    Raises
    ------
    ExcludedCase
        MISSING_FILE, NO_ACCESS or TRUNCATED where it cannot be opened; MULTI_FRAME where it has not three axes;
        UNREADABLE where it is damaged, larger than 2**29 voxels, or its values are no numbers.
    """
    import SimpleITK

    reader = _header(path)
    try:
        image = SimpleITK.DICOMOrient(reader.Execute(), "LPS")
        voxels = SimpleITK.GetArrayFromImage(image)
    except RuntimeError as error:
        raise ExcludedCase(
            FileReason.UNREADABLE, f"{path.name} has a NIfTI header and no readable voxels; copy it again"
        ) from error
    if not np.isfinite(voxels).all():
        raise ExcludedCase(FileReason.UNREADABLE, f"{path.name} has values that are no numbers")
    x, y, z = image.GetSpacing()
    return Volume(voxels, (z, y, x))


def place_text(plane: str, index: int) -> str:
    """Return what tables say about the place of a slice: "axial 12"."""
    return f"{plane} {index}"


def read_slice(path: Path, place: str) -> tuple[Voxels, Volume, str]:
    """Return a slice (height, width), its volume and its plane.

    Parameters
    ----------
    path
        The file.
    place
        From `place_text`.

    Raises
    ------
    ExcludedCase
        As `read_volume`; UNREADABLE where the volume has no such slice.
    """
    volume = read_volume(path)
    match = PLACE.fullmatch(place)
    if match is None or int(match[2]) >= volume.count(match[1]):
        raise ExcludedCase(
            FileReason.UNREADABLE, f"{path.name} has no slice {place!r}; expected a plane and an index from 0"
        )
    return volume.slice(match[1], int(match[2])), volume, match[1]
