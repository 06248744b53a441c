"""Doubts about boxes: what cannot be a box in pixels is refused, what leaves its image is clipped.

Boxes are half-open (y0, x0, y1, x1). The case tables, the boxes of readers and the image stage use the same checks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mammoflow.errors import ExcludedCase, StudyError
from mammoflow.reasons.lesions import LesionReason

Box = tuple[float, float, float, float]

CLIPPED_PX = 0.5  # pixels beyond the image that rounding explains; more is flagged
FEWEST_BOXES = 3  # fewer boxes say nothing about the whole table
NORMALISED_SHARE = 0.5  # of a table's boxes: above this the whole table is taken as normalised
REVERSED_SHARE = 0.2  # of a table's boxes: above this the whole table is taken as x, y, width, height
NORMALISED_HINT = (
    "all four numbers are between 0 and 1, so they look normalised; expected pixels of the stored image: multiply y "
    "by its "
    "height and x by its width"
)
REVERSED_HINT = (
    "the second corner does not lie below and to the right of the first; expected y0 < y1 and x0 < x1: the corners may "
    "be swapped, or the last two numbers may be height and width and not a corner"
)


def looks_normalised(box: Sequence[float]) -> bool:
    """Tell whether all four numbers of a box are between 0 and 1."""
    return all(0 <= value <= 1 for value in box)


def is_reversed(box: Sequence[float]) -> bool:
    """Tell whether the second corner of a box does not lie below and to the right of the first one."""
    return box[2] <= box[0] or box[3] <= box[1]


def check_box(box: Sequence[float], smallest: float = 1.0, origin: str = "") -> None:
    """Refuse four numbers that cannot be a box in pixels.

    Parameters
    ----------
    box
        y0, x0, y1, x1.
    smallest
        Length of one pixel in the unit of the box.
    origin
        Table and line, for the message.

    Raises
    ------
    ExcludedCase
        BOX_INVALID where a number is not finite, the box looks normalised, its corners are reversed, or a side is
        shorter than one pixel.
    """
    problem = ""
    if not all(math.isfinite(value) for value in box):
        problem = "a number is not finite; expected four numbers"
    elif looks_normalised(box):
        problem = NORMALISED_HINT
    elif is_reversed(box):
        problem = REVERSED_HINT
    elif min(box[2] - box[0], box[3] - box[1]) < smallest * (1 - 1e-9):
        problem = f"a side is shorter than one pixel ({smallest:g}); expected a box in pixels of the stored image"
    if problem:
        raise ExcludedCase(LesionReason.BOX_INVALID, f"{origin}{': ' if origin else ''}box {described(box)}: {problem}")


def check_boxes(boxes: Sequence[Sequence[float]], origin: str) -> None:
    """Refuse a table whose boxes are of another kind than expected; single wrong boxes are left to `check_box`.

    Parameters
    ----------
    boxes
        Every whole box of the table.
    origin
        The table, for the message.

    Raises
    ------
    StudyError
        If more than half of the boxes are between 0 and 1, or the corners of more than one in five are reversed, which
        happens where the table gives width and height.
    """
    if len(boxes) < FEWEST_BOXES:
        return
    normalised = sum(looks_normalised(box) for box in boxes)
    if normalised > NORMALISED_SHARE * len(boxes):
        example = next(box for box in boxes if looks_normalised(box))
        raise StudyError(
            f"{origin}: {normalised} of {len(boxes)} boxes look normalised, such as {described(example)}: "
            f"{NORMALISED_HINT}"
        )
    turned = [box for box in boxes if not looks_normalised(box) and is_reversed(box)]
    if len(turned) >= FEWEST_BOXES and len(turned) > REVERSED_SHARE * len(boxes):
        raise StudyError(
            f"{origin}: {len(turned)} of {len(boxes)} boxes have no extent, such as {described(turned[0])}: "
            f"{REVERSED_HINT}. Correct the table, or mark the rows of wrong boxes as unusable"
        )


def clip_box(box: Box, size: tuple[float, float]) -> tuple[Box, bool]:
    """Cut off what lies outside an image, and tell whether that is more than rounding explains.

    Parameters
    ----------
    box
        In pixels of the image.
    size
        (height, width).

    Raises
    ------
    ExcludedCase
        BOX_INVALID where less than one pixel on a side is left.
    """
    height, width = size
    y0, y1 = (min(max(value, 0.0), float(height)) for value in (box[0], box[2]))
    x0, x1 = (min(max(value, 0.0), float(width)) for value in (box[1], box[3]))
    if min(y1 - y0, x1 - x0) < 1 - 1e-9:
        raise ExcludedCase(
            LesionReason.BOX_INVALID,
            f"box {described(box)} has no pixel on the image of {height:g} x {width:g} pixels; the boxes may "
            "belong to the picture in another size",
        )
    beyond = max(y0 - box[0], x0 - box[1], box[2] - y1, box[3] - x1)
    return (y0, x0, y1, x1), beyond > CLIPPED_PX


def overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the intersection over union of two boxes; 0 where they do not meet."""
    sides = [max(min(first[i + 2], second[i + 2]) - max(first[i], second[i]), 0.0) for i in (0, 1)]
    shared = sides[0] * sides[1]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / (sum(areas) - shared) if shared else 0.0


def described(box: Sequence[float]) -> str:
    """Return a box as text for messages."""
    return f"y {box[0]:g} to {box[2]:g}, x {box[1]:g} to {box[3]:g}"
