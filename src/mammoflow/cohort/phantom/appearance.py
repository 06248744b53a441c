"""What a lesion looks like, as a few numbers; they depend on its suspicion and on chance, never on its class.

Benign and malignant lesions differ only in the distribution of `suspicion`, so the classes overlap in everything that
can be seen, and a classifier can be good but not perfect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit


@dataclass(frozen=True)
class MassAppearance:
    """Form and margin of a mass.

    Attributes
    ----------
    aspect
        Short over long axis, 0.62 to 1; independent of suspicion, as is the next one.
    lobulation
        Amplitude of two or three broad lobes over the mean radius.
    irregularity
        Amplitude of finer undulations of the outline over the mean radius.
    edge_mm
        Standard deviation of the blur of the margin in millimetres.
    spicules
        Number of spicules.
    spicule_length
        Their mean length over the mean radius.
    mottling
        Amplitude of the uneven brightness inside over the mass's own brightness.
    """

    aspect: float
    lobulation: float
    irregularity: float
    edge_mm: float
    spicules: int
    spicule_length: float
    mottling: float


@dataclass(frozen=True)
class CalcificationAppearance:
    """Particles and arrangement of a group of calcifications.

    Attributes
    ----------
    particles
        Number of particles.
    radius_mm
        Median radius of a particle.
    variety
        Standard deviation of the logarithm of the particles' radii.
    elongation
        Mean length over width of a particle.
    clustering
        0 for particles spread evenly over the region, 1 for one dense cluster.
    narrowness
        Short over long axis of the region: small for linear groups.
    lucent
        Whether the particles are rings with a lucent centre.
    """

    particles: int
    radius_mm: float
    variety: float
    elongation: float
    clustering: float
    narrowness: float
    lucent: bool


def draw_mass(rng: np.random.Generator, suspicion: float) -> MassAppearance:
    """Draw form and margin of a mass of the given suspicion."""
    noise = rng.standard_normal(5)
    spicules = round(24 * float(expit(1.6 * suspicion - 0.8 + 0.6 * noise[2])))
    return MassAppearance(
        aspect=float(rng.uniform(0.62, 1.0)),
        lobulation=float(rng.uniform(0.0, 0.12)),
        irregularity=float(0.015 + 0.13 * expit(1.5 * suspicion - 0.4 + 1.1 * noise[0])),
        edge_mm=float(0.35 + 1.5 * expit(1.2 * suspicion - 0.2 + 0.9 * noise[1])),
        spicules=spicules if spicules >= 4 else 0,
        spicule_length=float(0.45 + 0.8 * expit(suspicion + 0.8 * noise[3])),
        mottling=float(0.04 + 0.5 * expit(1.6 * suspicion - 0.4 + 0.6 * noise[4])),
    )


def draw_calcification(rng: np.random.Generator, suspicion: float) -> CalcificationAppearance:
    """Draw particles and arrangement of a group of calcifications of the given suspicion."""
    noise = rng.standard_normal(5)
    coarse = expit(-1.4 * suspicion + 0.6 * noise[0])
    return CalcificationAppearance(
        particles=round(7 + 30 * float(expit(1.4 * suspicion + 0.5 * noise[1]))),
        radius_mm=float(0.26 + 0.24 * coarse),
        variety=float(0.10 + 0.36 * expit(1.5 * suspicion + 0.6 * noise[2])),
        elongation=float(1.0 + 1.8 * expit(1.4 * suspicion - 0.5 + 0.7 * noise[3])),
        clustering=float(expit(1.0 * suspicion + rng.standard_normal())),
        narrowness=float(1.0 - 0.6 * expit(1.2 * suspicion - 0.7 + 0.8 * noise[4])),
        lucent=bool(coarse > 0.75 and rng.random() < 0.5),
    )


Appearance = MassAppearance | CalcificationAppearance
