"""The folder of a training's state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mammoflow.training.state import FOLDER, Progress, make_folder, remove_training_state, training_state


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


@pytest.mark.parametrize("between", ["another training begins", "another training ends"])
def test_trainings_that_end_together_do_not_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, between: str) -> None:
    training_state(tmp_path / "model", "data", code="a")
    root, remove = tmp_path / FOLDER, Path.rmdir

    def late(path: Path) -> None:
        if path == root and between == "another training begins":
            (root / "other").mkdir()
        elif path == root:
            remove(path)
        remove(path)

    monkeypatch.setattr(Path, "rmdir", late)
    remove_training_state(tmp_path / "model")
    assert not (root / "model").exists()
    assert root.exists() == (between == "another training begins")


def test_a_folder_is_made_while_another_training_removes_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, make, removed = tmp_path / FOLDER, Path.mkdir, []

    def mkdir(path: Path, *arguments: Any, **options: Any) -> None:
        make(path, *arguments, **options)
        if path == root and not removed:
            removed.append(path)
            path.rmdir()

    monkeypatch.setattr(Path, "mkdir", mkdir)
    make_folder(root / "model" / "seed")
    assert removed == [root]
    assert (root / "model" / "seed").is_dir()


def test_a_folder_that_a_file_is_in_the_way_of_is_an_error(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file")
    with pytest.raises(OSError, match=FOLDER):
        make_folder(tmp_path / FOLDER / "model")


def test_a_finished_training_is_not_said_to_continue(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(finished=True, computed=[("cuda", "bf16-mixed")])
    progress.note_computing("net", "cpu", "32-true")
    said = capsys.readouterr().err
    assert "training net ended on cuda in bf16-mixed, and its predictions are made on cpu in 32-true" in said
    assert "start again" not in said
    assert progress.computed == [("cuda", "bf16-mixed"), ("cpu", "32-true")]
