"""Pictures of a film with the outlines of its lesions, for people."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.imaging.geometry import Mask, box_of, crop, resize
from mammoflow.imaging.grey import Grey
from mammoflow.prediction.requests import Box
from mammoflow.prediction.results import LesionResult

Picture = npt.NDArray[np.uint8]
"""(height, width, 3), red, green, blue."""

FILM_HEIGHT = 1000
TILE = 480
CLOSE_UP = 2.0
"""Side of a close-up, in longest sides of box and mask together."""

LEAST_CLOSE_UP = 64
COLOURS = ((255, 196, 0), (0, 200, 255), (255, 90, 160), (120, 255, 120))
BOX_COLOUR = (255, 255, 255)
GAP = 8


def draw_film(film: Grey, lesions: list[LesionResult]) -> Picture:
    """Draw the film with the outlines of its lesions, and a close-up of each lesion at its right.

    Parameters
    ----------
    film
        (height, width) grey levels on the grid of the masks.
    lesions
        Their masks, boxes and points.
    """
    scale = FILM_HEIGHT / film.shape[0]
    whole = _draw(film, (0, 0, *film.shape), (FILM_HEIGHT, max(1, round(film.shape[1] * scale))), lesions)
    per_column = FILM_HEIGHT // TILE
    tiles = [close_up(film, lesion) for lesion in lesions]
    columns = [tiles[start : start + per_column] for start in range(0, len(tiles), per_column)]
    parts = [whole, *(_stack(column) for column in columns)]
    gap = np.zeros((FILM_HEIGHT, GAP, 3), np.uint8)
    return np.concatenate([piece for part in parts for piece in (part, gap)][:-1], axis=1)


def close_up(film: Grey, lesion: LesionResult, side: int = TILE) -> Picture:
    """Draw the surroundings (side, side) of a lesion.

    Parameters
    ----------
    film
        (height, width) grey levels on the grid of the mask.
    lesion
        Its mask, box and points.
    side
        Pixels of the picture.
    """
    corners = [_corners(box) for box in (lesion.request.box, _mask_box(lesion.mask)) if box is not None]
    corners += [((y, x), (y, x)) for x, y in lesion.request.points]
    low = np.min([first for first, _ in corners], axis=0)
    high = np.max([last for _, last in corners], axis=0)
    half = max(CLOSE_UP * float(np.max(high - low)), LEAST_CLOSE_UP) / 2
    middle = (low + high) / 2
    y0, x0 = (int(np.floor(middle[axis] - half)) for axis in (0, 1))
    length = int(np.ceil(2 * half))
    return _draw(film, (y0, x0, y0 + length, x0 + length), (side, side), [lesion])


def _draw(film: Grey, window: tuple[int, int, int, int], size: tuple[int, int], lesions: list[LesionResult]) -> Picture:
    """Draw a window (y0, x0, y1, x1) of the film with its outlines."""
    grey = _stretched(resize(crop(film, window), size))
    picture: Picture = np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2))
    factors = np.array([size[1] / (window[3] - window[1]), size[0] / (window[2] - window[0])])
    corner = np.array([window[1], window[0]])

    def place(x: float, y: float) -> tuple[int, int]:
        at = np.rint((np.array([x, y]) - corner) * factors).astype(int)
        return int(at[0]), int(at[1])

    for lesion in lesions:
        colour = COLOURS[(lesion.number - 1) % len(COLOURS)]
        if lesion.request.box is not None:
            x0, y0, x1, y1 = lesion.request.box
            cv2.rectangle(picture, place(x0, y0), place(x1, y1), BOX_COLOUR, 1, cv2.LINE_AA)
        outline = (resize(crop(lesion.mask, window).view(np.uint8) * np.uint8(255), size) > 127).astype(np.uint8)
        contours, _ = cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, colour, 2, cv2.LINE_AA)
        for x, y in lesion.request.points:
            cv2.drawMarker(picture, place(x, y), colour, cv2.MARKER_CROSS, 14, 2, cv2.LINE_AA)
        _write_number(picture, lesion, place, colour)
    return picture


def _write_number(picture: Picture, lesion: LesionResult, place: object, colour: tuple[int, int, int]) -> None:
    """Write the lesion's number beside it."""
    box = lesion.request.box or _mask_box(lesion.mask) or (*lesion.request.points[0], *lesion.request.points[0])
    x, y = place(box[2], box[1])  # type: ignore[operator]
    at = (min(max(x + 6, 2), picture.shape[1] - 22), min(max(y + 14, 16), picture.shape[0] - 4))
    cv2.putText(picture, str(lesion.number), at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(picture, str(lesion.number), at, cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 1, cv2.LINE_AA)


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


def _corners(box: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the corners (y, x) of a box x0, y0, x1, y1."""
    return (box[1], box[0]), (box[3], box[2])
