"""Boxes that are none, and tables of boxes of another kind."""

from __future__ import annotations

import math

import pytest

from mammoflow.cohort.boxes import check_box, check_boxes, clip_box
from mammoflow.errors import ExcludedCase, StudyError

GOOD = [(10.0, 20.0, 40.0, 60.0), (5.0, 5.0, 9.0, 8.0), (100.0, 30.0, 160.0, 50.0), (0.0, 0.0, 12.0, 1.0)]
NORMALISED = [(0.1, 0.2, 0.3, 0.4), (0.5, 0.5, 0.6, 0.9), (0.0, 0.0, 1.0, 1.0)]
SIZES = [(100.0, 80.0, 30.0, 20.0), (50.0, 90.0, 60.0, 20.0), (70.0, 70.0, 20.0, 90.0)]


def test_boxes_in_pixels_pass() -> None:
    for box in GOOD:
        check_box(box)
    check_box((-10, -10, 5, 5))  # what lies beyond the image is clipped, not refused
    check_boxes(GOOD, "boxes")
    check_boxes([*GOOD, NORMALISED[0], SIZES[0]], "boxes")  # single faults belong to their rows


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((math.nan, 1, 2, 3), "not finite"),
        ((1, 1, math.inf, 3), "not finite"),
        (NORMALISED[0], "multiply y by its height"),
        (SIZES[0], "height and width"),
        ((5, 5, 5, 9), "second corner"),
        ((5, 5, 5.4, 9), "one pixel"),
    ],
)
def test_what_is_no_box_says_why(box: tuple[float, ...], words: str) -> None:
    with pytest.raises(ExcludedCase) as problem:
        check_box(box, origin="cases.csv row 3")
    assert words in problem.value.detail
    assert problem.value.detail.startswith("cases.csv row 3: box y ")


def test_a_pixel_has_another_length_in_another_unit() -> None:
    check_box((3.0, 3.0, 3.1, 3.1), smallest=0.1)
    with pytest.raises(ExcludedCase):
        check_box((3.0, 3.0, 3.1, 3.1), smallest=0.2)


def test_tables_of_another_kind_are_refused_as_a_whole() -> None:
    with pytest.raises(StudyError, match=r"boxes of A: 3 of 4 boxes look normalised.*expected pixels"):
        check_boxes([*NORMALISED, GOOD[0]], "boxes of A")
    with pytest.raises(StudyError, match=r"3 of 7 boxes have no extent.*height and width.*mark the rows"):
        check_boxes([*SIZES, *GOOD], "boxes of A")
    check_boxes(NORMALISED[:2], "two boxes say nothing about the table")
    check_boxes([], "no box")


def test_clipping() -> None:
    assert clip_box((10, 20, 40, 60), (100, 80)) == ((10, 20, 40, 60), False)
    assert clip_box((-0.4, 20, 100.3, 60), (100, 80)) == ((0, 20, 100, 60), False)
    assert clip_box((-5, 20, 40, 200), (100, 80)) == ((0, 20, 40, 80), True)
    for box in ((100, 10, 120, 20), (-20, 10, 0.5, 20), (10, 90, 20, 95)):
        with pytest.raises(ExcludedCase, match="no pixel on the image of 100 x 80"):
            clip_box(box, (100, 80))
