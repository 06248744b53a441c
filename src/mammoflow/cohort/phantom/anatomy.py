"""A breast on a film: outline, skin, pectoral muscle, and parenchyma as power-law noise.

The chest wall lies at the left edge; films of the right breast are mirrored at the end. All arrays are (rows, columns).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.special import expit

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SPECTRAL_EXPONENT = 3.0
"""Exponent of the power spectrum of mammograms (Burgess, Jacobson and Judy, Medical Physics 28:419, 2001)."""

LARGEST_STRUCTURE_MM = 60.0
"""Wavelength above which the spectrum stays flat; without a bound one slow wave would rule the film."""

DENSE_SHARE = {1: 0.10, 2: 0.30, 3: 0.55, 4: 0.80}
"""Dense share of the breast area at the four BI-RADS densities, about the middle of each quarter."""

EDGE_ROUNDING_MM = 24.0
"""Distance from the skin over which the compressed breast reaches its full thickness."""

FAT, GLAND, SKIN, MUSCLE = 0.40, 0.34, 0.10, 0.42
"""Film density of full thickness of fat, and what gland, skin and muscle add to it."""


@dataclass(frozen=True)
class Geometry:
    """Outline of a breast on a film, in millimetres from the upper end of the chest wall.

    Attributes
    ----------
    view
        CC or MLO.
    spacing_mm
        Pixel spacing.
    height_mm, width_mm
        Size of the film.
    nipple_x, nipple_y
        Position of the nipple: distance from the chest wall, and from the upper edge.
    reach
        Half height of the breast in CC; distance from nipple to lower fold in MLO.
    axilla
        Distance of the skin from the chest wall at the upper edge in MLO.
    muscle_width, muscle_height
        Legs of the triangle of the pectoral muscle in MLO; 0 in CC.
    roundness
        Exponent of the outline: 2 is an ellipse.
    """

    view: str
    spacing_mm: float
    height_mm: float
    width_mm: float
    nipple_x: float
    nipple_y: float
    reach: float
    axilla: float
    muscle_width: float
    muscle_height: float
    roundness: float

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the film."""
        return round(self.height_mm / self.spacing_mm), round(self.width_mm / self.spacing_mm)

    @cached_property
    def x(self) -> Plane:
        """(1, columns): distance of each column's centre from the chest wall in millimetres."""
        return ((np.arange(self.shape[1], dtype=np.float32) + 0.5) * self.spacing_mm).astype(np.float32)[None, :]

    @cached_property
    def y(self) -> Plane:
        """(rows, 1): distance of each row's centre from the upper edge in millimetres."""
        return ((np.arange(self.shape[0], dtype=np.float32) + 0.5) * self.spacing_mm).astype(np.float32)[:, None]

    @cached_property
    def skin(self) -> Plane:
        """(rows, 1): distance of the skin line from the chest wall in millimetres; 0 where there is no breast."""
        along = (self.y - self.nipple_y) / self.reach
        lower = self.nipple_x * np.clip(1 - np.abs(along) ** self.roundness, 0, None) ** (1 / self.roundness)
        if self.view == "MLO":
            up = np.clip((self.nipple_y - self.y) / self.nipple_y, 0, 1)
            upper = self.axilla + (self.nipple_x - self.axilla) * (1 - up**2) ** 1.25
            lower = np.where(self.y < self.nipple_y, upper, lower)
        bump = 3.0 * np.exp(-0.5 * ((self.y - self.nipple_y) / 3.5) ** 4)
        return np.asarray(np.where(lower > 0, lower + bump, 0), dtype=np.float32)

    @cached_property
    def breast(self) -> Mask:
        """(rows, columns): whether a pixel lies in the breast, the muscle included."""
        return np.asarray(self.x < self.skin)

    @cached_property
    def depth_mm(self) -> Plane:
        """(rows, columns): distance from the skin in millimetres, 0 outside; the film's edges do not count."""
        distance = cv2.distanceTransform(self.breast.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        # Squared distances are whole numbers; OpenCV's last bits depend on its number of threads, so they are dropped.
        return np.asarray(np.sqrt(np.round(distance**2)) * self.spacing_mm, dtype=np.float32)

    @cached_property
    def muscle_mm(self) -> Plane:
        """(rows, columns): signed distance into the pectoral muscle in millimetres; negative outside it."""
        if self.muscle_width <= 0:
            return np.full(self.shape, -1e3, dtype=np.float32)
        along = np.clip(self.y / self.muscle_height, 0, 1.2)
        edge = self.muscle_width * (1 - along**1.35)
        return np.asarray((edge - self.x) * np.float32(0.85), dtype=np.float32)


def draw_geometry(breast_seed: int, view: str, spacing_mm: float) -> Geometry:
    """Draw the outline of a breast in one view; the depth of the breast is the same in both views but for 3 %."""
    breast = np.random.default_rng([breast_seed, 11])
    depth, half_height = breast.uniform(72, 112), breast.uniform(58, 88)
    rng = np.random.default_rng([breast_seed, 12, 0 if view == "CC" else 1])
    nipple_x = depth * rng.uniform(0.97, 1.03)
    width_mm = max(110.0, nipple_x + rng.uniform(10, 30))
    if view == "CC":
        height_mm = max(195.0, 2 * half_height + rng.uniform(18, 45))
        nipple_y = 0.5 * height_mm + rng.uniform(-6, 6)
        return Geometry(
            view, spacing_mm, height_mm, width_mm, nipple_x, nipple_y, half_height, 0, 0, 0, rng.uniform(1.9, 2.3)
        )
    nipple_y = half_height + rng.uniform(48, 68)
    reach = half_height * rng.uniform(0.78, 0.95)
    axilla = nipple_x * rng.uniform(0.50, 0.68)
    return Geometry(
        view=view,
        spacing_mm=spacing_mm,
        height_mm=nipple_y + reach + rng.uniform(10, 26),
        width_mm=width_mm,
        nipple_x=nipple_x,
        nipple_y=nipple_y,
        reach=reach,
        axilla=axilla,
        muscle_width=axilla * rng.uniform(0.55, 0.80),
        muscle_height=nipple_y * rng.uniform(0.75, 1.05),
        roundness=rng.uniform(1.9, 2.3),
    )


def power_law_field(rng: np.random.Generator, shape: tuple[int, int], spacing_mm: float, exponent: float) -> Plane:
    """Draw Gaussian noise whose power spectrum falls with the given exponent of spatial frequency.

    Parameters
    ----------
    shape
        (rows, columns).
    spacing_mm
        Pixel spacing; the spectrum is flat below one cycle in `LARGEST_STRUCTURE_MM`.

    Returns
    -------
    Plane
        (rows, columns), mean 0 and standard deviation 1.
    """
    # A larger period than the film keeps opposite edges from being neighbours of each other.
    rows, columns = (int(fft.next_fast_len(int(side * 1.15), real=True)) for side in shape)
    spectrum = fft.rfft2(rng.standard_normal((rows, columns), dtype=np.float32))
    vertical = fft.fftfreq(rows, spacing_mm).astype(np.float32)[:, None]
    horizontal = fft.rfftfreq(columns, spacing_mm).astype(np.float32)[None, :]
    frequency = np.maximum(np.hypot(vertical, horizontal), np.float32(1 / LARGEST_STRUCTURE_MM))
    field = fft.irfft2(spectrum * frequency ** np.float32(-exponent / 2), s=(rows, columns))[: shape[0], : shape[1]]
    field = field - field.mean()
    return np.asarray(field / field.std(), dtype=np.float32)


def dense_tissue(rng: np.random.Generator, geometry: Geometry, density: int) -> Plane:
    """Return the share of gland along the beam, 0 to 1, for a breast of one of the four BI-RADS densities."""
    coarse = power_law_field(rng, geometry.shape, geometry.spacing_mm, SPECTRAL_EXPONENT)
    # Gland gathers behind the nipple and leaves a layer of fat below the skin and before the muscle.
    centre_x, centre_y = 0.58 * geometry.nipple_x, geometry.nipple_y - (8.0 if geometry.view == "MLO" else 0.0)
    radial = ((geometry.x - centre_x) / (0.62 * geometry.nipple_x)) ** 2
    radial = radial + ((geometry.y - centre_y) / (0.85 * geometry.reach)) ** 2
    prior = -0.9 * radial - 1.6 * np.exp(-geometry.depth_mm / 5.0) - 2.0 * expit(geometry.muscle_mm / 3.0)
    level = 0.75 * coarse + prior.astype(np.float32)
    inside = geometry.breast & (geometry.muscle_mm < 0)
    threshold = np.quantile(level[inside], 1 - DENSE_SHARE[density])
    sharp = expit(3.2 * (level - np.float32(threshold)))
    fine = power_law_field(rng, geometry.shape, geometry.spacing_mm, SPECTRAL_EXPONENT)
    return np.asarray(np.clip(sharp * (0.62 + 0.20 * fine) + 0.10 * fine, -0.25, 2.0), dtype=np.float32)


def strands(rng: np.random.Generator, geometry: Geometry) -> Plane:
    """Draw ligaments and vessels: thin curved lines that mostly run towards the nipple, 0 to 1."""
    canvas = np.zeros(geometry.shape, dtype=np.uint8)
    for index in range(int(rng.integers(45, 75))):
        vessel = index < 3
        start = np.array([rng.uniform(0, geometry.nipple_x), rng.uniform(0, geometry.height_mm)])
        towards = np.array([geometry.nipple_x, geometry.nipple_y]) - start
        angle = np.arctan2(towards[1], towards[0]) + rng.normal(0, 0.45)
        steps = int(rng.integers(20, 60) if vessel else rng.integers(8, 24))
        turns = np.cumsum(rng.normal(0, 0.10, steps)) + angle
        path = start + np.cumsum(np.stack([np.cos(turns), np.sin(turns)], axis=1) * 1.6, axis=0)
        points = np.round(path / geometry.spacing_mm * 16).astype(np.int32)[:, None, :]
        thickness = max(1, round((1.0 if vessel else 0.45) / geometry.spacing_mm))
        cv2.polylines(canvas, [points], False, int(rng.integers(90, 255)), thickness, cv2.LINE_AA, 4)
    blurred = cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), max(0.4, 0.25 / geometry.spacing_mm))
    return np.asarray(blurred, dtype=np.float32)


