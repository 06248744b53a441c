"""What scanned films carry besides the breast, drawn over a phantom film to try the breast region on.

The phantom study itself has none of these but small labels and narrow borders. Grey levels are those of the film, with
16 bit; lengths are millimetres.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Film16 = npt.NDArray[np.uint16]
Mask = npt.NDArray[np.bool_]
Artefact = Callable[[np.random.Generator, Film16, Mask, float], Film16]
WHITE = 65535.0


def _free_row(rng: np.random.Generator, breast: Mask) -> int:
    """Return a row that crosses the breast, not close to its ends."""
    rows = np.flatnonzero(breast.any(axis=1))
    return int(rows[int(rng.uniform(0.25, 0.75) * len(rows))])


def _skin_column(breast: Mask, row: int) -> tuple[int, int]:
    """Return the column of the skin in a row, and +1 or -1 for the direction that leads off the breast."""
    columns = np.flatnonzero(breast[row])
    right = int(columns[0]) == 0 or columns.mean() < breast.shape[1] / 2
    return (int(columns[-1]), 1) if right else (int(columns[0]), -1)


def _stamp(rng: np.random.Generator, film: Film16, top: float, left: float, size: tuple[float, float]) -> Film16:
    """Put a bright label with dark letters on a film, its corner and size in pixels."""
    height, width = round(size[0]), round(size[1])
    letters = np.zeros((height, width), dtype=np.uint8)
    for line in range(2):
        origin = (round(0.06 * width), round((0.42 + 0.4 * line) * height))
        cv2.putText(letters, "R-MLO 7", origin, cv2.FONT_HERSHEY_SIMPLEX, height / 75, 1, max(1, height // 25))
    label = np.where(letters > 0, 3000.0, rng.uniform(0.75, 1.0) * WHITE)
    row, column = round(top), round(left)
    out = film.copy()
    rows = slice(max(0, row), min(film.shape[0], row + height))
    columns = slice(max(0, column), min(film.shape[1], column + width))
    out[rows, columns] = label[rows.start - row : rows.stop - row, columns.start - column : columns.stop - column]
    return out


def label(rng: np.random.Generator, film: Film16, breast: Mask, spacing_mm: float) -> Film16:
    """A paper label beside the breast, in the corner that is farthest from it."""
    size = (rng.uniform(15, 22) / spacing_mm, rng.uniform(28, 40) / spacing_mm)
    _, direction = _skin_column(breast, _free_row(rng, breast))
    left = film.shape[1] - size[1] - 3 / spacing_mm if direction > 0 else 3 / spacing_mm
    return _stamp(rng, film, 3 / spacing_mm, left, size)


def label_on_skin(rng: np.random.Generator, film: Film16, breast: Mask, spacing_mm: float) -> Film16:
    """Draw a paper label over the skin line, with a third of it on the breast."""
    size = (rng.uniform(14, 20) / spacing_mm, rng.uniform(26, 36) / spacing_mm)
    row = _free_row(rng, breast)
    skin, direction = _skin_column(breast, row)
    left = skin - size[1] / 3 if direction > 0 else skin - 2 * size[1] / 3
    return _stamp(rng, film, row - size[0] / 2, left, size)


def tape(rng: np.random.Generator, film: Film16, breast: Mask, spacing_mm: float) -> Film16:
    """Adhesive tape from the skin to the film's edge."""
    half = rng.uniform(3, 6) / spacing_mm
    row = _free_row(rng, breast)
    skin, direction = _skin_column(breast, row)
    start = skin - direction * round(5 / spacing_mm)
    out = film.copy()
    columns = slice(start, None) if direction > 0 else slice(None, start)
    out[max(0, round(row - half)) : round(row + half), columns] = rng.uniform(0.5, 0.9) * WHITE
    return out


def strip(rng: np.random.Generator, film: Film16, breast: Mask, spacing_mm: float) -> Film16:
    """A bright strip over the whole film and the breast, from its upper to its lower edge."""
    width = rng.uniform(1.5, 4) / spacing_mm
    column = rng.uniform(0.3, 0.6) * film.shape[1]
    out = film.copy()
    out[:, round(column) : round(column + width)] = rng.uniform(0.7, 1.0) * WHITE
    return out


def frame(rng: np.random.Generator, film: Film16, breast: Mask, spacing_mm: float) -> Film16:
    """The bright scanner bed round the film, up to a tenth of its side wide; it hides what lies under it."""
    return np.where(frame_mask(film.shape, rng), np.uint16(rng.uniform(0.93, 1.0) * WHITE), film)


