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
from mammoflow.evaluation.ensembles import joined_views, named_ensembles, seed_ensembles
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


def test_views_of_a_finding_share_the_mean_of_their_logits() -> None:
    lesions = pd.DataFrame(
        {
            "patient_id": ["p", "p", "p", "p", "p", "q", "p"],
            "laterality": ["L", "L", "L", "R", "L", "L", "L"],
            "finding_id": ["1", "1", "2", "1", "1", "1", "1"],
            "split": ["test", "test", "test", "test", "train", "test", "test"],
            "malignant": pd.array([1, 1, 0, 0, 1, 0, 1], dtype="Int64"),
        },
        index=pd.Index(list("abcdefg"), name="lesion_id"),
    )
    score = expit(np.array([1, 3, -1, 5, 7, -2, np.nan]))
    model = Candidate("one", "classifier", {0: pd.DataFrame({"score": score}, index=lesions.index)}, ("a note",))
    (found,) = joined_views(["one", "absent"], [model], lesions)
    assert (found.model, found.family) == ("one (views joined)", "classifier")
    expected = expit(np.array([2, 2, -1, 5, 7, -2, np.nan]))
    np.testing.assert_allclose(found.runs[0]["score"].to_numpy(), expected)
    assert found.notes[:2] == ("mean of the logits over the views of a finding", "a note")


def test_without_a_side_equal_numbers_may_be_two_findings() -> None:
    lesions = LESIONS.assign(patient_id="p", laterality="", finding_id="1")
    (found,) = joined_views(["two"], [TWO], lesions)
    np.testing.assert_allclose(found.runs[0]["score"].to_numpy(), TWO.runs[0]["score"].to_numpy())


def test_joined_views_are_over_the_mean_of_seeds_and_keep_what_was_seen() -> None:
    lesions = LESIONS.assign(patient_id="p", laterality="L", finding_id=["1", "2", "2", "3"])
    (found,) = joined_views(["one"], [ONE], lesions)
    np.testing.assert_allclose(found.runs[0]["score"].to_numpy(), expit(np.array([1, 1.5, 1.5, np.nan])))
    assert found.seen == ONE.seen


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ensembles": {"all": ["perceptron_frozen", "nobody"]}}, "comparison.ensembles.all names 'nobody'"),
        ({"ensembles": {"perceptron_frozen": ["perceptron_frozen"]}}, "ensembles.perceptron_frozen .* another row"),
        ({"ensembles": {"size alone": ["perceptron_frozen"]}}, "ensembles.size alone .* another row"),
        ({"ensembles": {"Gabor features": ["perceptron_frozen"]}}, "ensembles.Gabor features .* another row"),
        ({"fusion": ["nobody"]}, "comparison.fusion names 'nobody'"),
        ({"joined_views": ["nobody"]}, "comparison.joined_views names 'nobody'"),
        ({"joined_views": ["perceptron_frozen", "perceptron_frozen"]}, "each name once"),
        ({"primary": {"model": "context_crop (views joined)"}}, "comparison.primary.model names"),
        ({"ensembles": {"all": []}}, "at least one classifier"),
        ({"ensembles": {"all": ["perceptron_frozen", "perceptron_frozen"]}}, "each once"),
    ],
)
def test_names_that_do_not_fit_stop_before_the_first_job(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StudyConfig.model_validate({"comparison": settings})


def test_names_that_fit_are_taken() -> None:
    settings = ComparisonSettings.model_validate(
        {
            "ensembles": {"all": ["perceptron_frozen"]},
            "joined_views": ["all"],
            "fusion": ["all", "perceptron_frozen", "all (views joined)"],
            "primary": {"model": "all (views joined) + BI-RADS"},
        }
    )
    settings.check_classifiers(dict.fromkeys(ClassificationSettings().run, 1))
    with pytest.raises(ValueError, match="perceptron_frozen"):
        settings.check_classifiers({})
