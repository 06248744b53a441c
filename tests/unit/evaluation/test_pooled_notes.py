"""Notes of folds as those of one row."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from mammoflow.evaluation.candidates import CLASSIFIER, Candidate
from mammoflow.evaluation.ensembles import seed_ensembles
from mammoflow.evaluation.feature_models import boosted_candidate, feature_candidate
from mammoflow.evaluation.fusion import fusion_candidates
from mammoflow.evaluation.pooled_notes import pooled_notes
from mammoflow.evaluation.pooling import Fold, pooled_candidates

LESIONS = 120


def fold_of(number: int) -> Fold:
    """Return one of two folds: a classifier with two seeds, its ensemble, fusions and models on features."""
    random = np.random.default_rng(0)
    malignant = np.arange(LESIONS) // 2 % 2
    side = np.where(np.arange(LESIONS) % 2 == number, "test", "train").astype(object)
    side[(np.arange(LESIONS) % 5 == number) & (side == "train")] = "validation"
    index = pd.Index([f"L{row:03d}" for row in range(LESIONS)], name="lesion_id")
    words = {"density": 2, "shape": "OVAL", "margins": "CIRCUMSCRIBED", "lesion_type": "mass"}
    lesions = pd.DataFrame({"patient_id": index, "split": side, "malignant": malignant, **words}, index=index)
    lesions["birads"] = 3 + (malignant + random.normal(size=LESIONS) > 0.5).astype(int)
    runs = {}
    for seed in range(2):
        score = 1 / (1 + np.exp(-(1 + number) * (malignant - 0.5) - random.normal(size=LESIONS)))
        runs[seed] = pd.DataFrame({"score": score, "predicted": (score > 0.5).astype(float)}, index=index)
    features = pd.DataFrame({"lesion_id": index, "gabor_a": malignant + random.normal(size=LESIONS)})
    net = Candidate("net", CLASSIFIER, runs)
    models = [feature_candidate("gabor", features, lesions), boosted_candidate("gabor", features, lesions)]
    candidates = [net, *seed_ensembles([net], lesions), *fusion_candidates([net], lesions), *models]
    return Fold(number, Path(), cast("Any", None), lesions, candidates)


def test_pooled_rows_say_how_they_were_fitted() -> None:
    found = {one.model: "; ".join(one.notes) for one in pooled_candidates([fold_of(0), fold_of(1)])}
    assert re.search(
        r"fitted on the validation lesions, .*; fitted on 12 validation lesions: [\d.]+ to [\d.]+ x logit of model, "
        r"[\d.]+ to [\d.]+ x log odds of assessment",
        found["net + BI-RADS"],
    )
    assert found["net (mean of 2 seeds)"] == "mean of the logits of 2 seeds"
    assert "fitted on training" in found["Reader's words"]
    assert re.search(r"logistic regression on 1 features, L2 penalty C = .* on validation", found["Gabor features"])
    assert "gradient boosting of 60 trees on 1 features" in found["Gabor features, boosted"]


def test_the_same_note_stays_and_numbers_that_differ_become_a_range() -> None:
    notes = {
        1: ("phantom", "fitted on 9 lesions: 0.52 x logit of model"),
        0: ("phantom", "fitted on 10 lesions: 0.50 x logit of model"),
        2: ("phantom", "fitted on 10 lesions: 1.25 x logit of model"),
    }
    assert pooled_notes(notes) == ("phantom", "fitted on 9 to 10 lesions: 0.50 to 1.25 x logit of model")


def test_a_note_of_some_folds_names_them() -> None:
    notes = {0: ("always benign: 40% are malignant",), 1: ("always malignant: 52% are malignant", "EfficientNet-B0")}
    notes[2] = ("always benign: 45% are malignant",)
    assert pooled_notes(notes) == (
        "in folds 0 and 2: always benign: 40 to 45% are malignant",
        "in fold 1: always malignant: 52% are malignant",
        "in fold 1: EfficientNet-B0",
    )


def test_no_notes() -> None:
    assert pooled_notes({0: (), 1: ()}) == ()
