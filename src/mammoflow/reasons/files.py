"""A file of the study cannot be read."""

from __future__ import annotations

from mammoflow.errors import Reason


class FileReason(Reason):
    """A file of the study cannot be read."""

    MISSING_FILE = "file is missing"
    OUTSIDE_STUDY = "path leaves the study folder"
    NO_ACCESS = "file cannot be opened"
    FORMAT = "file format is not read"
    NOT_DICOM = "file is not DICOM"
    TRUNCATED = "file is truncated"
    NO_PIXELS = "file has no pixel data"
    TRANSFER_SYNTAX = "transfer syntax is not read"
    UNREADABLE = "pixel data cannot be decoded"
    MULTI_FRAME = "file has several frames"
    NOT_GREY = "image is not grey"
    MODALITY = "modality is not accepted"
    FOR_PROCESSING = "image is for processing, not for presentation"
    CONTOURS = "contours cannot be read"
