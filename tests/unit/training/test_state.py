"""The folder of a training's state."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammoflow.training.state import remove_training_state, training_state


def test_state_depends_on_inputs_and_code(tmp_path: Path) -> None:
    output = tmp_path / "model"
    folder = training_state(output, "settings", "data", code="a")
    assert folder == training_state(output, "settings", "data", code="a")
    assert folder.parent == tmp_path / ".training" / "model"
    others = [training_state(output, *inputs, code=code) for *inputs, code in (("settings", "a"), ("x", "data", "a"))]
    others.append(training_state(output, "settings", "data", code="b"))
    assert len({folder, *others}) == 4


def test_code_is_compulsory(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="code"):
        training_state(tmp_path / "model", "settings")  # type: ignore[call-arg]


def test_state_of_earlier_inputs_is_removed(tmp_path: Path) -> None:
    output = tmp_path / "model"
    old = training_state(output, "old", code="a")
    neighbour = training_state(tmp_path / "other", "old", code="a")
    new = training_state(output, "new", code="a")
    assert not old.exists()
    assert new.is_dir()
    remove_training_state(output)
    assert not new.exists()
    assert neighbour.is_dir()
    remove_training_state(tmp_path / "other")
    assert not (tmp_path / ".training").exists()
