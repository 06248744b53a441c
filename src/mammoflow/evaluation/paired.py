"""Paired differences of two candidates on the lesions that both score: areas under the curve, and decisions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.decisions import DecisionDifference, compare_decisions
from mammoflow.evaluation.delong import NO_DIFFERENCE, AreaDifference, area_difference, components
from mammoflow.evaluation.estimates import Scored


@dataclass(frozen=True)
class Paired:
    """Two candidates on the same lesions.

    Attributes
    ----------
    lesions
        Those that both score, indexed by lesion.
    first, second
        What either says of them.
    """

    lesions: pd.DataFrame
    first: Scored
    second: Scored

    @classmethod
    def of(cls, first: Candidate, second: Candidate, lesions: pd.DataFrame) -> Paired:
        """Pair two candidates on the lesions, of those given, that both have a prediction for.

        Parameters
        ----------
        first, second
            What is compared.
        lesions
            Indexed by lesion: `malignant`, `patient_id`.
        """
        scored = first.scores(lesions.index) & second.scores(lesions.index)
        both = lesions if scored.all() else lesions[scored]
        return cls(both, *(candidate.on(both, both.index) for candidate in (first, second)))

    def of_label(self, label: int) -> Paired:
        """Return the pair on the malignant lesions (1) or on the benign ones (0) alone."""
        kept = self.first.label == label
        return Paired(self.lesions[kept], self.first.part(kept), self.second.part(kept))

    def has_enough(self, fewest: int) -> bool:
        """Tell whether enough patients have a malignant lesion, and enough a benign one."""
        return self.first.has_both(fewest)

    @cached_property
    def areas(self) -> AreaDifference:
        """The difference in AUC; areas are means over seeds."""
        if len(np.unique(self.first.label)) < 2:
            return NO_DIFFERENCE
        ranked = [components(scored.label, scored.scores) for scored in (self.first, self.second)]
        return area_difference(self.first.label, ranked[0], ranked[1], self.first.patients)

    @cached_property
    def decisions(self) -> DecisionDifference:
        """How often either decides rightly: on malignant lesions alone the recall, on benign ones the specificity."""
        right = [
            [(call == scored.label).astype(np.float64) for call in scored.calls] for scored in (self.first, self.second)
        ]
        return compare_decisions(right[0], right[1], self.first.patients)
