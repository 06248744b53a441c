"""Who is in a phantom study: patients, breasts and findings, drawn before a single pixel is computed.

Quantities that must not tell the classes apart (size, contrast) and those whose share matters (malignancy, views) are
drawn by rank instead of one by one, so that a small study has the same distributions as a large one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri

from mammoflow.cohort.phantom.appearance import Appearance, draw_calcification, draw_mass
from mammoflow.cohort.phantom.assessment import Assessment, describe, draw_birads, name_pathology, rate_subtlety
from mammoflow.cohort.phantom.patients import (
    TEST_SHARE,
    Floats,
    LesionType,
    Slot,
    Split,
    draw_normal,
    draw_patterns,
    draw_slots,
    patient_id,
    spread,
)
from mammoflow.config.phantom import PhantomSettings

MALIGNANT_SHARE: dict[LesionType, float] = {"mass": 0.46, "calcification": 0.44}
ONE_VIEW_SHARE = 0.12
FINE_SCANNER_SHARE = 0.25
FINE_SCANNER_RATIO = 0.870
"""Pixel of the HOWTEK over that of the LUMISYS scanner of DDSM: 43.5 over 50 micrometres."""

CLASS_SEPARATION = 2.33
"""Distance of the class means of the latent appearance, in its standard deviations: an AUC of 0.95 if it were seen."""


@dataclass(frozen=True)
class Finding:
    """One abnormality, over its views.

    Attributes
    ----------
    number
        Count of the abnormality within its patient, breast and type, from 1: the case table's abnormality id.
    suspicion
        Latent appearance, standard normal around a class mean; everything visible that tells the classes apart
        depends on it, and on nothing else of the class.
    diameter_mm
        Diameter of a disc of the mass's area; for calcifications, of the region that they fill.
    contrast
        Rank of the lesion's brightness among its class, 0 to 1.
    depth, across, height
        Position: distance from the nipple over that of the chest wall; then 0 to 1 over the tissue at that depth, in CC
        from one side to the other and in MLO from top to bottom.
    """

    patient_id: str
    laterality: Literal["L", "R"]
    density: int
    lesion_type: LesionType
    number: int
    malignant: bool
    suspicion: float
    diameter_mm: float
    contrast: float
    depth: float
    across: float
    height: float
    views: tuple[str, ...]
    split: Split
    seed: int
    appearance: Appearance
    assessment: Assessment

    @property
    def finding_id(self) -> str:
        """Name of the abnormality, the same in all its views."""
        return f"{self.patient_id}_{self.laterality}_{self.lesion_type}_{self.number}"


@dataclass(frozen=True)
class Breast:
    """One breast; its films are those on which one of its findings is seen, and both views where it has none.

    Attributes
    ----------
    split
        Side of a breast without findings; each finding has its own.
    """

    patient_id: str
    laterality: Literal["L", "R"]
    density: int
    spacing_mm: float
    fine_scanner: bool
    seed: int
    findings: tuple[Finding, ...]
    split: Split = "Training"

    @property
    def views(self) -> tuple[str, ...]:
        """Views of which the study holds a film."""
        seen = {view for finding in self.findings for view in finding.views} or {"CC", "MLO"}
        return tuple(view for view in ("CC", "MLO") if view in seen)


def _draw_malignancy(rng: np.random.Generator, types: Sequence[LesionType]) -> list[bool]:
    """Choose the malignant findings: a fixed share of each type."""
    malignant = np.zeros(len(types), dtype=bool)
    for lesion_type, share in MALIGNANT_SHARE.items():
        indices = rng.permutation([index for index, name in enumerate(types) if name == lesion_type])
        malignant[indices[: round(share * len(indices))]] = True
    return [bool(value) for value in malignant]


def _draw_splits(
    rng: np.random.Generator, slots: Sequence[Slot], malignant: Sequence[bool]
) -> dict[tuple[str, str], Split]:
    """Divide the patients of each type; some patients with both types fall on two sides, as 31 of CBIS-DDSM do."""
    patients_of_type = {
        name: {slot.patient_id for slot in slots if slot.lesion_type == name} for name in MALIGNANT_SHARE
    }
    # The first pattern with both types makes sure of one such patient, in studies of any size.
    astride = min(patients_of_type["mass"] & patients_of_type["calcification"])
    splits: dict[tuple[str, str], Split] = {
        (astride, "mass"): "Training",
        (astride, "calcification"): "Test",
    }
    for name, patients in patients_of_type.items():
        ill = {
            slot.patient_id for slot, sick in zip(slots, malignant, strict=True) if sick and slot.lesion_type == name
        }
        groups = [sorted(group - {astride}) for group in (ill, patients - ill)]
        tests = [round(TEST_SHARE * len(group)) for group in groups]
        if sum(tests) == 0 and name == "mass":
            tests[int(len(groups[1]) > len(groups[0]))] = 1
        for group, tested in zip(groups, tests, strict=True):
            for position, index in enumerate(rng.permutation(len(group))):
                splits[group[index], name] = "Test" if position < tested else "Training"
    return splits


def _draw_views(rng: np.random.Generator, count: int) -> list[tuple[str, ...]]:
    """Choose the views of each finding: most are seen in both, more of the others in MLO, as in CBIS-DDSM."""
    one_view = max(1, round(ONE_VIEW_SHARE * count))
    views: list[tuple[str, ...]] = [("CC", "MLO")] * count
    for order, index in enumerate(rng.permutation(count)[:one_view]):
        views[index] = ("CC",) if order % 3 == 1 else ("MLO",)
    return views


def _diameters(rank: Floats, lesion_type: LesionType) -> Floats:
    """Turn ranks into diameters in millimetres: a log-normal cut to the range that CBIS-DDSM mostly has."""
    median, spread, low, high = (16.0, 0.36, 7.0, 34.0) if lesion_type == "mass" else (15.0, 0.36, 7.0, 30.0)
    diameters: Floats = np.clip(median * np.exp(spread * ndtri(rank)), low, high)
    return diameters


def draw_findings(settings: PhantomSettings) -> list[Finding]:
    """Draw all findings of a study, in the order of patients."""
    rng = np.random.default_rng([settings.seed, 1])
    slots = draw_slots(rng, draw_patterns(rng, settings))
    malignant = _draw_malignancy(rng, [slot.lesion_type for slot in slots])
    splits = _draw_splits(rng, slots, malignant)
    views = _draw_views(rng, len(slots))
    suspicion, diameter, contrast, birads = _draw_ranked(rng, slots, malignant)
    findings: list[Finding] = []
    for index, slot in enumerate(slots):
        place = (slot.patient_id, slot.laterality, slot.lesion_type)
        number = 1 + sum((f.patient_id, f.laterality, f.lesion_type) == place for f in findings)
        draw = draw_mass if slot.lesion_type == "mass" else draw_calcification
        appearance = draw(rng, float(suspicion[index]))
        assessment = Assessment(
            birads[index],
            name_pathology(rng, malignant[index], birads[index]),
            rate_subtlety(rng, float(contrast[index]), slot.density),
            *describe(rng, appearance, slot.density),
        )
        findings.append(
            Finding(
                patient_id=slot.patient_id,
                laterality=slot.laterality,
                density=slot.density,
                lesion_type=slot.lesion_type,
                number=number,
                malignant=malignant[index],
                suspicion=float(suspicion[index]),
                diameter_mm=float(diameter[index]),
                contrast=float(contrast[index]),
                depth=float(rng.uniform(0.28, 0.78)),
                across=float(rng.uniform(0.08, 0.92)),
                height=float(rng.uniform(0.08, 0.92)),
                views=views[index],
                split=splits[slot.patient_id, slot.lesion_type],
                seed=int(rng.integers(2**31)),
                appearance=appearance,
                assessment=assessment,
            )
        )
    return findings


def _draw_ranked(
    rng: np.random.Generator, slots: Sequence[Slot], malignant: Sequence[bool]
) -> tuple[Floats, Floats, Floats, list[int]]:
    """Draw suspicion, diameter, contrast and BI-RADS by rank within each type and class."""
    count = len(slots)
    suspicion, diameter, contrast = np.zeros(count), np.zeros(count), np.zeros(count)
    birads = np.zeros(count, dtype=int)
    for lesion_type in MALIGNANT_SHARE:
        for ill in (False, True):
            rows = [i for i, slot in enumerate(slots) if slot.lesion_type == lesion_type and malignant[i] == ill]
            suspicion[rows] = ndtri(spread(rng, len(rows))) + (0.5 if ill else -0.5) * CLASS_SEPARATION
            diameter[rows] = _diameters(spread(rng, len(rows)), lesion_type)
            contrast[rows] = spread(rng, len(rows))
            birads[rows] = draw_birads(rng, lesion_type, ill, suspicion[rows])
    return suspicion, diameter, contrast, [int(value) for value in birads]


def draw_study(settings: PhantomSettings) -> list[Breast]:
    """Draw a whole phantom study.

    Returns
    -------
    list[Breast]
        All breasts with findings, and one breast of each patient who has none, in the order of patients. The same
        settings give the same study.
    """
    findings = draw_findings(settings)
    rng = np.random.default_rng([settings.seed, 2])
    patients = [patient_id(index) for index in range(settings.patients)]
    normal = draw_normal(settings, [patient for patient in patients if all(f.patient_id != patient for f in findings)])
    fine = spread(rng, len(patients)) < FINE_SCANNER_SHARE
    breasts = []
    for patient, finely in zip(patients, fine, strict=True):
        spacing = round(settings.spacing_mm * (FINE_SCANNER_RATIO if finely else 1.0), 6)
        sides: tuple[Literal["L", "R"], ...] = ("L", "R")
        for side in sides:
            seed = int(rng.integers(2**31))
            if (patient, side) in normal:
                density, split = normal[patient, side]
                breasts.append(Breast(patient, side, density, spacing, bool(finely), seed, (), split))
            breast_findings = tuple(f for f in findings if f.patient_id == patient and f.laterality == side)
            if breast_findings:
                breasts.append(
                    Breast(patient, side, breast_findings[0].density, spacing, bool(finely), seed, breast_findings)
                )
    return breasts
