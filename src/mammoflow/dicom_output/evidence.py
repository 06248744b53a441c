"""What a new DICOM object takes over from its film: identifiers of patient, study and image, and nothing else.

Headers of films contain invalid values: dates of three digits, unknown sexes, text in another character set than the
stated one. An object that copied them would be invalid itself. What is not valid is left empty here.
"""

from __future__ import annotations

import logging
import re
import uuid
import warnings
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from typing import Any

import pydicom
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    SecondaryCaptureImageStorage,
)

from mammoflow.errors import MammoflowError
from mammoflow.formats.dicom_header import code_string, header_value, image_shape
from mammoflow.imaging.film_header import read_header
from mammoflow.imaging.spacing import Spacing

# highdicom logs names that it finds unusual. They identify patients, so no log of this project may hold them.
logging.getLogger("highdicom").setLevel(logging.CRITICAL + 1)

LATIN_1, UTF_8 = "ISO_IR 100", "ISO_IR 192"
"""Some checkers and viewers do not know UTF-8, so it is declared only where it is needed."""

SINGLE_FRAME_CLASSES = (
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ComputedRadiographyImageStorage,
    SecondaryCaptureImageStorage,
)
IMAGE_CLASS = "Image Storage"
"""Part of the name of every standard class of images."""

SEXES = ("M", "F", "O")
UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
TEXTS = {"PatientID": 64, "AccessionNumber": 16, "StudyID": 16}
"""Keyword and largest length of its value (DICOM PS3.5 6.2)."""

NAMES = ("PatientName", "ReferringPhysicianName")
LONGEST_NAME_PART = 64
DATES = ("PatientBirthDate", "StudyDate")
DATE = re.compile(r"[0-9]{8}")
CODE = re.compile(r"[A-Z0-9_ ]{1,16}")
"""A value of the representation CS; another one would be printed by a warning."""
TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?", re.ASCII)


class NoReferenceError(MammoflowError):
    """No DICOM object can refer to a film, because its header lacks an identifier."""


@dataclass(frozen=True)
class Evidence:
    """The film that new objects refer to.

    Attributes
    ----------
    dataset
        Identifiers of patient, study, series and image, size and spacing. It has no pixels and no other element.
    laterality
        "L", "R" or "".
    view
        CC, MLO, ... or "".
    """

    dataset: pydicom.Dataset
    laterality: str
    view: str

    @property
    def instance_uid(self) -> str:
        """SOP Instance UID of the film."""
        return str(self.dataset.SOPInstanceUID)

    def stand_in(self) -> pydicom.Dataset:
        """Return the film as highdicom takes it: as a Secondary Capture where its class is multi-frame.

        highdicom asks multi-frame images for positions in space, which films lack.
        """
        copy = deepcopy(self.dataset)
        if copy.SOPClassUID not in SINGLE_FRAME_CLASSES:
            copy.SOPClassUID = SecondaryCaptureImageStorage
        return copy

    def name_class(self, made: pydicom.Dataset) -> None:
        """Write the film's own class into every reference that a new object has to it."""
        made.walk(self._name_class)

    def _name_class(self, item: pydicom.Dataset, element: pydicom.DataElement) -> None:
        if element.keyword == "ReferencedSOPInstanceUID" and element.value == self.instance_uid:
            item.ReferencedSOPClassUID = self.dataset.SOPClassUID


def film_evidence(header: pydicom.Dataset, spacing: Spacing | None, laterality: str = "", view: str = "") -> Evidence:
    """Take from a film's header what new objects need.

    Parameters
    ----------
    header
        Of the film, from `mammoflow.formats.dicom_files.open_dicom`.
    spacing
        Spacing of the film's pixels in the breast's plane; None where it is not known.
    laterality, view
        Of the case table; where they are "", the header's count.

    Raises
    ------
    NoReferenceError
        If the header lacks an identifier of instance, series or study, or its class is no standard image class.
    ExcludedCase
        If it gives no usable size.
    """
    dataset = pydicom.Dataset()
    for keyword in UIDS:
        uid = UID(str(header_value(header, keyword) or "").strip())
        if not uid.is_valid:
            raise NoReferenceError(
                f"the film's header has no valid {keyword}; expected one, because DICOM objects refer to a film by it"
            )
        setattr(dataset, keyword, uid)
    if IMAGE_CLASS not in dataset.SOPClassUID.name:
        raise NoReferenceError(
            f"the film has the SOP class {dataset.SOPClassUID.name}; expected one of DICOM's image storage classes, "
            "because reports may refer to these alone"
        )
    for keyword, longest in TEXTS.items():
        setattr(dataset, keyword, _text(header, keyword, longest))
    for keyword in NAMES:
        setattr(dataset, keyword, _name(header, keyword))
    for keyword in DATES:
        setattr(dataset, keyword, _date(header, keyword))
    time = str(header_value(header, "StudyTime") or "").strip()
    dataset.StudyTime = time if TIME.fullmatch(time) else ""
    sex = str(header_value(header, "PatientSex") or "").strip().upper()
    dataset.PatientSex = sex if sex in SEXES else ""
    modality = code_string(header, "Modality")
    dataset.Modality = modality if CODE.fullmatch(modality) else "OT"
    dataset.Rows, dataset.Columns = image_shape(header)
    dataset.PatientOrientation = _orientation(header)
    if spacing is not None:
        dataset.PixelSpacing = [float(f"{spacing.rows_mm:.10g}"), float(f"{spacing.columns_mm:.10g}")]
    texts = "".join(str(getattr(dataset, keyword)) for keyword in (*TEXTS, *NAMES))
    dataset.SpecificCharacterSet = LATIN_1 if texts.isascii() else UTF_8
    side = read_header(header).side
    return Evidence(dataset, laterality or side.laterality, view or side.view)


def made_uid(*parts: str) -> str:
    """Return the UID that belongs to some texts (2.25 and a UUID of version 5): equal texts have an equal UID.

    A result that is written again has the same UIDs, so an archive keeps one copy of it.
    """
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, chr(0).join(parts)).int}"


def _text(header: pydicom.Dataset, keyword: str, longest: int) -> str:
    """Return a text without control characters and backslashes; "" where it is too long."""
    value = re.sub(r"[\x00-\x1f\x7f\\]", "", str(header_value(header, keyword) or "")).strip()
    return value if len(value) <= longest else ""


def _date(header: pydicom.Dataset, keyword: str) -> str:
    """Return a date as the header has it; "" where the calendar lacks it."""
    value = str(header_value(header, keyword) or "").strip()
    with suppress(ValueError):
        return value if DATE.fullmatch(value) and date.fromisoformat(value) else ""
    return ""


def _name(header: pydicom.Dataset, keyword: str) -> str:
    """Return a person's name as the header has it; "" where it is no name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value: Any = header_value(header, keyword)
    text = re.sub(r"[\x00-\x1f\x7f\\]", "", str(value or "")).strip()
    groups = text.split("=")
    return text if len(groups) <= 3 and all(len(group) <= LONGEST_NAME_PART for group in groups) else ""


def _orientation(header: pydicom.Dataset) -> list[str] | str:
    """Return Patient Orientation where it has two directions; "" elsewhere. CBIS-DDSM stores the view in it."""
    value = header_value(header, "PatientOrientation")
    if value is None or isinstance(value, str):
        return ""
    parts = [str(part).strip().upper() for part in value]
    return parts if len(parts) == 2 and all(re.fullmatch(r"[APLRHF]{1,3}", part) for part in parts) else ""