def thickness(geometry: Geometry) -> Plane:
    """Return the thickness of the compressed breast over its full thickness: 0 outside, rounded towards the skin."""
    inward = np.clip(geometry.depth_mm / EDGE_ROUNDING_MM, 0, 1)
    rounded = np.sqrt(1 - (1 - inward) ** 2)
    return np.asarray(np.where(geometry.breast, 0.22 + 0.78 * rounded, 0), dtype=np.float32)


def draw_breast(rng: np.random.Generator, geometry: Geometry, density: int) -> Plane:
    """Compute the film density of a breast without lesions.

    Returns
    -------
    Plane
        (rows, columns), 0 outside the breast, about 0.4 in fat and up to 1 in gland and muscle.
    """
    gland = dense_tissue(rng, geometry, density)
    muscle = expit(geometry.muscle_mm / 0.9) * (1 + 0.04 * power_law_field(rng, geometry.shape, geometry.spacing_mm, 2))
    body = FAT + (GLAND + 0.02 * density) * gland + 0.09 * strands(rng, geometry) + MUSCLE * muscle
    rim = SKIN * np.exp(-0.5 * ((geometry.depth_mm - 0.8) / 0.6) ** 2) * geometry.breast
    return np.asarray(body * thickness(geometry) + rim, dtype=np.float32)
