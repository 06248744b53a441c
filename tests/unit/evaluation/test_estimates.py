"""Every metric with its interval: values held to scikit-learn, bounds that few patients cannot make too narrow."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn import metrics as reference

from mammoflow.evaluation.bootstrap import Estimate, PatientBootstrap
from mammoflow.evaluation.delong import area, newcombe_interval
from mammoflow.evaluation.estimates import Scored, area_estimate, metric_estimates, seed_spread
from mammoflow.evaluation.metrics import METRICS
from mammoflow.evaluation.proportions import wilson_interval

RULE = PatientBootstrap(1000, 0.95, 0, fewest_patients=5)


def made_up(seed: int, patients: int = 60, each: int = 2, strength: float = 1.0, seeds: int = 1) -> Scored:
    random = np.random.default_rng(seed)
    codes = np.repeat(np.arange(patients), each)
    label = (np.arange(patients) % 2)[codes].astype(float)
    own = strength * label + random.normal(size=patients)[codes]
    scores = [own + random.normal(0, 0.5, len(codes)) for _ in range(seeds)]
    return Scored(label, scores, [(score > strength / 2).astype(float) for score in scores], codes)


def width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


def test_values_are_those_of_scikit_learn() -> None:
    scored = made_up(1)
    found = {name: estimate.value for name, estimate in metric_estimates(scored, RULE).items()}
    label, call = scored.label, scored.calls[0]
    assert list(found) == list(METRICS)
    assert found == pytest.approx(
        {
            "accuracy": reference.accuracy_score(label, call),
            "precision": reference.precision_score(label, call),
            "recall": reference.recall_score(label, call),
            "specificity": reference.recall_score(1 - label, 1 - call),
            "npv": reference.precision_score(1 - label, 1 - call),
            "f1": reference.f1_score(label, call),
            "auc": reference.roc_auc_score(label, scored.scores[0]),
        }
    )


def test_every_interval_holds_its_value_and_has_a_width() -> None:
    for seed in range(20):
        for strength in (0.0, 1.0, 6.0):
            for name, estimate in metric_estimates(made_up(seed, 14, 2, strength, seeds=2), RULE).items():
                assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1, name
                assert width(estimate) > 0.05, name


def test_models_that_part_the_classes_have_an_interval() -> None:
    scored = made_up(0, patients=42, each=1, strength=1.0)
    perfect = Scored(scored.label, [scored.label], [scored.label], scored.patients)
    found = metric_estimates(perfect, RULE)
    assert all(estimate.value == 1 for estimate in found.values())
    # 21 of 21 is no certainty.
    assert (found["recall"].low, found["recall"].high) == pytest.approx(wilson_interval(1, 21, 0.95))
    assert found["recall"].low == pytest.approx(0.845, abs=0.001)
    assert found["auc"].low == pytest.approx(newcombe_interval(1.0, 21, 21, 0.95)[0])
    assert 0.85 < found["auc"].low < 0.95
    assert 0.8 < found["f1"].low < 0.95


def test_an_area_of_one_from_two_patients_has_no_interval() -> None:
    scored = Scored(np.array([1.0, 1, 0, 0]), [np.arange(4.0)[::-1]], [np.ones(4)], np.array([0, 0, 1, 1]))
    found = area_estimate(scored, RULE)
    assert found.value == 1
    assert np.isnan([found.low, found.high]).all()


def test_few_patients_of_one_class_give_no_interval() -> None:
    scored = made_up(2, patients=40)
    kept = (scored.label == 0) | (scored.patients < 8)  # patients 1, 3, 5 and 7 are malignant
    few = Scored(*(np.asarray(part)[kept] for part in (scored.label,)), [scored.scores[0][kept]],
                 [scored.calls[0][kept]], scored.patients[kept])  # fmt: skip
    assert all(np.isnan(estimate.low) for estimate in metric_estimates(few, RULE).values())
    assert np.isfinite([estimate.value for estimate in metric_estimates(few, RULE).values()]).all()
    enough = metric_estimates(few, PatientBootstrap(1000, 0.95, 0, fewest_patients=4))
    assert np.isfinite([enough[name].low for name in ("auc", "recall", "specificity", "accuracy")]).all()


def test_no_call_leaves_the_precision_and_its_interval_out() -> None:
    scored = made_up(3)
    nothing = Scored(scored.label, scored.scores, [np.zeros(len(scored.label))], scored.patients)
    found = metric_estimates(nothing, RULE)
    assert np.isnan([found["precision"].value, found["precision"].low]).all()
    assert (found["recall"].value, found["f1"].value) == (0, 0)
    assert found["recall"].high > 0.05
    empty = Scored(np.zeros(0), [np.zeros(0)], [np.zeros(0)], np.zeros(0, dtype=int))
    assert np.isnan([estimate.value for estimate in metric_estimates(empty, RULE).values()]).all()


def test_the_interval_of_an_area_is_the_normal_one_on_the_logit_scale_with_many_patients() -> None:
    scored = made_up(4, patients=3000, each=1)
    found = area(scored.label, scored.scores, scored.patients)
    low, high = found.interval(0.95)
    reach = norm.ppf(0.975) * found.error / (found.value * (1 - found.value))
    centre = np.log(found.value / (1 - found.value))
    assert np.log([low / (1 - low), high / (1 - high)]) == pytest.approx([centre - reach, centre + reach], rel=1e-3)


def test_lesions_that_patients_share_make_no_interval_narrower() -> None:
    once = made_up(5, patients=50, each=1)
    fourfold = Scored(*(np.tile(part, 4) for part in (once.label,)), [np.tile(once.scores[0], 4)],
                      [np.tile(once.calls[0], 4)], np.tile(once.patients, 4))  # fmt: skip
    alone, repeated = metric_estimates(once, RULE), metric_estimates(fourfold, RULE)
    for name in METRICS:
        assert width(repeated[name]) == pytest.approx(width(alone[name]), rel=0.12), name


def test_newcombes_fifth_method_has_the_limits_that_its_equation_says() -> None:
    low, high = newcombe_interval(0.8, 20, 30, 0.95)
    for bound in (low, high):
        size = 24
        variance = bound * (1 - bound) / 600
        variance *= 1 + size * (1 - bound) / (2 - bound) + size * bound / (1 + bound)
        assert abs(bound - 0.8) == pytest.approx(norm.ppf(0.975) * np.sqrt(variance), rel=1e-6)
    assert low < 0.8 < high
    assert newcombe_interval(0.0, 9, 9, 0.95) == pytest.approx(
        tuple(1 - b for b in newcombe_interval(1.0, 9, 9, 0.95))[::-1]
    )


def test_seeds_spread_in_area_and_in_recall() -> None:
    scored = made_up(6, seeds=4)
    found = seed_spread(scored)
    areas = [reference.roc_auc_score(scored.label, score) for score in scored.scores]
    recalls = [reference.recall_score(scored.label, call) for call in scored.calls]
    assert found["auc"] == pytest.approx(np.std(areas, ddof=1))
    assert found["recall"] == pytest.approx(np.std(recalls, ddof=1))
    assert np.isnan(seed_spread(made_up(6))["auc"])


@pytest.mark.parametrize(("patients", "true_area"), [(18, 0.84), (18, 0.95), (40, 0.84)])
def test_intervals_of_few_patients_hold_the_truth_often_enough(patients: int, true_area: float) -> None:
    separation = np.sqrt(2) * norm.ppf(true_area)
    held = {"auc": 0, "recall": 0}
    truth = {"auc": true_area, "recall": 0.93}
    for seed in range(150):
        random = np.random.default_rng(seed)
        codes = np.repeat(np.arange(patients), random.integers(1, 4, patients))
        label = (np.arange(patients) % 2)[codes].astype(float)
        score = separation * label + np.sqrt(0.6) * random.normal(size=patients)[codes]
        score += np.sqrt(0.4) * random.normal(size=len(codes))
        call = (score > separation - norm.ppf(0.93)).astype(float)
        found = metric_estimates(Scored(label, [score], [call], codes), RULE)
        for name, value in truth.items():
            held[name] += found[name].low <= value <= found[name].high
    assert min(held.values()) >= 0.9 * 150
