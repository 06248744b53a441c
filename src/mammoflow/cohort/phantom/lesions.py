"""Masses and calcifications as they add to a film, each with the outline that a reader would draw."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mammoflow.cohort.phantom.appearance import CalcificationAppearance, MassAppearance

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

MASS_CONTRAST = (0.16, 0.33)
"""Film density that the centre of a mass adds, faintest and brightest."""

CALCIFICATION_CONTRAST = (0.30, 0.62)
"""Film density that a particle of 1 mm adds at its centre, faintest and brightest."""

MOTTLING_MM = (0.5, 1.3)
"""Standard deviations of the two blurs whose difference makes the mottling inside a mass."""

READER_SMOOTHING = 0.18
"""Standard deviation, over the radius, of the smoothing that turns a mass into the outline that a reader draws."""


@dataclass(frozen=True)
class Drawn:
    """A lesion on a square patch.

    Attributes
    ----------
    added
        (side, side): film density that the lesion adds.
    mask
        (side, side): its outline, filled.
    """

    added: Plane
    mask: Mask


def _grid(side: int, spacing_mm: float) -> tuple[Plane, Plane]:
    """Return the (side, side) distances in millimetres from the centre, downwards and to the right."""
    axis = ((np.arange(side, dtype=np.float32) - (side - 1) / 2) * spacing_mm).astype(np.float32)
    return np.asarray(axis[:, None]), np.asarray(axis[None, :])


def _side(reach_mm: float, spacing_mm: float) -> int:
    return 2 * int(np.ceil(reach_mm / spacing_mm)) + 1


def _blur(image: Plane, sigma_mm: float, spacing_mm: float) -> Plane:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), max(0.3, sigma_mm / spacing_mm)), dtype=np.float32)


def _outline(rng: np.random.Generator, mass: MassAppearance, angle: Plane) -> Plane:
    """Return the radius of a mass over its mean radius in each direction, scaled to the area of the unit disc."""
    turn = rng.uniform(0, 2 * np.pi)
    turned = angle - turn
    radius = 1 / np.sqrt((np.cos(turned) * np.sqrt(mass.aspect)) ** 2 + (np.sin(turned) / np.sqrt(mass.aspect)) ** 2)
    for order in (2, 3):
        radius = radius + mass.lobulation * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    for order in range(4, 14):
        weight = mass.irregularity * (5 / order) ** 0.7 * rng.normal(0, 0.75)
        radius = radius + weight * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    return np.asarray(np.clip(radius, 0.35, 2.2), dtype=np.float32)


def _spicules(rng: np.random.Generator, mass: MassAppearance, radius_mm: float, side: int, spacing_mm: float) -> Plane:
    """Draw lines that leave the mass, taper, and bend a little; 0 to 1."""
    canvas = np.zeros((side, side), dtype=np.uint8)
    centre = (side - 1) / 2
    first = rng.uniform(0, 2 * np.pi)
    for index in range(mass.spicules):
        direction = first + 2 * np.pi * index / mass.spicules + rng.normal(0, 0.25)
        length = radius_mm * mass.spicule_length * rng.uniform(0.6, 1.4)
        steps = np.linspace(0, 1, 12)
        turns = direction + rng.normal(0, 0.25) * steps
        reach = 0.7 * radius_mm + steps * (length + 0.3 * radius_mm)
        path = np.stack([np.cos(turns) * reach, np.sin(turns) * reach], axis=1) / spacing_mm + centre
        points = np.round(path * 16).astype(np.int32)[:, None, :]
        for start, end, width in ((0, 5, 0.9), (4, 9, 0.65), (8, 12, 0.4)):
            grey = int(255 * min(1.0, 0.4 + width * 0.8) * min(1.0, 0.6 + width / spacing_mm * 0.4))
            cv2.polylines(canvas, [points[start:end]], False, grey, max(1, round(width / spacing_mm)), cv2.LINE_AA, 4)
    return _blur(np.asarray(canvas / 255, dtype=np.float32), 0.2, spacing_mm)


def _mottling(rng: np.random.Generator, side: int, spacing_mm: float) -> Plane:
    """Draw noise of a few millimetres' wavelength, (side, side), mean 0 and standard deviation 1, cut at 2."""
    noise = rng.standard_normal((side, side), dtype=np.float32)
    fine, coarse = (_blur(noise, sigma, spacing_mm) for sigma in MOTTLING_MM)
    band = fine - coarse
    return np.asarray(np.clip((band - band.mean()) / band.std(), -2, 2), dtype=np.float32)


