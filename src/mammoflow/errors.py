"""Errors that a user can act on, and the exclusion of a single case."""

from __future__ import annotations

from enum import StrEnum


class MammoflowError(Exception):
    """A problem that stops a stage; its message says what was found, what was expected, and what to do."""


class ConfigError(MammoflowError):
    """The configuration has a wrong key, a wrong type, or a value that cannot work."""


class StudyError(MammoflowError):
    """A study as a whole cannot be used: a missing folder, a missing column, no usable case."""


class LeakageError(MammoflowError):
    """A patient would stand on two sides of a split."""


class WeightsError(MammoflowError):
    """A weights file is missing, has another digest, or carries something other than tensors."""


class DownloadError(MammoflowError):
    """A file cannot be fetched, or what came is not the file that was asked for."""


class Reason(StrEnum):
    """Why a case was left out; the value is what the flow diagram and the tables show."""

    MISSING_FILE = "file is missing"
    OUTSIDE_STUDY = "path leaves the study folder"
    NOT_DICOM = "file is not DICOM"
    TRUNCATED = "file is truncated"
    NO_PIXELS = "file has no pixel data"
    UNREADABLE = "pixel data cannot be decoded"
    MULTI_FRAME = "file has several frames"
    NOT_GREY = "image is not grey"
    FOR_PROCESSING = "image is for processing, not for presentation"
    OTHER_FILE = "another file of the image was taken"
    MASK_SHAPE = "mask has another shape than its image"
    MASK_EMPTY = "mask is empty"
    MASK_NOT_FOUND = "no mask found among the files of the lesion"
    CONTOURS = "contours cannot be read"
    BOX_INVALID = "box is empty or outside the image"
    NO_BREAST = "no breast region found"
    NO_SPACING = "pixel spacing is unknown"
    NO_LABEL = "malignancy is unknown"
    LABEL_CONFLICT = "the same image has contradictory labels"
    BAD_ROW = "row of the case table cannot be read"
    DUPLICATE_ROW = "row of the case table is repeated"
    MARKED_UNUSABLE = "row is marked unusable in the case table"
    OFFICIAL_TEST_PATIENT = "patient stands in the official test set"
    NO_PROMPT = "lesion has no prompt"
    NO_LESIONS = "no usable lesion on the image"
    FEATURES_UNDEFINED = "features are not defined for this lesion"


class ExcludedCase(MammoflowError):
    """One image or lesion cannot be used; the run goes on without it.

    Parameters
    ----------
    reason
        The category that is counted.
    detail
        What was found and what was expected, for the one who mends the data.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
