"""A further row of a lesion is a repeat only with the same mask and box; another outline is a lost one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mammoflow.reasons.cohort import CohortReason
from tests.unit.cohort.small_study import Selected, Study, table_of

REPEATED, TORN = str(CohortReason.DUPLICATE_ROW), str(CohortReason.CONTRADICTION)
BOX: dict[str, Any] = {"box_y0": 1, "box_x0": 0, "box_y1": 5, "box_x1": 4}
MASK: dict[str, Any] = {"mask": "masks/a.png"}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "study")


def with_rows(study: Study, *rows: dict[str, Any]) -> Selected:
    """Select the usual table and these rows of lesion 1 of the image `images_9`."""
    lesion = {"image": "images/9.png", "patient": "P9", "label": "benign", "lesion": "1"}
    table = [table_of().assign(lesion="1"), pd.DataFrame([lesion | row for row in rows])]
    return study.select(pd.concat(table, ignore_index=True))


def is_annotated(found: Selected) -> bool:
    annotated: dict[str, bool] = found.images.set_index("image_id")["fully_annotated"].to_dict()
    return annotated.pop("images_9") and all(annotated.values())


@pytest.mark.parametrize(
    ("first", "second"),
    [(MASK, MASK), (BOX, BOX), (MASK | {"mask_value": "2"}, MASK | {"mask_value": "2"}), (MASK, {}), (BOX, {})],
    ids=["one mask", "one box", "one value of one mask", "mask and nothing", "box and nothing"],
)
def test_a_row_without_another_outline_is_a_repeat(study: Study, first: dict[str, Any], second: dict[str, Any]) -> None:
    found = with_rows(study, first, second)
    assert found.reasons() == [REPEATED]
    assert is_annotated(found)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (MASK, {"mask": "masks/b.png"}),
        (BOX, BOX | {"box_x0": 2}),
        (MASK | {"mask_value": "1"}, MASK | {"mask_value": "2"}),
        (MASK, BOX),
    ],
    ids=["masks", "boxes", "values of one mask", "mask and box"],
)
def test_a_row_with_another_outline_leaves_its_image_without_a_full_annotation(
    study: Study, first: dict[str, Any], second: dict[str, Any]
) -> None:
    found = with_rows(study, first, second)
    assert found.reasons() == [TORN]
    assert "cases.csv row 11: a second row for images_9_1 with another mask or box" in found.details[0]
    assert len(found.lesions) == 9
    assert found.images.set_index("image_id")["fully_annotated"].to_dict() == {
        **{f"images_{number}": True for number in range(8)},
        "images_9": False,
    }


def test_the_outline_of_the_first_row_with_a_label_is_kept(study: Study) -> None:
    found = with_rows(study, {"mask": "masks/a.png", "label": ""}, {"mask": "masks/b.png"})
    assert found.reasons() == [TORN]
    assert found.lesions.set_index("image_id").loc["images_9", "mask_path"] == "masks/b.png"
    assert "row 10: a second row" in found.details[0]


def test_rows_of_a_normal_image_are_repeats_whatever_their_masks(study: Study) -> None:
    found = with_rows(study, {"label": "normal"}, {"label": "normal", "mask": "masks/b.png"})
    assert found.reasons() == [REPEATED]
    assert is_annotated(found)


@pytest.mark.parametrize("mark", [MASK, BOX], ids=["mask", "box"])
def test_two_files_of_one_exposure_that_share_a_mark_are_repeats(study: Study, download: Any, mark: dict) -> None:
    for name, intent in (("raw", "FOR PROCESSING"), ("shown", "FOR PRESENTATION")):
        pixels, header = download.film_pixels(), {"PresentationIntentType": intent}
        download.write_dicom(study.folder / f"exam/{name}.dcm", pixels, **header)
    files = [{"image": f"exam/{name}.dcm", "image_id": "images_9", **mark} for name in ("raw", "shown")]
    found = with_rows(study, *files)
    assert found.reasons() == [REPEATED]
    assert found.excluded.loc[found.excluded["level"] == "file", "path"].tolist() == ["exam/raw.dcm"]
    assert is_annotated(found)
