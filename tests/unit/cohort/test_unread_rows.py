"""A row that cannot be read leaves its image without a full annotation, whatever is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mammoflow.cohort.image_classes import CLASS
from mammoflow.cohort.reader import Exclusion, open_reader
from mammoflow.cohort.resolution import Resolved
from mammoflow.cohort.selection import select_cases
from mammoflow.cohort.unread_rows import with_images
from mammoflow.config.cohort import DatasetSettings
from mammoflow.reasons.cohort import CohortReason
from tests.unit.cohort.small_study import Study, table_of

CLASSES = ("benign", "malignant")
COLUMNS = ["image", "mask", "patient", "label", "side", "view", "mask_value", "box_y0", "box_x0", "box_y1", "box_x1"]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "study")


def selected(study: Study, rows: list[dict[str, str]], end: str = "", columns: list[str] = COLUMNS) -> Resolved:
    """Read `table_of` and further rows; `end` stands behind the last one."""
    table = pd.concat([table_of(), pd.DataFrame(rows)], ignore_index=True).reindex(columns=columns).fillna("")
    study.folder.mkdir()
    study.write_pictures(table)
    study.write(table.to_csv(index=False).rstrip("\n") + end)
    reader = open_reader(study.dataset("cases.csv", {}), study.folder)
    return select_cases(reader, classes=CLASSES).resolved


def not_annotated(found: Resolved) -> set[str]:
    return {image["image_id"] for image in found.images if not image["fully_annotated"]}


def unread(found: Resolved) -> list[tuple[str, str]]:
    return [(str(lost.reason), lost.image_id) for lost in found.excluded if lost.level == "row"]


BOX = {"mask": "", "box_y0": "12O", "box_x0": "1", "box_y1": "4", "box_x1": "4"}


@pytest.mark.parametrize(
    ("values", "end", "reason"),
    [
        (BOX, "", CohortReason.BAD_ROW),
        ({}, ",0.07", CohortReason.BAD_ROW),
        ({"side": "L", "view": "RCC"}, "", CohortReason.CONTRADICTION),
        ({"mask_value": "lesion"}, "", CohortReason.BAD_ROW),
        ({"patient": ""}, "", CohortReason.BAD_ROW),
    ],
    ids=["box edge", "too many values", "side against view", "mask value", "no patient"],
)
def test_an_image_with_a_row_that_cannot_be_read_is_not_fully_annotated(study, values, end, reason):
    lost = {"image": "images/2.png", "mask": "masks/b.png", "patient": "P2", "label": "malignant"}
    found = selected(study, [lost | values], end)
    assert unread(found) == [(str(reason), "images_2")]
    assert not_annotated(found) == {"images_2"}
    classes = {image["image_id"]: image[CLASS] for image in found.images}
    assert classes.pop("images_2") is None  # its other lesion is benign, and the lost one may be malignant
    assert classes == {f"images_{number}": CLASSES[number % 2] for number in (0, 1, 3, 4, 5, 6, 7)}


def test_the_image_is_found_by_its_own_id(study):
    own = {"patient": "P9", "label": "benign", "image_id": "film 9"}
    rows = [
        {**own, "image": "images/a.png", "mask": "masks/a.png"},
        {**own, "image": "", "mask": "masks/b.png"},
        {**own, "image": "images/a.png", "mask": "masks/c.png", "image_id": "film\ufffd9"},
        {**own, "image": "images/none.png", "mask": "masks/d.png", "patient": "", "image_id": ""},
    ]
    found = selected(study, rows, columns=["image_id", "image", "mask", "patient", "label"])
    image = next(lesion["image_id"] for lesion in found.lesions if lesion["patient_id"] == "P9")
    assert unread(found) == [(str(CohortReason.BAD_ROW), name) for name in (image, image, "")]
    assert not_annotated(found) == {image}


def test_a_row_that_may_be_of_several_images_puts_them_in_doubt():
    rows = pd.DataFrame(
        {"image_name": ["exam", "exam", "exam", "other"], "image_id": ["l", "r", "m", "o"], "key": "",
         "laterality": ["L", "R", "L", ""], "view": ["CC", "CC", "MLO", ""]}
    )  # fmt: skip
    exclusion = Exclusion("row", CohortReason.BAD_ROW, "")

    def images(**said: str) -> tuple[str, set[str]]:
        row = {"key": "", "image_name": "", "laterality": "", "view": "", **said}
        excluded, in_doubt = with_images([(exclusion, row)], rows, ("key", "image_name"))
        return excluded[0].image_id, in_doubt

    assert images(image_name="exam", laterality="L", view="MLO") == ("m", set())
    assert images(image_name="exam", view="CC") == ("", {"l", "r"})
    assert images(image_name="exam", laterality="R", view="MLO") == ("", {"l", "r", "m"})
    assert images(image_name="other", laterality="R") == ("o", set())
    assert images(image_name="new") == images() == ("", set())


def test_images_in_doubt_are_not_fully_annotated(study, download):
    for side in "LR":
        header = {"ImageLaterality": side, "ViewPosition": "CC"}
        download.write_dicom(study.folder / f"exam/{side}.dcm", download.film_pixels(), **header)
    exam = {"image": "exam", "patient": "P9", "label": "benign", "view": "CC"}
    rows = [{**exam, "mask": f"masks/{side}.png", "side": side} for side in "LR"]
    table = pd.concat([table_of(), pd.DataFrame([*rows, {**exam, "mask": "masks/x.png", "side": "L", "view": "RCC"}])])
    found = study.select(table)
    assert found.excluded["image_id"].tolist() == [""]
    assert set(found.images.loc[~found.images["fully_annotated"], "image_id"]) == {"exam_L_CC", "exam_R_CC"}


@pytest.mark.parametrize("values", [{"assessment": "9"}, {"left or right breast": "MIDDLE"}, {"abnormality type": ""}])
def test_a_row_of_the_four_tables_that_cannot_be_read(download, writer, values):
    cases = [*download.some_patients(), download.Case(), download.Case(abnormality=2, values=values)]
    folder = writer.write(cases)
    reader = open_reader(DatasetSettings(reader="cbis-ddsm", folder=str(folder)), folder)
    found = select_cases(reader).resolved
    assert unread(found) == [(str(CohortReason.BAD_ROW), "P_00001_LEFT_CC")]
    assert not_annotated(found) == {"P_00001_LEFT_CC"}
