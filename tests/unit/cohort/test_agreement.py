"""Rows of one image, finding and patient agree, or are left out with both values; so are equal masks of two labels."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest

from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.labels import LabelReason
from tests.unit.cohort.small_study import Study, table_of


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "study")


def two_lesions(**values: list[str]) -> pd.DataFrame:
    """Two lesions on the first image and one on another; `values` are of the two."""
    table = pd.concat([table_of(1), table_of(2).assign(mask=["masks/second.png", "masks/1.png"])], ignore_index=True)
    return table.assign(**{column: [*texts, ""] for column, texts in values.items()})


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("side", ["L", "R"], "differ in side: 'L' (cases.csv row 2), 'R' (cases.csv row 3)"),
        ("side", ["links", "right"], "differ in side"),
        ("view", ["CC", "MLO"], "differ in view: 'CC' (cases.csv row 2), 'MLO' (cases.csv row 3)"),
        ("view", ["LCC", "RCC"], "differ in side"),
        ("density", ["A", "3"], "differ in density: '1' (cases.csv row 2), '3' (cases.csv row 3)"),
        ("spacing", ["0.07", "0.05"], "differ in spacing: '0.07' (cases.csv row 2), '0.05' (cases.csv row 3)"),
        ("image_height", ["8", "9"], "differ in height"),
    ],
)
def test_rows_of_one_image_that_differ_are_left_out_with_both_values(study, column, values, said):
    found = study.select(two_lesions(**{column: values}))
    assert len(found.lesions) == 1
    assert found.reasons() == [CohortReason.CONTRADICTION] * 2
    assert said in found.details[0]
    assert said in found.details[1]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("side", ["L", "left"]),
        ("side", ["", "R"]),
        ("view", ["cc", "cranio-caudal"]),
        ("view", ["", "MLO"]),
        ("density", ["B", "2.0"]),
        ("density", ["", "2"]),
        ("spacing", ["0.07", "0.0700001"]),
        ("spacing", ["0,07", "0.07"]),
        ("image_height", ["8", "8.0"]),
    ],
)
def test_rows_that_say_the_same_or_nothing_agree(study, column, values):
    found = study.select(two_lesions(**{column: values}))
    assert len(found.lesions) == 3
    known = {"side": "laterality", "spacing": "spacing_mm"}.get(column, column)
    assert column == "image_height" or pd.notna(found.images[known][0])
    assert column == "image_height" or found.images[known][0] != ""


def test_a_row_that_is_marked_unusable_contradicts_nothing(study):
    found = study.select(two_lesions(side=["L", "R"], usable=["yes", "no"]))
    assert len(found.lesions) == 2
    assert found.reasons("lesion") == [CohortReason.MARKED_UNUSABLE]


def test_rows_of_one_lesion_that_differ_in_usable_are_left_out(study):
    table = pd.concat([table_of(2), table_of(1)]).assign(usable=["yes", "", "no"])
    found = study.select(table)
    assert found.lesions["patient_id"].tolist() == ["P1"]
    assert "differ in usable: 'yes' (cases.csv row 2), 'no' (cases.csv row 4)" in found.details[0]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ("1960-01-02", "1961-01-02", False),
        ("1960", "1961", False),
        ("1960-01-02", "02.01.1960", True),
        ("1960-01-02", "19600102", True),
        ("1960-01-02 00:00:00", "2/1/1960", True),
        ("1960-01-02", "1960", True),
        ("", "1960", True),
    ],
)
def test_a_patient_was_born_once(study, first, second, kept):
    table = table_of(3).assign(patient=["A", "A", "B"], birth_date=[first, second, "1950"], sex=["F", "weiblich", ""])
    if "-" in first + second and len(second) != 4:
        table["birth_date"] = table["birth_date"].replace("1950", "1950-03-04")
    found = study.select(table)
    assert len(found.lesions) == (3 if kept else 1)
    assert kept or f"rows of patient A differ in date of birth: {first!r} (cases.csv row 2)" in found.details[0]


def test_a_patient_has_one_sex(study):
    found = study.select(table_of(3).assign(patient=["A", "A", "B"], sex=["F", "M", "F"]))
    assert found.lesions["patient_id"].tolist() == ["B"]
    assert "differ in sex" in found.details[0]


def test_a_finding_has_one_label_over_its_views(study):
    table = table_of(3).assign(patient=["A", "A", "B"], finding=["1", "1", "1"], side="L", view=["CC", "MLO", "CC"])
    found = study.select(table)
    assert found.lesions["patient_id"].tolist() == ["B"]
    assert "rows of finding A_L_1 differ in malignancy: 'benign' (cases.csv row 2)" in found.details[0]
    assert len(study.select(table.assign(side=["L", "R", "L"])).lesions) == 3
    assert len(study.select(table.assign(side="")).lesions) == 3  # equal numbers may be of two breasts


def marked(study: Study, name: str, value: int = 255) -> None:
    mask = np.zeros((8, 6), np.uint8)
    mask[2:4, 2:5] = value
    cv2.imwrite(str(study.folder / name), mask)


@pytest.mark.parametrize(
    ("second", "value", "labels", "kept"),
    [
        ("masks/0.png", 255, ["benign", "malignant"], 1),
        ("masks/copy.png", 255, ["benign", "malignant"], 1),
        ("masks/copy.png", 1, ["benign", "malignant"], 1),
        ("masks/copy.tif", 255, ["benign", "malignant"], 1),
        ("masks/copy.png", 255, ["benign", "benign"], 3),
        ("masks/copy.png", 0, ["benign", "malignant"], 3),
    ],
)
def test_two_lesions_with_one_mask_have_one_label(study, second, value, labels, kept):
    table = two_lesions(label=labels).assign(lesion=["1", "2", "1"])
    table.loc[1, "mask"] = second
    table.loc[2, "label"] = "benign"
    (study.folder / "masks").mkdir(parents=True)
    study.write_pictures(table)
    marked(study, "masks/0.png")
    study.write_pictures = lambda table: None  # type: ignore[method-assign]
    if second != "masks/0.png":
        marked(study, second, value)
    found = study.select(table)
    assert len(found.lesions) == kept
    assert found.reasons("lesion") == [LabelReason.LABEL_CONFLICT] * (3 - kept)
    assert kept == 3 or "this lesion is benign and the other one malignant" in found.details[0]


def test_two_lesions_with_one_box_have_one_label(study):
    table = table_of(3).drop(columns="mask").assign(image=["a.png", "a.png", "b.png"], patient=["A", "A", "B"])
    table = table.assign(box_y0=1, box_x0=1, box_y1=4, box_x1=4, lesion=[1, 2, 1])
    assert study.select(table).lesions["patient_id"].tolist() == ["B"]
    table.loc[1, "box_x1"] = 5
    assert len(study.select(table).lesions) == 3


@pytest.mark.parametrize(("height", "width", "kept"), [("8", "6", 2), ("6", "8", 1), ("", "7", 1), ("8", "", 2)])
def test_the_file_has_the_size_that_the_table_says(study, height, width, kept):
    found = study.select(table_of(2).assign(image_height=[height, ""], image_width=[width, ""]))
    assert len(found.images) == kept
    assert kept == 2 or "the file has 8 x 6 pixels" in found.details[0]


def headers(study: Study, download: SimpleNamespace, *elements: dict[str, str]) -> pd.DataFrame:
    """One DICOM file for each patient of the table, with the elements in its header."""
    table = table_of(len(elements))
    table["image"] = [f"images/{number}.dcm" for number in range(len(elements))]
    for name, of_file in zip(table["image"], elements, strict=True):
        download.write_dicom(study.folder / name, download.film_pixels(), **of_file)
    return table


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"PatientBirthDate": "19600102"}, {"PatientBirthDate": "19610102"}, "1 patient has two dates of birth"),
        ({"PatientSex": "F"}, {"PatientSex": "M"}, "1 patient has two sexes"),
        ({"PatientBirthDate": "19600102"}, {"PatientBirthDate": ""}, None),
        ({"PatientSex": "F"}, {"PatientSex": "F"}, None),
    ],
)
def test_headers_of_one_patient_that_differ_are_said(study, download, first, second, said):
    table = headers(study, download, first, second, {}).assign(patient=["A", "A", "B"])
    found = study.select(table)
    assert len(found.lesions) == 3
    assert len(found.notes) == (said is not None)
    assert said is None or found.notes[0].startswith(said)


@pytest.mark.parametrize(
    ("ids", "said"),
    [(["X", "X", "Y"], True), (["X", "X", "X"], False), (["X", "Y", "Z"], False), (["", "", "Y"], False)],
)
def test_one_woman_under_two_patients_of_the_table_is_said(study, download, ids, said):
    found = study.select(headers(study, download, *({"PatientID": name} for name in ids)))
    assert len(found.lesions) == 3
    assert bool(found.notes) is said
    assert not said or "1 PatientID of headers belong to several patients of the table: 'X' (P0, P1)" in found.notes[0]


def test_files_of_one_image_have_one_size(study, download):
    for name, shape in (("a.dcm", (60, 40)), ("b.dcm", (30, 20)), ("c.dcm", (60, 40))):
        download.write_dicom(study.folder / name, download.film_pixels(shape))
    table = table_of(3).assign(
        image=["a.dcm", "b.dcm", "c.dcm"], patient=["A", "A", "B"], image_id=["one", "one", "two"]
    )
    found = study.select(table)
    assert found.lesions["patient_id"].tolist() == ["B"]
    assert "a.dcm (unknown), b.dcm (unknown): the files show several exposures" in found.details[0]


def test_files_for_presentation_and_processing_have_one_size(study, download):
    for name, shape, intent in (
        ("a.dcm", (60, 40), "FOR PRESENTATION"),
        ("b.dcm", (30, 20), "FOR PROCESSING"),
        ("c.dcm", (60, 40), "FOR PRESENTATION"),
    ):
        download.write_dicom(study.folder / name, download.film_pixels(shape), PresentationIntentType=intent)
    table = table_of(3).assign(
        image=["a.dcm", "b.dcm", "c.dcm"], patient=["A", "A", "B"], image_id=["one", "one", "two"]
    )
    found = study.select(table)
    assert found.lesions["patient_id"].tolist() == ["B"]
    assert "files of one image differ in size: a.dcm has 60 x 40 pixels, b.dcm has 30 x 20" in found.details[0]


def test_subcategory_and_age_are_columns_of_the_lesions_where_a_row_gives_them(study):
    given = study.select(table_of(3).assign(birads=["4a", "IV", "5"], age=["54Y", "", "nobody knows"]))
    assert given.lesions["birads"].tolist() == [4, 4, 5]
    assert given.lesions["birads_category"].fillna("").tolist() == ["4A", "", ""]
    assert given.lesions["age"].fillna(0).tolist() == [54, 0, 0]
    assert any("age" in note for note in given.notes)
    assert not {"birads_category", "age"} & set(study.select(table_of(3).assign(birads="4")).lesions)
