"""Segmentation and report of a film: valid, readable, with the same masks, and with nothing of the patient added."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from mammoflow.dicom_output.codes import VIEWS
from mammoflow.dicom_output.evidence import NoReferenceError, film_evidence, made_uid
from mammoflow.dicom_output.findings import Algorithm, Finding
from mammoflow.dicom_output.objects import write_objects
from mammoflow.dicom_output.report import report_object
from mammoflow.dicom_output.segmentation import segmentation_object
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.imaging.spacing import Spacing

SPACING = Spacing(0.25, 0.25, "table")
PLAIN: dict[str, Any] = {}
MAMMOGRAM = "1.2.840.10008.5.1.4.1.1.1.2"

# Headers as they occur: name -> elements.
HEADERS: dict[str, dict[str, Any]] = {
    "as CBIS-DDSM": PLAIN,
    "digital mammogram for presentation": {
        "SOPClassUID": MAMMOGRAM,
        "PatientOrientation": ["P", "F"],
        "ImagerPixelSpacing": [0.07, 0.07],
        "ImageLaterality": "R",
        "PresentationIntentType": "FOR PRESENTATION",
    },
    "digital mammogram for processing": {"SOPClassUID": f"{MAMMOGRAM}.1", "PatientOrientation": ["A", "F"]},
    "computed radiograph": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1", "Modality": "CR"},
    "digital X-ray": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1", "Modality": "DX"},
    "grey secondary capture of several frames": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.3", "NumberOfFrames": 1},
    "tomosynthesis of one frame": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.3", "NumberOfFrames": 1},
    "CT": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT"},
    "MR": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "Modality": "MR"},
    "PET": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.128", "Modality": "PT"},
    "ultrasound": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1", "Modality": "US"},
    "secondary capture of an MR": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "Modality": "MR"},
    "invalid dates and sex": {
        "PatientBirthDate": "1950",
        "StudyDate": "20261399",
        "StudyTime": "99",
        "PatientSex": "W",
    },
    "dates that the calendar lacks": {"PatientBirthDate": "19550229", "StudyDate": "20230231", "StudyTime": "235960"},
    "a birth in the year 0": {"PatientBirthDate": "00000101"},
    "valid dates and sex": {"PatientBirthDate": "19560229", "StudyTime": "235959.5", "PatientSex": "F"},
    "identifiers that are too long": {"AccessionNumber": "1" * 40, "StudyID": "x" * 30, "PatientID": "p" * 100},
    "German letters": {"PatientName": "Müller^Änne", "PatientID": "Ü1"},
    "Japanese name": {
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
        "PatientName": "Yamada^Tarou=山田^太郎",
    },
    "few elements": dict.fromkeys(
        ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime", "Modality")
    ),
    "no side": {"Laterality": None, "PatientOrientation": None},
}


@pytest.fixture
def write(
    findings: list[Finding], algorithm: Algorithm, classifier: Algorithm, tmp_path: Path
) -> Callable[..., tuple[Path, Path]]:
    """Return a function that writes both objects of a film."""

    def write(film: Path, lesions: list[Finding] | None = None) -> tuple[Path, Path]:
        files = tmp_path / "segmentation.dcm", tmp_path / "report.dcm"
        evidence = film_evidence(open_dicom(film), SPACING)
        write_objects(evidence, lesions or findings, algorithm, classifier, *files)
        return files

    return write


@pytest.fixture(scope="module", params=list(HEADERS))
def of_header(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    write_films_into: Callable[[Path], Callable[..., Path]],
    findings: list[Finding],
    algorithm: Algorithm,
    classifier: Algorithm,
) -> tuple[Path, Path]:
    """Segmentation and report of a film with one of the headers, written once."""
    folder = tmp_path_factory.mktemp("header")
    film = write_films_into(folder)(**HEADERS[request.param])
    files = folder / "segmentation.dcm", folder / "report.dcm"
    write_objects(film_evidence(open_dicom(film), SPACING), findings, algorithm, classifier, *files)
    return files


def test_objects_of_any_header_open_again_with_the_masks(of_header: tuple[Path, Path], findings: list[Finding]) -> None:
    frames = hd.seg.segread(of_header[0]).pixel_array.astype(bool)
    assert [np.array_equal(frame, one.mask) for frame, one in zip(frames, findings, strict=True)] == [True, True]
    assert len(hd.sr.srread(of_header[1]).content.get_planar_roi_measurement_groups()) == 2


def test_dciodvfy_finds_no_error(of_header: tuple[Path, Path], dciodvfy: Callable[[Path], list[str]]) -> None:
    assert [dciodvfy(path) for path in of_header] == [[], []]


def test_dsrdump_reads_the_report(of_header: tuple[Path, Path], dsrdump: Callable[[Path], str]) -> None:
    text = dsrdump(of_header[1])
    assert '"Imaging Measurement Report"' in text
    assert text.count('"Measurement Group"') == 2


def test_one_lesion_is_enough(
    write_film: Callable[..., Path], write: Callable[..., tuple[Path, Path]], findings: list[Finding]
) -> None:
    segmentation, report = write(write_film(), findings[1:])
    assert np.array_equal(hd.seg.segread(segmentation).pixel_array.astype(bool), findings[1].mask)
    assert len(hd.sr.srread(report).content.get_planar_roi_measurement_groups()) == 1


def test_report_has_codes_units_and_the_algorithms(
    write_film: Callable[..., Path], write: Callable[..., tuple[Path, Path]]
) -> None:
    path = write(write_film())[1]
    report = hd.sr.srread(path)
    first, second = report.content.get_planar_roi_measurement_groups()
    assert first.finding_type == codes.SCT.MammographicBreastMass
    assert second.finding_type == codes.SCT.CalcificationOfBreast
    assert first.finding_category == codes.SCT.MorphologicallyAbnormalStructure
    site = first.finding_sites[0]
    assert (site.topographical_modifier, site.laterality, site.value) == (None, codes.SCT.Right, codes.SCT.Breast)
    values = {item.name.meaning: (item.value, item.unit) for item in first.get_measurements()}
    assert values == {
        "Area": (7.5, codes.UCUM.SquareMillimeter),
        "Long axis": (3.90512, codes.UCUM.Millimeter),
        "Probability of cancer": (31.25, codes.UCUM.Percent),
    }
    assert [item.unit.value for item in second.get_measurements()] == ["mm2", "mm"]
    for words in (
        b"mammoflow small",
        b"mammoflow context_crop",
        b"weights_sha256=de0fde65",
        b"calibration=temperature",
    ):
        assert words in path.read_bytes()


def test_report_describes_the_film_in_its_library(
    write_film: Callable[..., Path], write: Callable[..., tuple[Path, Path]]
) -> None:
    report = hd.sr.srread(write(write_film())[1])
    library = next(item for item in report.content[0].ContentSequence if item.name == codes.DCM.ImageLibrary)
    entry = library.ContentSequence[0].ContentSequence[0].ContentSequence
    coded = {item.name.meaning: item.value.meaning for item in entry if item.ValueType == "CODE"}
    assert (coded["Image Laterality"], coded["Image View"]) == ("Right", "medio-lateral oblique")
    numbers = {item.name.meaning: item.value for item in entry if item.ValueType == "NUM"}
    assert numbers["Horizontal Pixel Spacing"] == numbers["Vertical Pixel Spacing"] == 0.25


@pytest.mark.parametrize(
    ("modality", "procedure"),
    [
        *((one, codes.LN.BreastRightMammogram) for one in ("MG", "CR", "DX", "OT", None)),
        *((one, codes.SCT.ImagingProcedure) for one in ("CT", "MR", "US", "ES")),
    ],
)
def test_only_a_radiograph_is_reported_as_a_mammogram(
    modality: str | None, procedure: Code, write_film: Callable[..., Path], write: Callable[..., tuple[Path, Path]]
) -> None:
    report = hd.sr.srread(write(write_film(Modality=modality))[1])
    found = [item.value for item in report.content[0].ContentSequence if item.name == codes.DCM.ProcedureReported]
    assert found == [procedure]


def test_both_refer_to_the_film_and_mean_the_same_lesions(
    write_film: Callable[..., Path], write: Callable[..., tuple[Path, Path]]
) -> None:
    film = pydicom.dcmread(write_film())
    segmentation, report = (pydicom.dcmread(path) for path in write(write_film()))
    source = segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0]
    assert source.ReferencedSOPInstanceUID == film.SOPInstanceUID
    evidence = hd.sr.ComprehensiveSR.from_dataset(report).get_evidence()
    assert {(study, instance) for study, _, instance, _ in evidence} == {
        (film.StudyInstanceUID, film.SOPInstanceUID),
        (film.StudyInstanceUID, segmentation.SOPInstanceUID),
    }
    groups = hd.sr.ComprehensiveSR.from_dataset(report).content.get_planar_roi_measurement_groups()
    assert [group.tracking_uid for group in groups] == [one.TrackingUID for one in segmentation.SegmentSequence]
    frames = [group.referenced_segmentation_frame[0].referenced_frame_numbers for group in groups]
    assert [list(numbers) for numbers in frames] == [[1], [2]]
    assert segmentation.StudyInstanceUID == report.StudyInstanceUID == film.StudyInstanceUID
    assert len({segmentation.SeriesInstanceUID, report.SeriesInstanceUID, film.SeriesInstanceUID}) == 3
    side = segmentation.SegmentSequence[0].AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0]
    assert (segmentation.ImageLaterality, side.CodeMeaning) == ("R", "Right")


def test_patient_is_that_of_the_film_and_ids_of_the_study_stay_out(
    write_film: Callable[..., Path], write: Callable[..., tuple[Path, Path]]
) -> None:
    film = write_film(
        PatientID="17",
        PatientName="Roe^R",
        InstitutionName="Hospital X",
        OperatorsName="Op^E",
        PatientComments="secret",
    )
    for path in write(film):
        made = pydicom.dcmread(path)
        assert (str(made.PatientName), made.PatientID) == ("Roe^R", "17")
        content = path.read_bytes()
        for word in (b"Doe-Jane", b"Hospital X", b"Op^E", b"secret"):
            assert word not in content


@pytest.mark.parametrize("name", ["Roe", "^^^^^", "Roe^R^^^^^", "ROE=ROE=ROE", "  "])
def test_no_name_is_printed_or_logged(
    name: str,
    write_film: Callable[..., Path],
    write: Callable[..., tuple[Path, Path]],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    film = write_film(PatientName=name)
    recwarn.clear()
    write(film)
    printed = capfd.readouterr()
    assert (printed.out, printed.err, caplog.text) == ("", "", "")
    assert not recwarn.list


def test_invalid_values_are_left_empty_and_valid_ones_kept(
    write_film: Callable[..., Path], write: Callable[..., tuple[Path, Path]]
) -> None:
    made = pydicom.dcmread(write(write_film(**HEADERS["invalid dates and sex"]))[0])
    assert (made.PatientBirthDate, made.StudyDate, made.StudyTime, made.PatientSex) == ("", "", "", "")
    made = pydicom.dcmread(write(write_film(**HEADERS["valid dates and sex"]))[0])
    assert (made.PatientBirthDate, made.StudyTime, made.PatientSex) == ("19560229", "235959.5", "F")
    made = pydicom.dcmread(write(write_film(**HEADERS["dates that the calendar lacks"]))[0])
    assert (made.PatientBirthDate, made.StudyDate, made.StudyTime) == ("", "", "")
    made = pydicom.dcmread(write(write_film(**HEADERS["Japanese name"]))[1])
    assert str(made.PatientName) == "Yamada^Tarou=山田^太郎"


@pytest.mark.parametrize(("stated", "expected"), [("mg", "MG"), ("MG Anna Müller", "OT"), (["MG", "OT"], "OT")])
def test_an_odd_modality_is_neither_kept_nor_printed(
    write_film: Callable[..., Path], stated: str | list[str], expected: str
) -> None:
    header = open_dicom(write_film())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header.Modality = stated
        assert header.Modality == stated
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert film_evidence(header, SPACING).dataset.Modality == expected


def test_equal_results_have_equal_uids(
    write_film: Callable[..., Path], findings: list[Finding], algorithm: Algorithm
) -> None:
    evidence = film_evidence(open_dicom(write_film()), SPACING)
    first, again = (segmentation_object(evidence, findings, algorithm) for _ in range(2))
    assert first.SOPInstanceUID == again.SOPInstanceUID
    other_mask = [replace(findings[0], mask=findings[1].mask), findings[1]]
    other_weights = replace(algorithm, parameters={"weights_sha256": "another"})
    others = (
        segmentation_object(evidence, other_mask, algorithm),
        segmentation_object(evidence, findings, other_weights),
        segmentation_object(evidence, findings[:1], algorithm),
        segmentation_object(evidence, [replace(findings[0], area_mm2=1.0), findings[1]], algorithm),
        segmentation_object(evidence, [replace(findings[0], diameter_mm=1.0), findings[1]], algorithm),
        segmentation_object(
            replace(evidence, laterality="L" if evidence.laterality == "R" else "R"), findings, algorithm
        ),
    )
    assert len({first.SOPInstanceUID, *(one.SOPInstanceUID for one in others)}) == 7
    assert hd.UID(made_uid("a", "b")).is_valid
    assert made_uid("a", "b") != made_uid("ab")


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_film_without_identifiers_cannot_be_referred_to(write_film: Callable[..., Path], keyword: str) -> None:
    header = open_dicom(write_film())
    delattr(header, keyword)
    with pytest.raises(NoReferenceError, match=f"no valid {keyword}"):
        film_evidence(header, SPACING)


@pytest.mark.parametrize("uid", ["1.2.826.0.1.3680043.8.498.77", "1.2.840.10008.5.1.4.1.1.88.33"])
def test_film_of_no_standard_image_class_cannot_be_referred_to(write_film: Callable[..., Path], uid: str) -> None:
    with pytest.raises(NoReferenceError, match="expected one of DICOM's image storage classes"):
        film_evidence(open_dicom(write_film(SOPClassUID=uid)), SPACING)


def test_masks_that_do_not_fit_are_refused(
    write_film: Callable[..., Path], findings: list[Finding], algorithm: Algorithm
) -> None:
    evidence = film_evidence(open_dicom(write_film()), SPACING)
    empty = replace(findings[0], mask=np.zeros_like(findings[0].mask))
    small = replace(findings[0], mask=findings[0].mask[1:])
    for wrong in ([empty], [small], []):
        with pytest.raises(ValueError, match="expected"):
            segmentation_object(evidence, wrong, algorithm)
    made = segmentation_object(evidence, findings, algorithm)
    with pytest.raises(ValueError, match="no classifier is named"):
        report_object(evidence, findings, algorithm, made)


def test_automatic_model_and_long_names(
    write_film: Callable[..., Path], findings: list[Finding], dciodvfy: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    evidence = film_evidence(open_dicom(write_film()), SPACING)
    automatic = Algorithm("modèle\\" + "x" * 80, {"weights": "ß"}, automatic=True)
    made = segmentation_object(evidence, findings, automatic)
    assert made.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    assert len(automatic.title) == 64
    made.save_as(tmp_path / "s.dcm")
    assert dciodvfy(tmp_path / "s.dcm") == []


@pytest.mark.parametrize("view", ["CC", "MLO", "ML", "LM", "LMO", "XCC", "XCCL", "XCCM", "FB", "SIO", "ISO"])
def test_each_view_has_its_code(
    view: str, write_film: Callable[..., Path], findings: list[Finding], algorithm: Algorithm
) -> None:
    evidence = film_evidence(open_dicom(write_film()), SPACING, "L", view)
    made = segmentation_object(evidence, findings, algorithm)
    lesions = [replace(one, probability=None) for one in findings]
    text = str(report_object(evidence, lesions, algorithm, made))
    assert VIEWS[view].value in text
    assert codes.SCT.Left.value in text


@pytest.mark.parametrize("name", ["grey secondary capture of several frames", "tomosynthesis of one frame"])
def test_references_name_the_films_own_class(
    name: str, write_film: Callable[..., Path], write: Callable[..., tuple[Path, Path]]
) -> None:
    film = write_film(**HEADERS[name])
    uid = pydicom.dcmread(film).SOPInstanceUID
    classes: list[str] = []

    def collect(item: pydicom.Dataset, element: pydicom.DataElement) -> None:
        if element.keyword == "ReferencedSOPInstanceUID" and element.value == uid:
            classes.append(item.ReferencedSOPClassUID)

    for path in write(film):
        pydicom.dcmread(path).walk(collect)
    assert len(classes) >= 5
    assert set(classes) == {HEADERS[name]["SOPClassUID"]}
