from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.special import expit

from mammoflow.config.classification import ClassificationSettings
from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.config.study import StudyConfig
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.ensembles import named_ensembles, seed_ensembles
from mammoflow.evaluation.seen_patients import SeenPatients

INDEX = pd.Index(["a", "b", "c", "d"], name="lesion_id")
LESIONS = pd.DataFrame(
    {"split": ["train", "validation", "validation", "test"], "malignant": pd.array([0, 1, 0, 1], dtype="Int64")},
    index=INDEX,
)


def run(*logits: float) -> pd.DataFrame:
    score = expit(np.array(logits))
    return pd.DataFrame({"score": score, "predicted": np.where(np.isnan(score), np.nan, score > 0.5)}, index=INDEX)


ONE = Candidate(
    "one",
    "classifier",
    {0: run(0, 2, 1, 3), 1: run(2, 4, -1, np.nan)},
    ("a note",),
    seen=SeenPatients("m", frozenset("P")),
)
TWO = Candidate("two", "classifier", {0: run(-1, 1, 0, 5)})


def test_seeds_are_averaged_as_logits_and_single_seeds_have_no_row() -> None:
    (found,) = seed_ensembles([ONE, TWO], LESIONS)
    assert (found.model, found.family) == ("one (mean of 2 seeds)", "classifier")
    assert found.runs[0]["score"][:3].to_numpy() == pytest.approx(expit([1, 3, 0]))
    assert found.scored(LESIONS).tolist() == ["a", "b", "c"]
    assert found.threshold == pytest.approx((expit(3) + expit(0)) / 2)
    assert found.notes == ("mean of the logits of 2 seeds", "a note")


def test_each_classifier_of_an_ensemble_counts_once() -> None:
    (found,) = named_ensembles({"both": ["one", "two"]}, [ONE, TWO], LESIONS)
    assert found.runs[0]["score"][:3].to_numpy() == pytest.approx(expit([0, 2, 0]))
    assert found.seen == ONE.seen
    (lost,) = named_ensembles({"both": ["one", "three"]}, [ONE, TWO], LESIONS)
    assert lost.scored(LESIONS).empty
    assert "no classifier three" in lost.notes[0]


def test_certain_predictions_have_a_finite_mean() -> None:
    sure = Candidate("sure", "classifier", {0: run(-800, 800, 0, 1), 1: run(0, 0, 0, 0)})
    (found,) = seed_ensembles([sure], LESIONS)
    score = found.runs[0]["score"]
    assert score.notna().all()
    assert score["a"] < score["c"] < score["d"] < score["b"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ensembles": {"all": ["perceptron_frozen", "nobody"]}}, "comparison.ensembles.all names 'nobody'"),
        ({"ensembles": {"perceptron_frozen": ["perceptron_frozen"]}}, "has the name of a classifier"),
        ({"fusion": ["nobody"]}, "comparison.fusion names 'nobody'"),
        ({"ensembles": {"all": []}}, "at least one classifier"),
        ({"ensembles": {"all": ["perceptron_frozen", "perceptron_frozen"]}}, "each once"),
    ],
)
def test_names_that_do_not_fit_stop_before_the_first_job(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StudyConfig.model_validate({"comparison": settings})


def test_names_that_fit_are_taken() -> None:
    settings = ComparisonSettings(ensembles={"all": ["perceptron_frozen"]}, fusion=["all", "perceptron_frozen"])
    settings.check_classifiers(ClassificationSettings().run)
    with pytest.raises(ValueError, match="perceptron_frozen"):
        settings.check_classifiers([])