def draw_mass_on(
    seed: int, view: str, mass: MassAppearance, diameter_mm: float, contrast: float, spacing_mm: float
) -> Drawn:
    """Draw a mass in one view: the appearance is the finding's, the outline differs from view to view.

    Parameters
    ----------
    contrast
        0 for the faintest, 1 for the brightest.
    """
    rng = np.random.default_rng([seed, 21, 0 if view == "CC" else 1])
    radius_mm = 0.5 * diameter_mm * rng.uniform(0.95, 1.05)
    side = _side(3.1 * radius_mm + 4, spacing_mm)
    down, right = _grid(side, spacing_mm)
    distance, angle = np.hypot(down, right), np.arctan2(down, right)
    outline = _outline(rng, mass, np.asarray(angle, dtype=np.float32))
    # Undulations and lobes change the area; scale so that every mass of a diameter covers that disc.
    area = float((distance < radius_mm * outline).sum()) * spacing_mm**2
    scale = np.sqrt(np.pi * radius_mm**2 / max(area, spacing_mm**2))
    relative = distance / (radius_mm * scale * outline)
    sharp = np.where(relative < 1, (1 - np.clip(relative, 0, 1) ** 2) ** 0.35, 0)
    body = _blur(np.asarray(sharp, dtype=np.float32), mass.edge_mm, spacing_mm)
    low, high = MASS_CONTRAST
    added = body * (1 + mass.mottling * _mottling(rng, side, spacing_mm))
    if mass.spicules:
        added = np.maximum(added, 0.7 * _spicules(rng, mass, radius_mm * float(scale), side, spacing_mm))
    inside = relative < 1
    # A blurred margin dims a mass; the mean over the outline is kept, so brightness does not tell the margin.
    level = (low + (high - low) * contrast) / max(float(added[inside].mean()), 1e-3) * 0.8
    # A reader's outline follows the mass and leaves out what is finer than about a fifth of its radius.
    outlined = _blur(np.asarray(inside, dtype=np.float32), READER_SMOOTHING * radius_mm, spacing_mm) > 0.5
    return Drawn(np.asarray(added * level, dtype=np.float32), np.asarray(outlined))


def _particle_centres(
    rng: np.random.Generator, group: CalcificationAppearance, diameter_mm: float
) -> npt.NDArray[np.float64]:
    """Return (particles, 2) positions in millimetres (down, right) from the centre of the region."""
    long_axis = 0.5 * diameter_mm / np.sqrt(group.narrowness)
    short_axis = long_axis * group.narrowness
    direction = rng.uniform(0, 2 * np.pi, group.particles)
    reach = np.sqrt(rng.uniform(0, 1, group.particles)) ** (1 + 1.5 * group.clustering)
    # The outermost particles stay near the rim, so that a dense cluster fills as large a region as a loose one.
    outer = min(5, group.particles)
    reach[:outer] = rng.uniform(0.85, 1.0, outer)
    direction[:outer] = 2 * np.pi * (np.arange(outer) / outer) + rng.normal(0, 0.2, outer)
    along, across = long_axis * reach * np.cos(direction), short_axis * reach * np.sin(direction)
    turn = rng.uniform(0, np.pi)
    return np.stack(
        [along * np.sin(turn) + across * np.cos(turn), along * np.cos(turn) - across * np.sin(turn)], axis=1
    )


def _particle(
    down: Plane, right: Plane, radius_mm: float, elongation: float, turn: float, lucent: bool, spacing_mm: float
) -> Plane:
    """Return one particle on the grid: brightness at its centre falls once it is smaller than a pixel."""
    along = down * np.sin(turn) + right * np.cos(turn)
    across = down * np.cos(turn) - right * np.sin(turn)
    half = 0.45 * spacing_mm
    long_axis, short_axis = radius_mm * np.sqrt(elongation), radius_mm / np.sqrt(elongation)
    spread_long, spread_short = np.hypot(0.6 * long_axis, half), np.hypot(0.6 * short_axis, half)
    squared = (along / spread_long) ** 2 + (across / spread_short) ** 2
    shown = np.exp(-0.5 * squared) * (0.36 * long_axis * short_axis) / (spread_long * spread_short)
    if lucent:
        shown = shown * np.clip(0.35 + 0.5 * squared, 0, 1)
    return np.asarray(shown, dtype=np.float32)


def draw_calcification_on(
    seed: int, view: str, group: CalcificationAppearance, diameter_mm: float, contrast: float, spacing_mm: float
) -> Drawn:
    """Draw a group of calcifications in one view; the mask is the hull of the particles, 1.5 mm wider."""
    rng = np.random.default_rng([seed, 22, 0 if view == "CC" else 1])
    side = _side(0.95 * diameter_mm / np.sqrt(group.narrowness) ** 0.5 + 5, spacing_mm)
    down, right = _grid(side, spacing_mm)
    centres = _particle_centres(rng, group, diameter_mm)
    added = np.zeros((side, side), dtype=np.float32)
    window = int(np.ceil(4.0 / spacing_mm))
    middle = (side - 1) // 2
    for row_mm, column_mm in centres:
        radius = float(np.clip(group.radius_mm * np.exp(group.variety * rng.standard_normal()), 0.10, 0.95))
        elongation = 1 + (group.elongation - 1) * rng.uniform(0.4, 1.6)
        turn, bright = rng.uniform(0, np.pi), rng.uniform(0.75, 1.25)
        row, column = (round(middle + float(value) / spacing_mm) for value in (row_mm, column_mm))
        rows = slice(max(0, row - window), max(0, row + window + 1))
        columns = slice(max(0, column - window), max(0, column + window + 1))
        added[rows, columns] += bright * _particle(
            down[rows] - row_mm, right[:, columns] - column_mm, radius, elongation, turn, group.lucent, spacing_mm
        )
    low, high = CALCIFICATION_CONTRAST
    points = np.round(centres[:, ::-1] / spacing_mm + middle).astype(np.int32)
    hull = np.zeros((side, side), dtype=np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(points[:, None, :]), 1)
    wider = 2 * round(1.5 / spacing_mm) + 1
    mask = cv2.dilate(hull, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wider, wider))) > 0
    return Drawn(added * np.float32(low + (high - low) * contrast), np.asarray(mask))
