"""Side and view: of the header, of the image, and where they disagree with the study's table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from mammoflow.config.images import ImagesSettings
from mammoflow.formats.side_header import HeaderSide, header_side, views_differ
from mammoflow.imaging.breast import breast_region
from mammoflow.imaging.laterality import check_side, image_side
from mammoflow.imaging.stage import prepare_images
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES

OF_OTHER_RUNS = {"study", "fold", "leaking", "colour_file", "colour_digest"}
"""Columns that only a cohort of several studies, a run of folds or a study with colours has."""

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")


def header(**values: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def code(value: str) -> Sequence:
    return Sequence([header(CodeValue=value, CodingSchemeDesignator="SCT", CodeMeaning="view")])


def frame_laterality(value: str) -> Sequence:
    return Sequence([header(FrameAnatomySequence=Sequence([header(FrameLaterality=value)]))])


@pytest.mark.parametrize(
    ("elements", "side", "contradicts"),
    [
        ({}, "", False),
        ({"ImageLaterality": "L"}, "L", False),
        ({"Laterality": "R"}, "R", False),
        ({"PerFrameFunctionalGroupsSequence": frame_laterality("R")}, "R", False),
        ({"SharedFunctionalGroupsSequence": frame_laterality("L")}, "L", False),
        ({"ViewPosition": "RCC"}, "R", False),
        ({"ImageLaterality": "L", "Laterality": "R"}, "L", True),
        ({"ImageLaterality": "L", "ViewPosition": "RMLO"}, "L", True),
        ({"ImageLaterality": "B", "Laterality": "R"}, "R", False),
        ({"ImageLaterality": "U"}, "", False),
        ({"ImageLaterality": "left"}, "L", False),
    ],
)
def test_side_of_the_header(elements: dict[str, Any], side: str, contradicts: bool) -> None:
    found = header_side(header(**elements))
    assert (found.laterality, found.contradicts) == (side, contradicts)


@pytest.mark.parametrize(
    ("elements", "view"),
    [
        ({"ViewPosition": "CC"}, "CC"),
        ({"ViewPosition": "mlo "}, "MLO"),
        ({"ViewPosition": "LM"}, "LM"),  # lateromedial, not a left M
        ({"ViewPosition": "L-MLO"}, "MLO"),
        ({"ViewPosition": "RXCCL"}, "XCCL"),
        ({"ViewPosition": "PA"}, ""),
        ({"ViewCodeSequence": code("399162004")}, "CC"),
        ({"ViewCodeSequence": code("R-10226")}, "MLO"),
        ({"ViewCodeSequence": code("1234")}, ""),
        ({"ViewCodeSequence": Sequence([])}, ""),
        ({"PatientOrientation": "MLO"}, "MLO"),  # as in CBIS-DDSM
        ({"PatientOrientation": ["A", "R"]}, ""),
    ],
)
def test_view_of_the_header(elements: dict[str, Any], view: str) -> None:
    assert header_side(header(**elements)).view == view


@pytest.mark.parametrize(
    ("orientation", "anterior"),
    [(["A", "R"], "right"), (["P", "L"], "left"), (["AR", "FR"], "right"), (["L", "F"], ""), ("A", ""), ("", "")],
)
def test_where_the_nipple_points(orientation: Any, anterior: str) -> None:
    assert header_side(header(PatientOrientation=orientation)).anterior == anterior


def test_side_of_the_image(film: np.ndarray) -> None:
    breast = breast_region(film)
    assert image_side(film, breast) == "left"
    assert image_side(film[:, ::-1], breast[:, ::-1]) == "right"
    assert image_side(film, np.ones_like(breast)) == "left"
    assert image_side(np.full_like(film, 900), np.ones_like(breast)) == ""
    assert image_side(film, np.zeros_like(breast)) == ""


def test_labels_do_not_count() -> None:
    """Labels on the empty side of a small breast are brighter than all of it; they lie outside its region."""
    rows, columns = np.ogrid[:400, :300]
    breast = ((rows - 200) / 110) ** 2 + (columns / 95) ** 2 < 1
    labelled = np.where(breast, 24000, 2500).astype(np.uint16)
    cv2.rectangle(labelled, (240, 5), (292, 75), 65535, cv2.FILLED)
    cv2.rectangle(labelled, (240, 330), (296, 395), 65535, cv2.FILLED)
    assert image_side(labelled, np.ones(breast.shape, dtype=bool)) == "right"
    assert image_side(labelled, breast_region(labelled)) == "left"


def test_a_breast_that_fills_the_film_is_told(film: np.ndarray) -> None:
    rows, columns = np.ogrid[:400, :300]
    wide = ((rows - 200) / 190) ** 2 + (columns / 299) ** 2 < 1
    assert image_side(np.where(wide, 20000, 0).astype(np.uint16), wide) == "left"


@pytest.mark.parametrize(
    ("table", "stated", "side", "shown", "conflict"),
    [
        ("L", HeaderSide("L"), "left", "L", False),
        ("R", HeaderSide("R"), "right", "R", False),
        ("L", HeaderSide(), "left", "L", False),
        ("", HeaderSide(), "left", "L", False),
        ("L", HeaderSide("L"), "", "", False),
        ("L", HeaderSide("R"), "", "", True),
        ("L", HeaderSide("L"), "right", "R", True),
        ("", HeaderSide("L"), "right", "R", True),
        ("L", HeaderSide("L", contradicts=True), "left", "L", True),
        ("L", HeaderSide("L", anterior="right"), "left", "L", False),
        # A mirrored film, as its header says: the left breast lies on the right, nipple to the left.
        ("L", HeaderSide("L", anterior="left"), "right", "L", False),
        ("R", HeaderSide("R", anterior="right"), "left", "R", False),
        ("L", HeaderSide("L", anterior="left"), "left", "R", True),
        # Orientation without a side of its own proves nothing.
        ("L", HeaderSide("", anterior="left"), "right", "R", True),
    ],
)
def test_conflicts(table: str, stated: HeaderSide, side: str, shown: str, conflict: bool) -> None:
    check = check_side(table, stated, side)
    assert (check.laterality, check.conflict) == (shown, conflict)


@pytest.mark.parametrize(
    ("table", "stated", "differ"),
    [
        ("CC", "CC", False),
        ("CC", "MLO", True),
        ("cc ", "CC", False),
        ("CC", "XCCL", False),
        ("", "CC", False),
        ("CC", "", False),
        ("lateral", "CC", False),
        ("ML", "MLO", True),
    ],
)
def test_views(table: str, stated: str, differ: bool) -> None:
    assert views_differ(table, stated) == differ


def test_flags_in_the_table(
    write_dicom: Callable[..., Path], write_shard: Callable[..., Path], film: np.ndarray, tmp_path: Path
) -> None:
    """Conflicts are flagged, and the table's side stays as the study has it."""
    study = tmp_path / "study"
    spacing = {"ImagerPixelSpacing": [0.1, 0.1]}
    write_dicom(study / "right.dcm", film, ImageLaterality="L", ViewPosition="CC", **spacing)
    write_dicom(study / "wrong.dcm", film[:, ::-1], ImageLaterality="R", ViewPosition="MLO", **spacing)
    write_dicom(study / "mirrored.dcm", film[:, ::-1], ImageLaterality="L", PatientOrientation=["P", "R"], **spacing)
    raw = {"PhotometricInterpretation": "MONOCHROME1", "PresentationIntentType": "FOR PROCESSING"}
    raw |= {"LossyImageCompression": "01", "PixelSpacing": [0.2, 0.2]}
    write_dicom(study / "raw.dcm", 65535 - film, **raw, **spacing)
    names = ("right", "wrong", "mirrored", "raw")
    shard = write_shard([{"image_id": name, "image_path": f"{name}.dcm"} for name in names], [])
    prepare_images(ImagesSettings(longest_side_px=200), study, shard, tmp_path / "out", 1)
    images = read_table(tmp_path / "out" / "images.parquet", CANONICAL_IMAGES).set_index("image_id")
    assert set(CANONICAL_IMAGES.columns) - {"image_id"} - set(images.columns) <= OF_OTHER_RUNS
    assert images["laterality"].tolist() == ["L"] * 4
    assert images["laterality_header"].tolist() == ["L", "R", "L", ""]
    assert images["laterality_image"].tolist() == ["L", "R", "L", "L"]
    assert images["view_header"].tolist() == ["CC", "MLO", "", ""]
    assert images["presentation"].tolist() == ["unknown", "unknown", "unknown", "processing"]
    flags = [column for column in images if column.startswith("flag_")]
    flagged = {name: {flag for flag in flags if images.loc[name, flag]} for name in names}
    assert flagged == {
        "right": set(),
        "wrong": {"flag_laterality_conflict", "flag_view_conflict"},
        "mirrored": set(),
        "raw": {"flag_for_processing", "flag_spacing_conflict", "flag_lossy_compression"},
    }
    turned = ImagesSettings(longest_side_px=200, breast_side="any")
    prepare_images(turned, study, shard, tmp_path / "out", 1)
    images = read_table(tmp_path / "out" / "images.parquet", CANONICAL_IMAGES).set_index("image_id")
    assert images["laterality_image"].tolist() == [""] * 4
    assert images["flag_laterality_conflict"].tolist() == [False, True, False, False]


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize(
    ("word", "side"), [("l", "L"), (" R ", "R"), ("Left", "L"), ("RIGHT", "R"), ("B", ""), ("Z", "")]
)
def test_sides_in_small_letters_and_words(word: str, side: str) -> None:
    dataset = Dataset()
    dataset.ImageLaterality = word
    assert header_side(dataset) == HeaderSide(side)
