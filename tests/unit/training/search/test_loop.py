"""The loop of a search: each trial is trained on its inner folds, and how it ends is kept at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import pytest
from pydantic import Field, model_validator

from mammoflow.config.base import Settings, validate_settings
from mammoflow.config.search_space import SpaceSettings, with_values
from mammoflow.errors import StudyError
from mammoflow.training.search.loop import JOURNAL, Objective, run_trials
from mammoflow.training.search.trials import STATES, Trials


class Digits(Settings):
    """Three digits, not all of which may be 1."""

    a: int = Field(0, ge=0)
    b: int = Field(0, ge=0)
    c: int = Field(0, ge=0)

    @model_validator(mode="after")
    def check_sum(self) -> Self:
        """Refuse three times 1."""
        if self.a + self.b + self.c == 3:
            raise ValueError("found a, b and c all 1; expected a 0 among them")
        return self


GRID = validate_settings(
    SpaceSettings, {"space": {"a": [0, 1], "b": [0, 1], "c": [0, 1]}, "sampler": "grid", "inner_folds": 2}, "test"
)


class Counted(Objective[Digits]):
    """The value of a fold is known: the digits as a binary number, and a half more in the second fold."""

    name, figure, folds = "digits", "mean number", 2

    def __init__(self, last: int = 99, refused: tuple[int, ...] = ()) -> None:
        self.last, self.refused = last, refused
        self.trained: list[tuple[int, int]] = []
        self.failures: list[int] = []
        self.states: list[Path] = []

    def settings(self, values: dict[str, Any]) -> Digits:
        return with_values(Digits(), values)

    def train(self, settings: Digits, fold: int, state: Path, label: str) -> tuple[float, float]:
        number = 4 * settings.a + 2 * settings.b + settings.c
        if len(self.trained) == self.last:
            raise RuntimeError("killed")
        self.trained.append((number, fold))
        state.mkdir(parents=True)
        self.states.append(state)
        if number in self.refused and fold:
            raise StudyError(f"{label} gave no number")
        return number + fold / 2, 1.5

    def failed(self, settings: Digits) -> None:
        self.failures.append(4 * settings.a + 2 * settings.b + settings.c)


def rows(ended: list[Any]) -> list[tuple[int, str, float | None]]:
    return [(trial.number, STATES[trial.state], trial.value) for trial in ended]


def test_trials_are_trained_on_each_fold_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objective = Counted(refused=(2,))
    shown, before = run_trials(objective, Trials(tmp_path / JOURNAL, GRID, Digits()), 8, tmp_path)
    complete = [(number, "complete", number + 0.25) for number in range(7)]
    assert rows(shown) == [*complete[:2], (2, "failed", None), *complete[3:], (7, "failed", None)]
    assert before == 0
    assert objective.trained == [(number, fold) for number in range(7) for fold in range(2)]
    assert objective.failures == [2]
    assert shown[2].user_attrs["reason"] == "digits, trial 2, inner fold 1 gave no number"
    assert "found a, b and c all 1" in shown[7].user_attrs["reason"]
    assert (shown[1].user_attrs["figures"], shown[1].user_attrs["seconds"]) == ([1.0, 1.5], 3.0)
    assert not any(state.parent.exists() for state in objective.states)  # states of trainings have served
    assert "search digits: trial 6 of 8 complete, mean number 6.2500" in capsys.readouterr().err


def test_a_stop_keeps_what_has_ended_and_more_trials_continue(tmp_path: Path) -> None:
    first = Counted(last=3)
    with pytest.raises(RuntimeError, match="killed"):
        run_trials(first, Trials(tmp_path / JOURNAL, GRID, Digits()), 4, tmp_path)
    assert first.trained == [(0, 0), (0, 1), (1, 0)]
    assert first.states[-1].exists()  # an interrupted training finds its state
    for state in first.states:
        if state.exists():
            state.rmdir()
    second = Counted()
    shown, before = run_trials(second, Trials(tmp_path / JOURNAL, GRID, Digits()), 4, tmp_path)
    assert rows(shown) == [(number, "complete", number + 0.25) for number in range(4)]
    assert (before, second.trained[0]) == (1, (1, 0))
    assert second.states[0] == first.states[-1]
    fewer, _ = run_trials(Counted(last=0), Trials(tmp_path / JOURNAL, GRID, Digits()), 2, tmp_path)
    assert rows(fewer) == rows(shown)[:2]
