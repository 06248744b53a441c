"""A Structured Report of a film's lesions: a Measurement Report, TID 1500, that refers to film and segmentation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import highdicom as hd
from highdicom import sr
from pydicom.sr.coding import Code

from mammoflow.dicom_output import codes
from mammoflow.dicom_output.evidence import Evidence, made_uid
from mammoflow.dicom_output.findings import MANUFACTURER, Algorithm, Finding
from mammoflow.dicom_output.segmentation import SERIES_NUMBER, result_digest, tracking_uid

DIGITS = 6
"""Significant digits of a measurement; a decimal string has at most 16 characters."""

DESCRIBED = ("CR", "DX", "IO", "MG", "PX", "RF", "RG", "XA", "CT", "MR", "PT")
"""Modalities whose further elements highdicom describes in the image library."""


def report_object(
    film: Evidence,
    findings: Sequence[Finding],
    algorithm: Algorithm,
    segmentation: hd.seg.Segmentation,
    classifier: Algorithm | None = None,
) -> sr.ComprehensiveSR:
    """Make the measurement report of a film (DICOM PS3.16, TID 1500 with TID 1410 for each lesion).

    Parameters
    ----------
    film
        The film that it refers to.
    findings
        The lesions, in the order of the segments.
    algorithm
        The model that made the masks.
    segmentation
        From `segmentation_object`, with the same lesions.
    classifier
        The classifier that gave the probabilities; needed where a lesion has one.

    Raises
    ------
    ValueError
        If a lesion has a probability and no classifier is named.
    """
    groups = [
        _group(film, finding, number, algorithm, segmentation, classifier)
        for number, finding in enumerate(findings, start=1)
    ]
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=made_uid("device", algorithm.title, algorithm.version),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=algorithm.title,
    )
    observer = sr.ObserverContext(observer_type=codes.DEVICE, observer_identifying_attributes=device)
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=_procedure(film),
        imaging_measurements=groups,
        title=codes.IMAGING_MEASUREMENT_REPORT,
        referenced_images=[_library_image(film)],
    )
    _describe_image(content, film)
    judged_by = classifier and (classifier.title, sorted(classifier.parameters.items()))
    identifiers = (*result_digest(film, findings, algorithm), str(judged_by))
    with warnings.catch_warnings():  # names and identifiers are those of the film, usual or not
        warnings.simplefilter("ignore")
        report = sr.ComprehensiveSR(
            evidence=[film.stand_in(), segmentation],
            content=content,
            series_instance_uid=made_uid("SR series", *identifiers),
            series_number=SERIES_NUMBER + 1,
            sop_instance_uid=made_uid("SR", *identifiers),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=algorithm.title,
            software_versions=algorithm.version,
            series_description="Measurements by mammoflow, research only",
            is_complete=True,
        )
    film.name_class(report)
    return report


def _procedure(film: Evidence) -> Code:
    """Return what was done: a mammogram of a side, or an imaging procedure where the film is no radiograph."""
    if film.dataset.Modality in codes.RADIOGRAPHS:
        return codes.PROCEDURES[film.laterality]
    return codes.IMAGING_PROCEDURE


def _group(
    film: Evidence,
    finding: Finding,
    number: int,
    algorithm: Algorithm,
    segmentation: hd.seg.Segmentation,
    classifier: Algorithm | None,
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """Return the measurements of a lesion."""
    measurements = [
        sr.Measurement(codes.AREA, _rounded(finding.area_mm2), codes.SQUARE_MILLIMETRE),
        sr.Measurement(codes.LONGEST_DIAMETER, _rounded(finding.diameter_mm), codes.MILLIMETRE),
    ]
    if finding.probability is not None:
        if classifier is None:
            raise ValueError("a lesion has a probability and no classifier is named")
        percent = _rounded(100 * finding.probability)
        measurements.append(
            sr.Measurement(codes.PROBABILITY, percent, codes.PERCENT, algorithm_id=_identification(classifier))
        )
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(tracking_uid(film, finding), f"lesion {number}"),
        referenced_segment=_frame(film, segmentation, number),
        finding_type=codes.FINDINGS[finding.kind],
        finding_category=codes.ABNORMAL,
        algorithm_id=_identification(algorithm),
        finding_sites=[sr.FindingSite(codes.BREAST, laterality=codes.SIDES.get(film.laterality))],
        measurements=measurements,
    )


def _frame(film: Evidence, segmentation: hd.seg.Segmentation, number: int) -> sr.ReferencedSegmentationFrame:
    """Refer to the frame of a segment; frames are in the order of the segments, and none is left out."""
    source = sr.SourceImageForSegmentation(film.dataset.SOPClassUID, film.instance_uid)
    reference = sr.ReferencedSegmentationFrame(
        segmentation.SOPClassUID, segmentation.SOPInstanceUID, number, number, source
    )
    # PS3.3 Table C.17-3 allows one of both numbers; the frame says which segment is meant.
    del reference[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
    return reference


def _identification(algorithm: Algorithm) -> sr.AlgorithmIdentification:
    parameters = [f"{name}={value}" for name, value in algorithm.parameters.items()]
    return sr.AlgorithmIdentification(algorithm.title, algorithm.version, parameters)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _library_image(film: Evidence) -> hd.sr.value_types.Dataset:
    """Return the film as the image library takes it.

    For projection radiographs highdicom demands Imager Pixel Spacing and Patient Orientation, which scanned films lack.
    For CT, MR and PET it demands a position in space, which the report does not need.
    """
    image = film.stand_in()
    if image.Modality in DESCRIBED:
        image.Modality = "OT"
    return image


def _describe_image(content: sr.MeasurementReport, film: Evidence) -> None:
    """Add side, view and spacing to the film's entry of the image library (TID 1602 and 1603)."""
    relation = sr.RelationshipTypeValues.HAS_ACQ_CONTEXT
    items: list[sr.ContentItem] = []
    if film.laterality in codes.SIDES:
        side = codes.SIDES[film.laterality]
        items.append(sr.CodeContentItem(codes.IMAGE_LATERALITY, side, relationship_type=relation))
    if film.view in codes.VIEWS:
        items.append(sr.CodeContentItem(codes.IMAGE_VIEW, codes.VIEWS[film.view], relationship_type=relation))
    if "PixelSpacing" in film.dataset:
        rows_mm, columns_mm = film.dataset.PixelSpacing
        for name, value in ((codes.HORIZONTAL_SPACING, columns_mm), (codes.VERTICAL_SPACING, rows_mm)):
            items.append(sr.NumContentItem(name, float(value), codes.MILLIMETRE, relationship_type=relation))
    library = next(item for item in content[0].ContentSequence if item.name == codes.IMAGE_LIBRARY)
    entry = library.ContentSequence[0].ContentSequence[0]
    entry.ContentSequence.extend(items)
