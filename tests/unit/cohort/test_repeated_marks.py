"""Masks and boxes that several images share, and boxes that look like percent, are named."""

from __future__ import annotations

import pandas as pd
import pytest

from mammoflow.cohort.repeated_marks import BOX, mark_notes
from mammoflow.cohort.table_files import ORIGIN


def rows_of(masks: list[str] | None = None, boxes: list[tuple[float, ...] | None] | None = None) -> pd.DataFrame:
    count = len(masks or boxes or [])
    table = pd.DataFrame(boxes if boxes is None else [box or (None,) * 4 for box in boxes], columns=BOX, dtype=object)
    table = table.reindex(range(count))
    return table.assign(
        image_id=[f"I{number}" for number in range(count)],
        mask_name=masks or [""] * count,
        **{ORIGIN: [f"cases.csv row {number + 2}" for number in range(count)]},
    )


def test_one_mask_file_for_two_images_is_named() -> None:
    (note,) = mark_notes(rows_of(["a.png", "b.png", "a.png"]))
    assert "2 rows of different images name one mask file ('a.png'; cases.csv row 2, cases.csv row 4)" in note
    assert not mark_notes(rows_of(["a.png", "b.png", "c.png"]))
    assert not mark_notes(rows_of(["a.png", "a.png"]).assign(image_id="I"))


def test_equal_boxes_on_three_images_are_named() -> None:
    box = (40.0, 40.0, 80.0, 120.0)
    (note,) = mark_notes(rows_of(boxes=[box, box, box, (1.0, 2.0, 30.0, 40.0)]))
    assert note.startswith("box: 3 rows of different images have equal boxes (such as y 40 to 80, x 40 to 120;")
    assert not mark_notes(rows_of(boxes=[box, box, (1.0, 2.0, 30.0, 140.0)]))


@pytest.mark.parametrize(
    ("last", "percent"),
    [((3.5, 8, 90, 99.5), True), ((3, 8, 90, 99), False), ((3.5, 8, 90, 180.5), False), ((-1.5, 8, 90, 99), False)],
)
def test_boxes_that_may_be_percent_are_named(last: tuple[float, ...], percent: bool) -> None:
    notes = mark_notes(rows_of(boxes=[(1, 2, 30, 40), (5, 6, 20, 70), last]))
    assert [("may be percent" in note) for note in notes] == [True] * percent


def test_rows_without_marks_have_no_notes() -> None:
    assert not mark_notes(rows_of(boxes=[None, None, None]))
    assert not mark_notes(rows_of(["a.png"]).iloc[:0])
