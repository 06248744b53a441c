"""One phantom film: breast, lesions, label, borders and grain, with an outline of each lesion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.cohort.phantom.anatomy import Geometry, Mask, Plane, draw_breast, draw_geometry
from mammoflow.cohort.phantom.appearance import MassAppearance
from mammoflow.cohort.phantom.lesions import Drawn, draw_calcification_on, draw_mass_on
from mammoflow.cohort.phantom.population import Breast, Finding

Film16 = npt.NDArray[np.uint16]

SATURATION = 1.25
"""Film density towards which the bright end of the film's curve bends."""

GREY_SCALE = 50000.0
BORDER_SHARE, MARKS = 0.45, (0, 7)


@dataclass(frozen=True)
class Film:
    """A rendered film.

    Attributes
    ----------
    pixels
        (rows, columns) grey levels; dark is background.
    masks
        One (rows, columns) outline, filled, for each finding on the film, in the breast's order.
    geometry
        Outline of the breast, before a right breast is mirrored.
    """

    breast: Breast
    view: str
    findings: tuple[Finding, ...]
    pixels: Film16
    masks: tuple[Mask, ...]
    geometry: Geometry


def _lesion(finding: Finding, view: str, spacing_mm: float) -> Drawn:
    """Draw a finding in one view."""
    if isinstance(finding.appearance, MassAppearance):
        return draw_mass_on(finding.seed, view, finding.appearance, finding.diameter_mm, finding.contrast, spacing_mm)
    return draw_calcification_on(
        finding.seed, view, finding.appearance, finding.diameter_mm, finding.contrast, spacing_mm
    )


def _edge_distance(geometry: Geometry) -> Plane:
    """Return each pixel's distance from the nearest edge of the film in millimetres."""
    across = np.minimum(geometry.x, geometry.width_mm - geometry.x)
    return np.asarray(np.minimum(np.minimum(geometry.y, geometry.height_mm - geometry.y), across), dtype=np.float32)


def place(geometry: Geometry, finding: Finding, radius_mm: float, taken: Mask) -> tuple[int, int]:
    """Choose the pixel on which a lesion's patch is centred.

    The distance from the nipple is the finding's own, so it is the same in both views (the rule by which a reader finds
    a lesion again); the place along that arc of columns is the share of the free tissue that the finding names.

    Parameters
    ----------
    radius_mm
        Radius that should stay inside the breast; it is relaxed where a breast is too small for it.
    taken
        (rows, columns): pixels too near to a lesion that was placed before.

    Returns
    -------
    tuple[int, int]
        Row and column.
    """
    wanted = geometry.nipple_x * (1 - finding.depth)
    share = finding.across if geometry.view == "CC" else finding.height
    rim = np.minimum(geometry.depth_mm, _edge_distance(geometry))
    for relax in (1.0, 0.75, 0.5, 0.0):
        free = (rim > relax * radius_mm + 2.0) & (geometry.muscle_mm < -relax * 0.5 * radius_mm) & ~taken
        columns = np.flatnonzero(free.any(axis=0))
        if len(columns) == 0:
            continue
        column = int(columns[np.argmin(np.abs(geometry.x[0, columns] - wanted))])
        if relax > 0 and abs(float(geometry.x[0, column]) - wanted) > 6.0:
            continue
        rows = np.flatnonzero(free[:, column])
        return int(rows[min(int(share * len(rows)), len(rows) - 1)]), column
    deepest = int(np.argmax(rim))
    return deepest // rim.shape[1], deepest % rim.shape[1]


def _add(target: Plane, mask: Mask, drawn: Drawn, centre: tuple[int, int]) -> None:
    """Add a patch to a film and its outline to a mask, both in place; what falls off the film is cut."""
    half = drawn.added.shape[0] // 2
    top, left = centre[0] - half, centre[1] - half
    rows = slice(max(0, top), min(target.shape[0], top + drawn.added.shape[0]))
    columns = slice(max(0, left), min(target.shape[1], left + drawn.added.shape[1]))
    patch = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    target[rows, columns] += drawn.added[patch]
    mask[rows, columns] = drawn.mask[patch]


def _reach_mm(drawn: Drawn, spacing_mm: float) -> float:
    """Return the largest distance of a lesion's outline from its patch's centre in millimetres."""
    rows, columns = np.nonzero(drawn.mask)
    half = drawn.mask.shape[0] // 2
    return float(np.hypot(rows - half, columns - half).max()) * spacing_mm