def frame_mask(shape: tuple[int, ...], rng: np.random.Generator) -> Mask:
    """Return where a frame lies."""
    inside = np.zeros(shape, dtype=bool)
    widths = [round(rng.uniform(0.02, 0.10) * shape[side % 2]) for side in range(4)]
    inside[widths[0] : shape[0] - widths[2], widths[1] : shape[1] - widths[3]] = True
    return ~inside


def dark_frame(rng: np.random.Generator, film: Film16, breast: Mask, spacing_mm: float) -> Film16:
    """The black scanner bed round a film that is fogged: a background of two levels."""
    fogged = np.clip(film.astype(np.float32) * 0.9 + rng.uniform(0.06, 0.12) * WHITE, 0, WHITE)
    return np.where(frame_mask(film.shape, rng), 0, fogged).astype(np.uint16)


def two_levels(rng: np.random.Generator, film: Film16, breast: Mask, spacing_mm: float) -> Film16:
    """A background of two levels with a straight edge that crosses the film, as an exposure field leaves it."""
    added = rng.uniform(0.04, 0.10) * WHITE
    lit = np.zeros(film.shape, dtype=bool)
    if rng.random() < 0.5:
        lit[: round(rng.uniform(0.2, 0.5) * film.shape[0])] = True
    else:
        lit[:, round(rng.uniform(0.3, 0.6) * film.shape[1]) :] = True
    return np.clip(film + added * (lit & ~breast), 0, WHITE).astype(np.uint16)


def corners(rng: np.random.Generator, film: Film16, breast: Mask, spacing_mm: float) -> Film16:
    """White corners, where the film is cut round or a collimator was."""
    out = film.copy()
    height, width = film.shape
    for row, column in ((0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1)):
        leg = rng.uniform(6, 16) / spacing_mm
        points = np.array([[column, row], [column + np.sign(width / 2 - column) * leg, row],
                           [column, row + np.sign(height / 2 - row) * leg]]).astype(np.int32)  # fmt: skip
        cv2.fillPoly(out, [points[:, None]], 65535.0)
    return out


def gradient(rng: np.random.Generator, film: Film16, breast: Mask, spacing_mm: float) -> Film16:
    """A background that grows brighter across the film."""
    slope = rng.uniform(0.04, 0.09) * WHITE * np.linspace(0, 1, film.shape[0], dtype=np.float32)[:, None]
    return np.clip(film + (slope if rng.random() < 0.5 else slope[::-1]), 0, WHITE).astype(np.uint16)


def faint(rng: np.random.Generator, film: Film16, breast: Mask, spacing_mm: float) -> Film16:
    """An underexposed film of little contrast on fog."""
    contrast, fog = rng.uniform(0.15, 0.3), rng.uniform(0.05, 0.15)
    return np.asarray(np.clip(film * contrast + fog * WHITE, 0, WHITE), dtype=np.uint16)


def markers(rng: np.random.Generator, film: Film16, breast: Mask, spacing_mm: float) -> Film16:
    """Large lead letters and a scratch that touches the breast."""
    row = _free_row(rng, breast)
    skin, direction = _skin_column(breast, row)
    marks = np.zeros(film.shape, dtype=np.uint8)
    place = (skin + direction * round(4 / spacing_mm) - (0 if direction > 0 else round(25 / spacing_mm)), row)
    cv2.putText(marks, "L", place, cv2.FONT_HERSHEY_SIMPLEX, 0.8 / spacing_mm, 1, max(1, round(3 / spacing_mm)))
    end = (skin - direction * round(20 / spacing_mm), row - round(40 / spacing_mm))
    cv2.line(marks, place, end, 1, max(1, round(0.8 / spacing_mm)))
    return np.asarray(np.where(marks > 0, WHITE, film), dtype=np.uint16)


ARTEFACTS: dict[str, Artefact] = {
    one.__name__: one
    for one in (label, label_on_skin, tape, strip, frame, dark_frame, two_levels, corners, gradient, faint, markers)
}


def hidden(name: str, rng: np.random.Generator, shape: tuple[int, int]) -> Mask:
    """Return the pixels that an artefact hides, given the random numbers with which it was drawn."""
    if name == "frame":
        return frame_mask(shape, rng)
    if name == "dark_frame":
        rng.uniform(0.06, 0.12)
        return frame_mask(shape, rng)
    return np.zeros(shape, dtype=bool)
