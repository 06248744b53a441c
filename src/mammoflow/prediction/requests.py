"""What is asked about a film: boxes and points in pixels of the film, checked against its size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mammoflow.errors import ConfigError
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.formats.dicom_header import image_shape
from mammoflow.formats.picture_headers import read_picture_header
from mammoflow.imaging.pictures import is_picture
from mammoflow.imaging.spacing import LARGEST_MM, SMALLEST_MM

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the film, half-open: x1 and y1 are the first column and row after the box."""

Point = tuple[float, float]
"""x, y in pixels of the film, from its upper left corner; the centre of the first pixel is 0.5, 0.5."""

KINDS = ("mass", "calcification", "unknown")

BOX_FORM = "x0,y0,x1,y1 in pixels of the film, such as 933,2307,1237,2568"
POINT_FORM = "x,y in pixels of the film, such as 1085,2437"


@dataclass(frozen=True)
class LesionRequest:
    """One lesion to segment.

    Attributes
    ----------
    box
        The box around it, or None.
    points
        Points on it; with a box they refine it.
    kind
        "mass", "calcification" or "unknown": the finding code of the DICOM objects.
    notes
        What was changed, such as a box that was clipped to the film.
    """

    box: Box | None
    points: tuple[Point, ...] = ()
    kind: str = "unknown"
    notes: tuple[str, ...] = ()

    @property
    def prompt_kind(self) -> str:
        """`box`, `point` or `box_point`, as in the table of prompts."""
        return "_".join(word for word, given in (("box", self.box), ("point", self.points)) if given)


@dataclass(frozen=True)
class FilmRequest:
    """A film and its lesions.

    Attributes
    ----------
    image
        The file.
    name
        Name of its folder in the output.
    lesions
        At least one.
    spacing_mm
        Millimetres per pixel, which count before those of the header; None takes the header's.
    size
        (height, width) in pixels, as the file is displayed.
    """

    image: Path
    name: str
    lesions: tuple[LesionRequest, ...]
    spacing_mm: float | None = None
    size: tuple[int, int] = field(default=(0, 0))


def parse_numbers(text: str, count: int, form: str) -> tuple[float, ...]:
    """Read numbers that commas separate.

    Raises
    ------
    ConfigError
        If there are others than `count` finite numbers.
    """
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise ConfigError(f"found {text!r}; expected {form}")
    return numbers


def check_spacing(spacing_mm: float | None) -> None:
    """Refuse millimetres per pixel that no film has; None, which asks for those of the header, passes.

    Raises
    ------
    ConfigError
        If the number is not finite or outside the bounds that the image stage has for a table.
    """
    if spacing_mm is None or SMALLEST_MM <= spacing_mm <= LARGEST_MM:
        return
    in_mm = spacing_mm / 1000
    hint = f"; if it is in micrometres, write {in_mm:g}" if SMALLEST_MM <= in_mm <= LARGEST_MM else ""
    raise ConfigError(
        f"spacing: found {spacing_mm:g} mm a pixel; expected {SMALLEST_MM:g} to {LARGEST_MM:g} mm a pixel{hint}"
    )


