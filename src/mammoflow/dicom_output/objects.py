"""Segmentation and report of a film, made together and written as files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from mammoflow.dicom_output.evidence import Evidence
from mammoflow.dicom_output.findings import Algorithm, Finding
from mammoflow.dicom_output.report import report_object
from mammoflow.dicom_output.segmentation import segmentation_object


def write_objects(
    film: Evidence,
    findings: Sequence[Finding],
    algorithm: Algorithm,
    classifier: Algorithm | None,
    segmentation_file: Path,
    report_file: Path,
) -> tuple[str, str]:
    """Write the Segmentation and the Structured Report of a film.

    Parameters
    ----------
    film, findings, algorithm, classifier
        As `segmentation_object` and `report_object` take them.
    segmentation_file, report_file
        Files to write.

    Returns
    -------
    tuple of str
        SOP Instance UIDs of both.
    """
    segmentation = segmentation_object(film, findings, algorithm)
    report = report_object(film, findings, algorithm, segmentation, classifier)
    with warnings.catch_warnings():  # a value of the film that is valid and unusual, such as a name of one word
        warnings.simplefilter("ignore")
        segmentation.save_as(segmentation_file)
        report.save_as(report_file)
    return str(segmentation.SOPInstanceUID), str(report.SOPInstanceUID)
