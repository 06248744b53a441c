"""Boxes and points: what can be meant, what is refused, and what the message proposes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mammoflow.errors import ConfigError
from mammoflow.prediction.requests import BOX_FORM, film_size, lesion_requests, parse_numbers

SIZE = (400, 300)


def refusal(boxes: list[tuple[float, ...]], points: list[tuple[float, ...]] = []) -> str:  # noqa: B006
    with pytest.raises(ConfigError) as caught:
        lesion_requests(boxes, points, SIZE)
    return str(caught.value)


def test_box_inside_the_film_is_taken_as_it_is() -> None:
    (lesion,) = lesion_requests([(10, 20, 40.5, 60)], [], SIZE, "mass")
    assert lesion.box == (10, 20, 40.5, 60)
    assert (lesion.prompt_kind, lesion.kind, lesion.notes) == ("box", "mass", ())


def test_box_in_shares_of_the_film_is_refused_with_its_pixels() -> None:
    assert "expected pixels: 30,80,150,200" in refusal([(0.1, 0.2, 0.5, 0.5)])
    assert "in shares of the film" in refusal([(0, 0, 1, 1)])


def test_swapped_corners_are_refused_with_their_order() -> None:
    assert "in order it is 10,20,40,60" in refusal([(40, 20, 10, 60)])
    assert "in order it is 10,20,40,60" in refusal([(10, 60, 40, 20)])


def test_a_box_of_corner_and_size_is_recognised() -> None:
    assert "x0,y0,width,height would be 200,250,230,290" in refusal([(200, 250, 30, 40)])


def test_box_outside_the_film_is_refused_with_the_films_size() -> None:
    message = refusal([(500, 20, 560, 60)])
    assert "300 columns (x) and 400 rows (y)" in message
    assert "x before y" not in message


def test_a_box_with_y_first_gets_a_hint() -> None:
    assert "with x before y it is 20,310,60,390" in refusal([(310, 20, 390, 60)])


def test_box_beyond_the_film_is_clipped_and_said() -> None:
    (lesion,) = lesion_requests([(-5, 350, 60, 420)], [], SIZE)
    assert lesion.box == (0, 350, 60, 400)
    assert lesion.notes == ("the box -5,350,60,420 was clipped to the film: 0,350,60,400",)


@pytest.mark.parametrize("box", [(10, 10, 10.5, 30), (299.5, 10, 340, 30), (10, 10, 40, 10.2)])
def test_box_of_less_than_a_pixel_is_refused(box: tuple[float, ...]) -> None:
    assert "less than one pixel" in refusal([box])


@pytest.mark.parametrize("box", [(1, 2, 3), (1, 2, float("nan"), 9), (1, 2, 3, float("inf"))])
def test_box_without_four_finite_numbers_is_refused(box: tuple[float, ...]) -> None:
    assert "x0,y0,x1,y1 in pixels" in refusal([box])


def test_points_join_their_box_and_stand_alone_outside() -> None:
    first, alone = lesion_requests([(10, 20, 40, 60)], [(15, 25), (200, 300)], SIZE)
    assert (first.points, first.prompt_kind) == (((15, 25),), "box_point")
    assert (alone.box, alone.points, alone.prompt_kind) == (None, ((200, 300),), "point")


def test_a_point_in_two_boxes_is_refused() -> None:
    assert "lies in 2 boxes" in refusal([(0, 0, 50, 50), (20, 20, 80, 80)], [(30, 30)])


def test_point_outside_and_in_shares_is_refused() -> None:
    assert "with x before y it is 20,350" in refusal([], [(350, 20)])
    assert "expected pixels: 150,100" in refusal([], [(0.5, 0.25)])
    assert "outside the film" in refusal([], [(300, 20)])


def test_nothing_asked_and_an_unknown_finding_are_refused() -> None:
    assert "neither a box nor a point" in refusal([])
    with pytest.raises(ConfigError, match="'cyst'; expected one of mass, calcification, unknown"):
        lesion_requests([(10, 20, 40, 60)], [], SIZE, "cyst")


@pytest.mark.parametrize("text", ["1,2,3", "1,2,3,x", "1;2;3;4", "", "1,2,3,nan", "1,2,3,4,5"])
def test_text_that_is_no_box_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected x0,y0,x1,y1 in pixels of the film"):
        parse_numbers(text, 4, BOX_FORM)


def test_a_turned_picture_has_the_size_that_a_viewer_shows(tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((30, 50), np.uint8))
    exif = Image.Exif()
    exif[274] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    picture.save(tmp_path / "plain.jpg")
    assert film_size(tmp_path / "turned.jpg") == (50, 30)
    assert film_size(tmp_path / "plain.jpg") == (30, 50)