def film_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of a film in pixels, as a viewer displays it; pixels are not decoded.

    Raises
    ------
    ExcludedCase
        If the file is missing or no film can be read from it.
    """
    if not is_picture(path):
        return image_shape(open_dicom(path))
    return read_picture_header(path).shape


def lesion_requests(
    boxes: Sequence[Sequence[float]], points: Sequence[Sequence[float]], size: tuple[int, int], kind: str = "unknown"
) -> tuple[LesionRequest, ...]:
    """Make the lesions of a film: one for each box, and one for each point that is in no box.

    A point inside a box joins the prompt of this box.

    Parameters
    ----------
    boxes, points
        In pixels of the film, `Box` and `Point`.
    size
        (height, width) of the film.
    kind
        Of all lesions.

    Raises
    ------
    ConfigError
        If there is neither a box nor a point, a box or point is impossible, or a point is in two boxes.
    """
    if kind not in KINDS:
        raise ConfigError(f"finding: found {kind!r}; expected one of {', '.join(KINDS)}")
    if not boxes and not points:
        raise ConfigError(f"there is neither a box nor a point; expected --box {BOX_FORM}, or --point {POINT_FORM}")
    checked = [_checked_box(box, size) for box in boxes]
    inside: list[list[Point]] = [[] for _ in checked]
    alone: list[Point] = []
    for point in points:
        x, y = _checked_point(point, size)
        homes = [place for place, (box, _) in enumerate(checked) if box[0] <= x < box[2] and box[1] <= y < box[3]]
        if len(homes) > 1:
            raise ConfigError(f"point {x:g},{y:g} lies in {len(homes)} boxes; expected it in one box or in none")
        (inside[homes[0]] if homes else alone).append((x, y))
    return (
        *(LesionRequest(box, tuple(own), kind, notes) for (box, notes), own in zip(checked, inside, strict=True)),
        *(LesionRequest(None, (point,), kind) for point in alone),
    )


def _checked_box(box: Sequence[float], size: tuple[int, int]) -> tuple[Box, tuple[str, ...]]:
    """Return the box clipped to the film, and what was changed."""
    if len(box) != 4 or not all(math.isfinite(float(value)) for value in box):
        raise ConfigError(f"box {_words(box)}: expected {BOX_FORM}")
    x0, y0, x1, y1 = (float(value) for value in box)
    height, width = size
    film = f"the film has {width} columns (x) and {height} rows (y)"
    if max(x0, y0, x1, y1) <= 1 and min(x0, y0, x1, y1) >= 0:
        pixels = f"{x0 * width:.0f},{y0 * height:.0f},{x1 * width:.0f},{y1 * height:.0f}"
        raise ConfigError(f"box {_words(box)} seems to be in shares of the film; expected pixels: {pixels}; {film}")
    if x1 <= x0 or y1 <= y0:
        hint = ""
        if x1 > 0 and y1 > 0 and x0 + x1 <= width and y0 + y1 <= height:
            hint = f"; x0,y0,width,height would be {x0:g},{y0:g},{x0 + x1:g},{y0 + y1:g}"
        ordered = f"{min(x0, x1):g},{min(y0, y1):g},{max(x0, x1):g},{max(y0, y1):g}"
        raise ConfigError(
            f"box {_words(box)} ends before it starts; expected x0 < x1 and y0 < y1; with its corners in order it is "
            f"{ordered}{hint}"
        )
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        exchanged = 0 <= y0 < width and 0 < y1 <= width and 0 <= x0 < height and 0 < x1 <= height
        hint = f"; with x before y it is {y0:g},{x0:g},{y1:g},{x1:g}" if exchanged else ""
        raise ConfigError(f"box {_words(box)} lies outside the film; {film}{hint}")
    clipped = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    if clipped[2] - clipped[0] < 1 or clipped[3] - clipped[1] < 1:
        raise ConfigError(f"box {_words(box)} covers less than one pixel of the film; expected pixels; {film}")
    if clipped == (x0, y0, x1, y1):
        return clipped, ()
    return clipped, (f"the box {_words(box)} was clipped to the film: {_words(clipped)}",)


def _checked_point(point: Sequence[float], size: tuple[int, int]) -> Point:
    if len(point) != 2 or not all(math.isfinite(float(value)) for value in point):
        raise ConfigError(f"point {_words(point)}: expected {POINT_FORM}")
    x, y = float(point[0]), float(point[1])
    height, width = size
    if 0 <= x < width and 0 <= y < height:
        if max(x, y) <= 1:
            raise ConfigError(
                f"point {_words(point)} seems to be in shares of the film; expected pixels: "
                f"{x * width:.0f},{y * height:.0f}"
            )
        return x, y
    hint = f"; with x before y it is {y:g},{x:g}" if 0 <= y < width and 0 <= x < height else ""
    raise ConfigError(
        f"point {_words(point)} lies outside the film, which has {width} columns (x) and {height} rows (y){hint}"
    )


def _words(numbers: Sequence[float]) -> str:
    return ",".join(f"{float(number):g}" for number in numbers)
