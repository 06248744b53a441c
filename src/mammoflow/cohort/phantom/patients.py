"""Which patients a phantom study has: their findings by breast, or none, and their breast densities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mammoflow.config.phantom import PhantomSettings

Floats = npt.NDArray[np.float64]
LesionType = Literal["mass", "calcification"]
Split = Literal["Training", "Test"]

TEST_SHARE = 0.21
DENSITY_SHARES = (0.15, 0.38, 0.32, 0.15)

# Findings of a patient: type and whether the breast is the first or the second one. The first six patterns are in
# every study, however small; among them a mass and a calcification on one film, and two lesions of a kind on one film.
Pattern = tuple[tuple[LesionType, int], ...]
PATTERNS: tuple[tuple[Pattern, float], ...] = (
    ((("mass", 0),), 0.37),
    ((("calcification", 0),), 0.26),
    ((("mass", 0), ("calcification", 0)), 0.08),
    ((("mass", 0), ("mass", 0)), 0.04),
    ((("mass", 0), ("mass", 1)), 0.09),
    ((("calcification", 0), ("calcification", 0)), 0.05),
    ((("mass", 0), ("calcification", 1)), 0.07),
    ((("calcification", 0), ("calcification", 1)), 0.04),
)
FIRST_PATTERNS = 6


def spread(rng: np.random.Generator, count: int) -> Floats:
    """Return `count` numbers in (0, 1), one in each equal interval, in random order."""
    return (rng.permutation(count) + rng.uniform(0.05, 0.95, count)) / max(1, count)


def draw_patterns(rng: np.random.Generator, settings: PhantomSettings) -> list[Pattern]:
    """Choose each patient's findings, none for some; shares are met as nearly as the number of patients allows."""
    patients = settings.patients
    normal = min(round(settings.normal_share * patients), patients - FIRST_PATTERNS)
    chosen = [pattern for pattern, _ in PATTERNS[:FIRST_PATTERNS]]
    while len(chosen) < patients - normal:
        size = len(chosen) + 1
        lack = [share * size - chosen.count(pattern) for pattern, share in PATTERNS]
        chosen.append(PATTERNS[int(np.argmax(lack))][0])
    chosen += [()] * normal
    return [chosen[index] for index in rng.permutation(patients)]


def patient_id(index: int) -> str:
    """Name a patient; ids start where those of CBIS-DDSM have long ended."""
    return f"P_{90001 + index:05d}"


@dataclass(frozen=True)
class Slot:
    """Where a finding is to be, before it is drawn."""

    patient_id: str
    laterality: Literal["L", "R"]
    lesion_type: LesionType
    density: int


def draw_slots(rng: np.random.Generator, patterns: Sequence[Pattern]) -> list[Slot]:
    """Give each patient a density and the findings of its pattern a breast."""
    densities = 1 + np.searchsorted(np.cumsum(DENSITY_SHARES)[:-1], spread(rng, len(patterns)))
    slots = []
    for index, pattern in enumerate(patterns):
        first = int(rng.integers(2))
        for lesion_type, breast in pattern:
            side: Literal["L", "R"] = "L" if (first + breast) % 2 == 0 else "R"
            slots.append(Slot(patient_id(index), side, lesion_type, int(densities[index])))
    return slots


def draw_normal(
    settings: PhantomSettings, patients: Sequence[str]
) -> dict[tuple[str, Literal["L", "R"]], tuple[int, Split]]:
    """Draw breast, density and side of the split of each patient without a finding."""
    rng = np.random.default_rng([settings.seed, 3])
    densities = 1 + np.searchsorted(np.cumsum(DENSITY_SHARES)[:-1], spread(rng, len(patients)))
    test = spread(rng, len(patients)) < TEST_SHARE
    drawn: dict[tuple[str, Literal["L", "R"]], tuple[int, Split]] = {}
    for patient, density, tested in zip(patients, densities, test, strict=True):
        side: Literal["L", "R"] = "L" if rng.integers(2) else "R"
        drawn[patient, side] = int(density), "Test" if tested else "Training"
    return drawn