def _label(rng: np.random.Generator, film: Plane, breast: Breast, view: str) -> None:
    """Burn the film's label, which also says that it is a phantom, into a corner that the breast leaves free."""
    scale = 0.25 / breast.spacing_mm
    height, width = max(12, round(28 * scale)), max(40, round(92 * scale))
    stamp = np.zeros((height, width), dtype=np.uint8)
    for line, words in enumerate((f"{breast.laterality} {view}", "PHANTOM")):
        origin = (round(4 * scale), round((12 + 12 * line) * scale))
        cv2.putText(stamp, words, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.42 * scale, 255, 1, cv2.LINE_AA)
    level = stamp.astype(np.float32) / 255
    if rng.random() < 0.5:
        level = 0.25 + 0.75 * level
    top, aside = round(rng.uniform(10, 18) * scale), round(rng.uniform(14, 24) * scale)
    column = aside if breast.laterality == "R" else film.shape[1] - width - aside
    for row in (top, film.shape[0] - height - top):
        patch = film[row : row + height, column : column + width]
        if not bool((patch > 0).any()):
            np.maximum(patch, 1.3 * level, out=patch)
            return


def _borders(rng: np.random.Generator, film: Plane, spacing_mm: float) -> None:
    """Leave strips of unexposed film and dust as bright pixels, as scanned films have."""
    if rng.random() < BORDER_SHARE:
        for edge in rng.permutation(4)[: int(rng.integers(1, 4))]:
            width = max(1, round(rng.uniform(0.8, 3.0) / spacing_mm))
            if edge == 0:
                film[:width] = 1.4
            elif edge == 1:
                film[-width:] = 1.4
            elif edge == 2:
                film[:, -width:] = 1.4
            else:
                film[:, :width] = 1.4
    for _ in range(int(rng.integers(*MARKS))):
        row, column = int(rng.integers(film.shape[0])), int(rng.integers(film.shape[1]))
        film[row : row + 1, column : column + int(rng.integers(1, 3))] += np.float32(rng.uniform(0.2, 0.6))


def _expose(rng: np.random.Generator, film: Plane) -> Film16:
    """Turn film density into 16-bit grey: gain and fog of the film, the curve's bend, and grain."""
    gain, fog = rng.uniform(0.92, 1.08), rng.uniform(0.010, 0.045)
    exposed = gain * film
    exposed = exposed / (1 + (exposed / SATURATION) ** 6) ** (1 / 6) + fog
    grain = rng.standard_normal(film.shape, dtype=np.float32)
    grain = 0.6 * grain + 1.1 * cv2.GaussianBlur(grain, (0, 0), 0.9)
    grey = GREY_SCALE * (exposed + 0.0075 * np.sqrt(exposed + 0.05) * grain)
    return np.asarray(np.clip(np.round(grey), 0, 65535), dtype=np.uint16)


def draw_film(breast: Breast, view: str) -> Film:
    """Render one view of a breast; the same breast gives the same pixels, on whichever process."""
    geometry = draw_geometry(breast.seed, view, breast.spacing_mm)
    rng = np.random.default_rng([breast.seed, 13, 0 if view == "CC" else 1])
    film = draw_breast(rng, geometry, breast.density)
    findings = tuple(finding for finding in breast.findings if view in finding.views)
    taken = np.zeros(geometry.shape, dtype=bool)
    masks: list[Mask] = []
    for finding in findings:
        drawn = _lesion(finding, view, breast.spacing_mm)
        reach = _reach_mm(drawn, breast.spacing_mm)
        row, column = place(geometry, finding, reach, taken)
        mask = np.zeros(geometry.shape, dtype=bool)
        _add(film, mask, drawn, (row, column))
        masks.append(mask)
        apart = np.hypot(geometry.y - geometry.y[row, 0], geometry.x - geometry.x[0, column])
        taken |= apart < 2.0 * reach + 6.0
    if breast.laterality == "R":
        film, masks = np.ascontiguousarray(film[:, ::-1]), [np.ascontiguousarray(mask[:, ::-1]) for mask in masks]
    _label(rng, film, breast, view)
    _borders(rng, film, breast.spacing_mm)
    return Film(breast, view, findings, _expose(rng, film), tuple(masks), geometry)
