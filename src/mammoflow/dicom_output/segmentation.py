"""A DICOM Segmentation of the lesions of a film: one segment for each lesion, on the grid of the film."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset

from mammoflow.dicom_output import codes
from mammoflow.dicom_output.evidence import Evidence, made_uid
from mammoflow.dicom_output.findings import MANUFACTURER, RESEARCH_ONLY, Algorithm, Finding
from mammoflow.storage.files import array_digest

SERIES_NUMBER = 9001
"""Number of the new series; films have low ones."""


def tracking_uid(film: Evidence, finding: Finding) -> str:
    """Return the UID by which segmentation and report mean the same lesion."""
    return made_uid("lesion", film.instance_uid, finding.key)


def result_digest(film: Evidence, findings: Sequence[Finding], algorithm: Algorithm) -> tuple[str, ...]:
    """Return texts that differ where film, side, view, masks, their measures, algorithm or probabilities differ."""
    words = [str(sorted(algorithm.parameters.items())), film.laterality, film.view]
    words += [
        f"{array_digest(one.mask)} {one.kind} {one.key} {one.probability} {one.area_mm2!r} {one.diameter_mm!r}"
        for one in findings
    ]
    return (film.instance_uid, algorithm.title, algorithm.version, *words)


def segmentation_object(film: Evidence, findings: Sequence[Finding], algorithm: Algorithm) -> hd.seg.Segmentation:
    """Make the Segmentation of a film (DICOM PS3.3 A.51), of the type BINARY.

    Parameters
    ----------
    film
        The film that it refers to.
    findings
        The lesions; at least one, and no mask is empty. Their segments are numbered from 1 in this order.
    algorithm
        The model that made the masks.

    Raises
    ------
    ValueError
        If there is no lesion, or a mask is empty or does not have the film's size.
    """
    shape = (int(film.dataset.Rows), int(film.dataset.Columns))
    for finding in findings:
        if finding.mask.shape != shape or not finding.mask.any():
            raise ValueError(f"mask is {finding.mask.shape}, {finding.mask.sum()} pixels; expected some on {shape}")
    if not findings:
        raise ValueError("no lesion; expected at least one for a segmentation")
    identity = hd.AlgorithmIdentificationSequence(
        algorithm.title, codes.ARTIFICIAL_INTELLIGENCE, algorithm.version, MANUFACTURER, algorithm.parameters
    )
    types = hd.seg.SegmentAlgorithmTypeValues
    segments = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"lesion {number}",
            segmented_property_category=codes.ABNORMAL,
            segmented_property_type=codes.FINDINGS[finding.kind],
            algorithm_type=types.AUTOMATIC if algorithm.automatic else types.SEMIAUTOMATIC,
            algorithm_identification=identity,
            tracking_uid=tracking_uid(film, finding),
            tracking_id=f"lesion {number}",
            anatomic_regions=[codes.BREAST],
        )
        for number, finding in enumerate(findings, start=1)
    ]
    identifiers = result_digest(film, findings, algorithm)
    with warnings.catch_warnings():  # names and identifiers are those of the film, usual or not
        warnings.simplefilter("ignore")
        made = hd.seg.Segmentation(
            source_images=[_without_spacing(film)],
            pixel_array=np.stack([finding.mask for finding in findings], axis=-1)[None].astype(np.uint8),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=segments,
            series_instance_uid=made_uid("SEG series", *identifiers),
            series_number=SERIES_NUMBER,
            sop_instance_uid=made_uid("SEG", *identifiers),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name=algorithm.title,
            software_versions=algorithm.version,
            device_serial_number="none",
            content_label="LESIONS",
            content_description=RESEARCH_ONLY,
            series_description="Lesions by mammoflow, research only",
        )
    _add_anatomy(made, film)
    film.name_class(made)
    return made


def _without_spacing(film: Evidence) -> Dataset:
    """Return the film without its spacing: with one, the standard's readers ask for a slice thickness as well.

    A projection has no slices. The grid is that of the film, and the report says how large a pixel is.
    """
    source = film.stand_in()
    source.pop("PixelSpacing", None)
    return source


def _add_anatomy(made: hd.seg.Segmentation, film: Evidence) -> None:
    """Add side and orientation, which the constructor does not take."""
    made.PatientOrientation = film.dataset.PatientOrientation
    side = codes.SIDES.get(film.laterality)
    if side is None:
        return
    made.ImageLaterality = film.laterality
    for segment in made.SegmentSequence:
        modifier = hd.sr.CodedConcept.from_code(side)
        segment.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [Dataset.from_json(modifier.to_json())]
