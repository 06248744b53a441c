"""The table of DICOM objects."""

from __future__ import annotations

import pandera.pandas as pa

from mammoflow.tables.columns import integer, number, text

# One row per lesion with a mask. Files are relative to the table's folder.
DICOM_OBJECTS = pa.DataFrameSchema(
    {
        "lesion_id": text(),
        "image_id": text(),
        "patient_id": text(),
        "split": text(),
        "model": text(),
        "segmentation_file": text(nullable=True),  # null where none was written
        "report_file": text(nullable=True),
        "segment": integer(1, 65535),  # number of the lesion in both objects
        "tracking_uid": text(nullable=True),  # by which both objects mean the lesion
        "segmentation_uid": text(nullable=True),  # SOP Instance UID
        "report_uid": text(nullable=True),
        "area_mm2": number(),
        "diameter_mm": number(),
        "probability": number(),  # of malignancy; null where it is not in the report
        "note": text(),  # why no object was written; "" where one was
    },
    unique=["lesion_id"],
    name="DICOM objects",
)
