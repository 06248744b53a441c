"""Which training patients keep their labels: nested shares, drawn by patient within strata."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from mammoflow.config.few_labels import FewLabelsSettings
from mammoflow.storage.files import text_digest


def drawn_patients(strata: Mapping[str, str], fraction: float, draw: int) -> frozenset[str]:
    """Draw a share of some patients.

    The rank of a patient follows from a digest of draw and id, so it does not depend on a random generator. Patients
    are taken in turn from the strata, in proportion to their sizes. A smaller share is part of a larger one of the same
    draw.

    Parameters
    ----------
    strata
        Stratum of each patient, such as `with lesions`.
    fraction
        Share of the patients, above 0; at least one is drawn.
    draw
        Number of the draw.

    Returns
    -------
    frozenset
        The drawn patients.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for patient, stratum in strata.items():
        members[stratum].append(patient)
    places: list[tuple[float, str, str]] = []
    for patients in members.values():
        ranked = sorted((text_digest("label draw", str(draw), patient), patient) for patient in patients)
        places += [((rank + 0.5) / len(ranked), digest, patient) for rank, (digest, patient) in enumerate(ranked)]
    number = min(len(places), max(1, math.floor(fraction * len(places) + 0.5)))
    return frozenset(patient for _, _, patient in sorted(places)[:number])


@dataclass(frozen=True)
class LabelCounts:
    """How many training patients kept their labels.

    Attributes
    ----------
    labelled_patients, unlabelled_patients
        Training patients with and without a label that is used.
    """

    labelled_patients: int
    unlabelled_patients: int

    def facts(self, settings: FewLabelsSettings) -> dict[str, float]:
        """Return what the record of a training says."""
        return {
            "label_fraction": settings.fraction,
            "label_draw": settings.draw,
            "labelled_patients": self.labelled_patients,
            "unlabelled_patients": self.unlabelled_patients,
        }
