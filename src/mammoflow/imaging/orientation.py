"""The plane of a slice of CT, MR or another volume, by the direction of its normal in the patient."""

from __future__ import annotations

import math

import numpy as np
import pydicom

from mammoflow.formats.dicom_header import frame_value

PLANES = ("sagittal", "coronal", "axial")
"""Plane whose normal runs along x, y and z of the patient."""
LEAST_COSINE = math.cos(math.radians(30))


def slice_orientation(dataset: pydicom.Dataset) -> str:
    """Return "axial", "coronal", "sagittal" or "oblique"; "" where the header has no usable orientation.

    The normal of the slice is the cross product of the row and the column direction in Image Orientation (Patient)
    (DICOM PS3.3 C.7.6.2.1.1). A slice is oblique where the normal is more than 30 degrees from every axis.
    """
    value = frame_value(dataset, "ImageOrientationPatient", "PlaneOrientationSequence")
    try:
        cosines = np.asarray([float(part) for part in value], dtype=float).reshape(2, 3)
    except (TypeError, ValueError):
        return ""
    normal = np.cross(cosines[0], cosines[1])
    length = float(np.linalg.norm(normal))
    if not math.isfinite(length) or length < 0.5:
        return ""
    axis = int(np.argmax(np.abs(normal)))
    return PLANES[axis] if abs(normal[axis]) / length >= LEAST_COSINE else "oblique"
