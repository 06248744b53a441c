"""What the radiologist wrote into the case table: BI-RADS assessment, pathology, subtlety and descriptors.

The assessment follows the counts of the four official CBIS-DDSM case tables, class by class, so its AUC on a phantom
study is that of the real tables (0.84 for masses, 0.78 for calcifications, 0.81 pooled). Within a class it is
correlated with the lesion's suspicion: a reader sees the lesion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mammoflow.cohort.phantom.appearance import Appearance, CalcificationAppearance, MassAppearance

Floats = npt.NDArray[np.float64]

# Rows of the official tables (training and test together) with assessment 0, 1, 2, 3, 4, 5.
OFFICIAL_COUNTS: dict[tuple[str, bool], tuple[int, ...]] = {
    ("mass", False): (140, 0, 90, 315, 356, 11),
    ("mass", True): (22, 3, 1, 49, 346, 363),
    ("calcification", False): (39, 0, 552, 60, 546, 2),
    ("calcification", True): (37, 0, 1, 53, 385, 197),
}

READING = 0.6
"""Correlation, within a class, of the reader's ranking with the lesion's suspicion."""

MISREAD = 0.1
"""Share of descriptors that the reader gets wrong."""

MASS_SHAPES = ("ROUND", "OVAL", "LOBULATED", "IRREGULAR")
MASS_MARGINS = ("CIRCUMSCRIBED", "MICROLOBULATED", "ILL_DEFINED", "SPICULATED")


@dataclass(frozen=True)
class Assessment:
    """The columns of the case table that a reader filled in."""

    birads: int
    pathology: str
    subtlety: int
    shape: str
    margins: str


def draw_birads(rng: np.random.Generator, lesion_type: str, malignant: bool, suspicion: Floats) -> list[int]:
    """Draw the assessments of all findings of one type and class.

    Parameters
    ----------
    suspicion
        (findings,): the lesions' suspicion.

    Returns
    -------
    list[int]
        Assessments whose shares are those of the official tables as nearly as the number of findings allows.
    """
    count = len(suspicion)
    if count == 0:
        return []
    counts = np.array(OFFICIAL_COUNTS[lesion_type, malignant], dtype=float)
    incomplete = rng.permutation(count)[: round(count * counts[0] / counts.sum())]
    scale = max(float(np.std(suspicion)), 1e-6)
    read = READING * (suspicion - np.mean(suspicion)) / scale + np.sqrt(1 - READING**2) * rng.standard_normal(count)
    complete = np.setdiff1d(np.arange(count), incomplete)
    rank = (np.argsort(np.argsort(read[complete])) + 0.5) / max(1, len(complete))
    steps = np.cumsum(counts[1:]) / counts[1:].sum()
    birads = np.zeros(count, dtype=int)
    birads[complete] = 1 + np.minimum(np.searchsorted(steps, rank, side="right"), 4)
    return [int(value) for value in birads]


def name_pathology(rng: np.random.Generator, malignant: bool, birads: int) -> str:
    """Name the pathology; benign lesions of category 2, and a few of category 3, were never called back."""
    if malignant:
        return "MALIGNANT"
    share = {2: 0.82, 3: 0.18}.get(birads, 0.02)
    return "BENIGN_WITHOUT_CALLBACK" if rng.random() < share else "BENIGN"


def rate_subtlety(rng: np.random.Generator, contrast: float, density: int) -> int:
    """Rate how obvious a lesion is, 1 to 5: bright lesions in fatty breasts are obvious."""
    score = 2.6 + 2.6 * contrast - 0.35 * (density - 2) + 0.6 * rng.standard_normal()
    return int(np.clip(round(score), 1, 5))


def describe(rng: np.random.Generator, appearance: Appearance, density: int) -> tuple[str, str]:
    """Return shape and margins of a mass, or type and distribution of calcifications, as the case tables spell them."""
    if isinstance(appearance, MassAppearance):
        return _describe_mass(rng, appearance, density)
    return _describe_calcification(rng, appearance)


def _describe_mass(rng: np.random.Generator, mass: MassAppearance, density: int) -> tuple[str, str]:
    if mass.irregularity > 0.085:
        shape = "IRREGULAR"
    elif mass.lobulation > 0.07:
        shape = "LOBULATED"
    else:
        shape = "ROUND" if mass.aspect > 0.85 else "OVAL"
    if mass.spicules >= 8:
        margins = "SPICULATED"
    elif mass.edge_mm > 1.1:
        margins = "ILL_DEFINED"
    else:
        margins = "MICROLOBULATED" if mass.irregularity > 0.085 else "CIRCUMSCRIBED"
    if rng.random() < MISREAD:
        shape = MASS_SHAPES[int(rng.integers(len(MASS_SHAPES)))]
    if rng.random() < MISREAD:
        margins = MASS_MARGINS[int(rng.integers(len(MASS_MARGINS)))]
    if margins == "CIRCUMSCRIBED" and rng.random() < 0.12 * density:
        margins = "OBSCURED"
    if shape == "IRREGULAR" and margins == "SPICULATED" and rng.random() < 0.15:
        shape = "IRREGULAR-ARCHITECTURAL_DISTORTION"
    return shape, "NA" if rng.random() < 0.03 else margins


def _describe_calcification(rng: np.random.Generator, group: CalcificationAppearance) -> tuple[str, str]:
    if group.lucent:
        kind = "LUCENT_CENTER"
    elif group.radius_mm > 0.42:
        kind = "COARSE" if group.variety > 0.25 else "ROUND_AND_REGULAR"
    elif group.elongation > 2.2:
        kind = "FINE_LINEAR_BRANCHING"
    elif group.variety > 0.3:
        kind = "PLEOMORPHIC"
    else:
        kind = "PUNCTATE" if rng.random() < 0.6 else "AMORPHOUS"
    if rng.random() < MISREAD:
        kind = "PLEOMORPHIC"
    if group.narrowness < 0.6:
        distribution = "LINEAR" if rng.random() < 0.5 else "SEGMENTAL"
    elif group.clustering > 0.4:
        distribution = "CLUSTERED"
    else:
        distribution = "REGIONAL" if rng.random() < 0.6 else "DIFFUSELY_SCATTERED"
    return kind, "NA" if kind in ("LUCENT_CENTER", "COARSE") and rng.random() < 0.6 else distribution
