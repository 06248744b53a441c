"""Trials are proposed from those before them and their number alone, so a stop changes none of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from mammoflow.config.base import validate_settings
from mammoflow.config.search import SearchSettings
from mammoflow.config.study import StudyConfig
from mammoflow.training.search.trials import Trials, best_trial, deviation, parameter_text

SPACE = {
    "learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
    "epochs": {"low": 2, "high": 9},
    "hidden": [[], [8], [8, 4]],
    "patience": [None, 3],
    "keep": ["best_auc"],
}
CLASSIFIER = StudyConfig().classification.classifiers["context_crop"]


def search_of(**changes: Any) -> SearchSettings:
    return validate_settings(SearchSettings, {"classifier": "context_crop", "space": SPACE, **changes}, "test")


def value_of(values: dict[str, Any]) -> float:
    """Return a made-up AUC that is best at a rate of .001 and few epochs."""
    return 0.9 - 0.1 * abs(math.log10(values.get("learning_rate", 1e-3)) + 3) - 0.01 * values.get("epochs", 2)


def make(file: Path, search: SearchSettings, count: int) -> Trials:
    trials = Trials(file, search, CLASSIFIER)
    for _ in range(count):
        trial, values = trials.propose()
        auc = value_of(values)
        trials.end(trial, TrialState.COMPLETE, [auc - 0.01, auc + 0.01], 1.0)
    return trials


def shown(trials: Trials) -> list[tuple[dict[str, Any], float | None]]:
    return [(trials.values(trial), trial.value) for trial in trials.ended()]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_stopped_trials_continue_as_if_nothing_had_happened(tmp_path: Path, sampler: str) -> None:
    search = search_of(sampler=sampler, trials=16)
    whole = shown(make(tmp_path / "whole.log", search, 16))
    for count in (3, 9, 4):  # three processes
        parts = make(tmp_path / "parts.log", search, count)
    assert shown(parts) == whole
    assert len({str(values) for values, _ in whole}) == 16
    assert shown(make(tmp_path / "other.log", search_of(sampler=sampler, seed=1), 3)) != whole[:3]


def test_tpe_learns_from_the_trials_before(tmp_path: Path) -> None:
    bayesian = [value for _, value in shown(make(tmp_path / "tpe.log", search_of(), 40))]
    drawn = [value for _, value in shown(make(tmp_path / "random.log", search_of(sampler="random"), 40))]
    assert sum(filter(None, bayesian[20:])) > sum(filter(None, drawn[20:]))


def test_values_have_the_types_of_the_keys_and_lie_in_the_space(tmp_path: Path) -> None:
    for values, _ in shown(make(tmp_path / "trials.log", search_of(), 12)):
        assert list(values) == list(SPACE)
        assert 1e-5 <= values["learning_rate"] <= 1e-2
        assert isinstance(values["epochs"], int)
        assert 2 <= values["epochs"] <= 9
        assert values["hidden"] in [[], [8], [8, 4]]
        assert values["patience"] in [None, 3]


def test_a_grid_is_made_in_order(tmp_path: Path) -> None:
    space = {"dropout": [0.0, 0.5], "hidden": [[], [8], [4]]}
    search = search_of(sampler="grid", space=space)
    assert search.planned_trials == 6
    found = [values for values, _ in shown(make(tmp_path / "grid.log", search, 6))]
    assert found == [{"dropout": dropout, "hidden": hidden} for dropout in (0.0, 0.5) for hidden in ([], [8], [4])]


def test_a_line_that_a_killed_process_left_unfinished_is_removed(tmp_path: Path) -> None:
    file = tmp_path / "trials.log"
    whole = shown(make(tmp_path / "whole.log", search_of(), 4))
    make(file, search_of(), 3)
    content = file.read_bytes()
    file.write_bytes(content[:-20])  # the end of the third trial is lost
    continued = make(file, search_of(), 0)
    assert shown(continued) == whole[:2]
    assert shown(make(file, search_of(), 2)) == whole


def test_the_best_trial_is_complete_and_the_first_of_equal_ones(tmp_path: Path) -> None:
    trials = Trials(tmp_path / "trials.log", search_of(), CLASSIFIER)
    assert best_trial(trials.ended()) is None
    ends = [(TrialState.FAIL, []), (TrialState.PRUNED, [0.95]), (TrialState.COMPLETE, [0.7, 0.8])]
    for state, aucs in [*ends, ends[-1], (TrialState.COMPLETE, [0.6, 0.7])]:
        trial, _ = trials.propose()
        for step, auc in enumerate(aucs):
            trial.report(auc, step)
        trials.end(trial, state, aucs, 1.0, "diverged" if state == TrialState.FAIL else "")
    best = best_trial(trials.ended())
    assert best is not None
    assert (best.number, best.value) == (2, 0.75)
    assert trials.ended()[0].user_attrs["reason"] == "diverged"
    assert trials.ended()[1].value == 0.95


def test_the_deviation_is_that_of_a_sample() -> None:
    assert deviation([0.6, 0.8]) == pytest.approx(0.1 * math.sqrt(2))
    assert deviation([0.6]) is deviation([]) is None


def test_a_table_holds_null_and_lists_as_json() -> None:
    assert [parameter_text(value) for value in (None, [8, 4], 0.1, "last")] == ["null", "[8, 4]", 0.1, "last"]
