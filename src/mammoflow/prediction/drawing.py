"""Pictures of a film with the outlines of its lesions, for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.imaging.geometry import Mask, box_of, crop, resize
from mammoflow.imaging.grey import Grey
from mammoflow.prediction.requests import Box, LesionRequest
from mammoflow.prediction.results import LesionResult

Picture = npt.NDArray[np.uint8]
"""(height, width, 3), red, green, blue."""

Colour = tuple[int, int, int]
Window = tuple[int, int, int, int]
"""y0, x0, y1, x1 in pixels of the film, half-open; it may extend beyond the film."""

FILM_HEIGHT = 1000
TILE = 480
CLOSE_UP = 2.0
"""Side of a close-up, in longest sides of prompt and masks together."""

LEAST_CLOSE_UP = 64
COLOURS: tuple[Colour, ...] = ((255, 196, 0), (0, 200, 255), (255, 90, 160), (120, 255, 120))
BOX_COLOUR: Colour = (255, 255, 255)
GAP = 8


@dataclass(frozen=True)
class Outlined:
    """A lesion as it is drawn.

    Attributes
    ----------
    request
        Its box and points.
    masks
        Each mask (height, width) on the film's grid, with the colour of its outline.
    label
        Text beside it.
    """

    request: LesionRequest
    masks: tuple[tuple[Mask, Colour], ...]
    label: str

    @classmethod
    def of(cls, lesion: LesionResult) -> Outlined:
        """Return a lesion with one mask, in a colour of its number."""
        colour = COLOURS[(lesion.number - 1) % len(COLOURS)]
        return cls(lesion.request, ((lesion.mask, colour),), str(lesion.number))

    @property
    def surroundings(self) -> Window:
        """The square around prompt and masks that a close-up shows."""
        boxes = [_mask_box(mask) for mask, _ in self.masks] + [self.request.box]
        corners = [corner for box in boxes if box is not None for corner in ((box[1], box[0]), (box[3], box[2]))]
        corners += [(y, x) for x, y in self.request.points]
        low, high = np.min(corners, axis=0), np.max(corners, axis=0)
        half = max(CLOSE_UP * float(np.max(high - low)), LEAST_CLOSE_UP) / 2
        y0, x0 = (int(np.floor((low[axis] + high[axis]) / 2 - half)) for axis in (0, 1))
        length = int(np.ceil(2 * half))
        return y0, x0, y0 + length, x0 + length


def draw_film(film: Grey, lesions: Sequence[Outlined]) -> Picture:
    """Draw the film with the outlines of its lesions, and a close-up of each lesion at its right.

    Parameters
    ----------
    film
        (height, width) grey levels on the grid of the masks.
    lesions
        What is drawn.
    """
    per_column = FILM_HEIGHT // TILE
    tiles = [close_up(film, lesion) for lesion in lesions]
    columns = [tiles[start : start + per_column] for start in range(0, len(tiles), per_column)]
    parts = [whole_film(film, lesions), *(_stack(column) for column in columns)]
    gap = np.zeros((FILM_HEIGHT, GAP, 3), np.uint8)
    return np.concatenate([piece for part in parts for piece in (part, gap)][:-1], axis=1)


def whole_film(film: Grey, lesions: Sequence[Outlined], height: int = FILM_HEIGHT) -> Picture:
    """Draw the whole film (height, ..., 3) with the outlines of its lesions."""
    width = max(1, round(film.shape[1] * height / film.shape[0]))
    return _draw(film, (0, 0, film.shape[0], film.shape[1]), (height, width), lesions)


def close_up(film: Grey, lesion: Outlined, side: int = TILE) -> Picture:
    """Draw the surroundings (side, side, 3) of a lesion."""
    return _draw(film, lesion.surroundings, (side, side), [lesion])


def _draw(film: Grey, window: Window, size: tuple[int, int], lesions: Sequence[Outlined]) -> Picture:
    """Draw a window of the film with its outlines."""
    grey = _stretched(resize(crop(film, window), size))
    picture: Picture = np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2))
    columns, rows = size[1] / (window[3] - window[1]), size[0] / (window[2] - window[0])

    def place(x: float, y: float) -> tuple[int, int]:
        return round((x - window[1]) * columns), round((y - window[0]) * rows)

    for lesion in lesions:
        box = lesion.request.box
        if box is not None:
            cv2.rectangle(picture, place(box[0], box[1]), place(box[2], box[3]), BOX_COLOUR, 1, cv2.LINE_AA)
        for mask, colour in lesion.masks:
            _draw_outline(picture, mask, window, colour)
        for x, y in lesion.request.points:
            cv2.drawMarker(picture, place(x, y), BOX_COLOUR, cv2.MARKER_CROSS, 14, 2, cv2.LINE_AA)
        y0, _, _, x1 = _label_corner(lesion)
        _write(picture, lesion.label, place(x1, y0), lesion.masks[0][1])
    return picture


def _draw_outline(picture: Picture, mask: Mask, window: Window, colour: Colour) -> None:
    levels = resize(crop(mask, window).view(np.uint8) * np.uint8(255), (picture.shape[0], picture.shape[1]))
    contours, _ = cv2.findContours((levels > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, colour, 2, cv2.LINE_AA)


def _label_corner(lesion: Outlined) -> tuple[float, float, float, float]:
    """Return the box (y0, x0, y1, x1) beside whose upper right corner the label is written."""
    box = lesion.request.box or _mask_box(lesion.masks[0][0])
    if box is None:
        x, y = lesion.request.points[0]
        return y, x, y, x
    return box[1], box[0], box[3], box[2]


def _write(picture: Picture, text: str, corner: tuple[int, int], colour: Colour) -> None:
    """Write a text at the right of a corner, and inside the picture."""
    at = (min(max(corner[0] + 6, 2), picture.shape[1] - 22), min(max(corner[1] + 14, 16), picture.shape[0] - 4))
    for shade, width in (((0, 0, 0), 3), (colour, 1)):
        cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, shade, width, cv2.LINE_AA)


def _stretched(grey: Grey) -> npt.NDArray[np.uint8]:
    """Bring grey levels to 8 bit, between the 1st and the 99.8th percentile of what is not black."""
    inside = grey[grey > grey.min()]
    if not inside.size:
        return np.zeros(grey.shape, np.uint8)
    low, high = (float(value) for value in np.percentile(inside, [1, 99.8]))
    stretched = (grey.astype(np.float32) - low) / max(high - low, 1.0)
    return np.asarray(np.clip(stretched * 255, 0, 255), dtype=np.uint8)


def _stack(tiles: list[Picture]) -> Picture:
    """Put tiles below each other on a column of the film's height."""
    column = np.zeros((FILM_HEIGHT, TILE, 3), np.uint8)
    for number, tile in enumerate(tiles):
        top = number * (TILE + GAP)
        column[top : top + TILE] = tile
    return column


def _mask_box(mask: Mask) -> Box | None:
    box = box_of(mask)
    return None if box is None else (float(box[1]), float(box[0]), float(box[3]), float(box[2]))
