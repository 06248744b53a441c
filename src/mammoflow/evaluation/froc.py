"""Free-response ROC: the share of lesions that are hit against the false positives per image.

Every component of an automatic model has a score. A cut accepts the components whose score is at least the cut. A
lesion is hit at a cut if an accepted component hits it. An accepted component that hits no lesion is a false positive
(Bunch et al., SPIE Medical Imaging 1977; Chakraborty, Observer Performance Methods for Diagnostic Imaging, 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.metrics import FloatArray, ratio

Integers = npt.NDArray[np.int64]

RESAMPLES_TOGETHER = 200
"""Resamples whose curves are in memory at a time."""


@dataclass(frozen=True)
class Marks:
    """What a model marked on the images of some patients.

    Attributes
    ----------
    patients
        (P,): names of all patients with an image.
    images
        (I,): place of the patient of each image on which false positives are counted.
    lesions
        (L,): place of the patient of each lesion.
    lesion_scores
        (L,): highest score of a component that hits the lesion; -inf for a missed one.
    false_positives
        (F,): place of the patient of each false positive.
    false_positive_scores
        (F,): their scores.
    """

    patients: Sequence[str]
    images: Integers
    lesions: Integers
    lesion_scores: FloatArray
    false_positives: Integers
    false_positive_scores: FloatArray

    def cuts(self) -> FloatArray:
        """Return the scores (K,) at which the curve has a point, the highest first; infinity, which accepts nothing."""
        scores = np.concatenate([self.lesion_scores, self.false_positive_scores])
        return np.concatenate([[np.inf], np.unique(scores[np.isfinite(scores)])[::-1]])


@dataclass(frozen=True)
class Curve:
    """Points of a FROC curve.

    Attributes
    ----------
    cuts
        (K,): a component is accepted if its score is at least the cut; falling from infinity.
    false_positives
        (weightings, K): false positives per image.
    sensitivity
        (weightings, K): share of the lesions that are hit; NaN without lesions.
    """

    cuts: FloatArray
    false_positives: FloatArray
    sensitivity: FloatArray

    def sensitivity_at(self, most: float) -> FloatArray:
        """Return the highest sensitivity (weightings,) with at most `most` false positives per image.

        Where the curve ends before, it is that of its end; where the best component is a false positive and one is
        too many, it is 0. NaN without lesions or without images.
        """
        allowed = (self.false_positives <= most).sum(axis=1)
        reached = self.sensitivity[np.arange(len(allowed)), np.maximum(allowed - 1, 0)]
        return np.where(allowed > 0, reached, np.nan)


def froc_curve(marks: Marks, weights: FloatArray) -> Curve:
    """Return the curve under each weighting of patients (weightings, P)."""
    cuts = marks.cuts()
    images = weights[:, marks.images].sum(axis=1, keepdims=True)
    lesions = weights[:, marks.lesions].sum(axis=1, keepdims=True)
    hits = _accepted(cuts, marks.lesion_scores, weights[:, marks.lesions])
    wrong = _accepted(cuts, marks.false_positive_scores, weights[:, marks.false_positives])
    return Curve(cuts, ratio(wrong, images), ratio(hits, lesions))


def _accepted(cuts: FloatArray, scores: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the summed weight (weightings, K) of what has at least the score of each cut.

    Parameters
    ----------
    cuts
        (K,), falling; every finite score is one of them.
    scores
        (rows,); -inf is never accepted.
    weights
        (weightings, rows).
    """
    counted = np.isfinite(scores)
    at_cut = np.zeros((len(cuts), len(weights)))
    np.add.at(at_cut, np.searchsorted(-cuts, -scores[counted]), weights[:, counted].T)
    return np.cumsum(at_cut, axis=0).T


def sensitivity_estimates(marks: Marks, levels: Sequence[float], bootstrap: PatientBootstrap) -> list[Estimate]:
    """Return the sensitivity at each stated number of false positives per image, with its interval over patients.

    Parameters
    ----------
    marks
        Of one model.
    levels
        False positives per image.
    bootstrap
        Resampling of patients; a patient that is drawn twice counts twice with all images, lesions and components.
        Its fewest patients are patients with a lesion.
    """
    weights = bootstrap.weights(marks.patients)
    blocks = []
    for start in range(0, len(weights), RESAMPLES_TOGETHER):
        curve = froc_curve(marks, weights[start : start + RESAMPLES_TOGETHER])
        blocks.append(np.stack([curve.sensitivity_at(level) for level in levels], axis=1))
    values = np.concatenate(blocks)
    with_lesion = [marks.patients[patient] for patient in marks.lesions]
    return [bootstrap.estimate(values[:, place], with_lesion) for place in range(len(levels))]
