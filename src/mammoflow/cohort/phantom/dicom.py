"""DICOM files of a phantom study, with headers as sparse as those of CBIS-DDSM: no spacing, no window."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ImplicitVRLittleEndian, SecondaryCaptureImageStorage

from mammoflow.storage.files import writing

MARK = "mammoflow phantom"
"""Every header has this text, so that no file of the study can pass for a patient's."""

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def phantom_uid(*parts: str) -> str:
    """Make a UID under the root for UUIDs (2.25) from texts; the same texts give the same UID."""
    digest = hashlib.sha256("\x00".join((MARK, *parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def _header(folder: str, description: str, laterality: str, view: str) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.StudyDate, dataset.StudyTime = "20000101", "000000"
    dataset.ContentDate, dataset.ContentTime = "20000101", "000000"
    dataset.AccessionNumber = ""
    dataset.Modality = "MG"
    dataset.ConversionType = "WSD"
    dataset.Manufacturer = MARK
    dataset.ReferringPhysicianName = ""
    dataset.SeriesDescription = f"{MARK}: {description}"
    dataset.PatientName = folder
    dataset.PatientID = folder
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = f"{MARK}: there is no patient"
    dataset.BodyPartExamined = "BREAST"
    dataset.StudyID = "PHANTOM"
    dataset.SeriesNumber = 1
    dataset.PatientOrientation = view
    dataset.Laterality = laterality
    dataset.ImageComments = f"{MARK}: synthetic image, shows no person"
    return dataset


def write_dicom(
    path: Path,
    pixels: Pixels,
    *,
    folder: str,
    description: str,
    laterality: str,
    view: str,
    study_uid: str,
    series_uid: str,
    instance: int,
) -> None:
    """Write one grey image as a Secondary Capture file in Implicit VR Little Endian.

    Parameters
    ----------
    pixels
        (rows, columns), 8 or 16 bit, MONOCHROME2.
    folder
        Top folder of the file, which CBIS-DDSM also takes as patient name and id.
    description
        What the file is: full mammogram images, ROI mask images, cropped images.
    instance
        Number within the series, from 1.
    """
    dataset = _header(folder, description, laterality, view)
    dataset.SOPInstanceUID = phantom_uid(series_uid, str(instance))
    dataset.StudyInstanceUID = study_uid
    dataset.SeriesInstanceUID = series_uid
    dataset.InstanceNumber = instance
    bits = pixels.dtype.itemsize * 8
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = 0
    dataset.SmallestImagePixelValue, dataset.LargestImagePixelValue = int(pixels.min()), int(pixels.max())
    values = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    dataset.add_new("PixelData", "OW", values + b"\x00" * (len(values) % 2))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    meta.ImplementationClassUID = UID(phantom_uid("implementation"))
    meta.ImplementationVersionName = "mammoflow"
    dataset.file_meta = meta
    with writing(path) as temporary:
        dataset.save_as(temporary, enforce_file_format=True, implicit_vr=True, little_endian=True)
