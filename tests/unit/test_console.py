"""What the command line says: help that fits a screen, one line at the end, a bar or lines, quiet and verbose."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from mammoflow.cli import main, summary
from mammoflow.cli.lesions import FAMILY_NAMES
from mammoflow.cli.options import encoder_options
from mammoflow.cli.summary import MADE, say_end
from mammoflow.config.features import FEATURE_FAMILIES
from mammoflow.config.inference import Colour, EncoderUse, Precision
from mammoflow.errors import StudyError
from mammoflow.run import console
from mammoflow.run.runtime import progress


@pytest.fixture(autouse=True)
def usual_verbosity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(console.VARIABLE, "normal")


def every_command(group: click.Group = main, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*above, name)
        if isinstance(command, click.Group):
            yield from every_command(command, (*above, name))


@pytest.mark.parametrize("command", [(), *every_command()], ids=" ".join)
def test_help_fits_a_screen(command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(main, [*command, "-h"], env={"COLUMNS": "80"})
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert "-h, --help" in shown.output
    if command and not isinstance(_command(command), click.Group):
        assert "-q, --quiet" in shown.output


def _command(names: tuple[str, ...]) -> click.Command:
    found: click.Command = main
    for name in names:
        assert isinstance(found, click.Group)
        found = found.commands[name]
    return found


def test_the_list_of_commands_is_in_whole_sentences() -> None:
    before, _, listed = CliRunner().invoke(main, ["-h"], env={"COLUMNS": "80"}).output.partition("Commands:")
    assert "..." not in listed
    assert "It exits with 1 for a problem of the data" in before


def test_choices_in_the_help_are_those_of_the_settings() -> None:
    assert FEATURE_FAMILIES.names() == FAMILY_NAMES

    @click.command()
    @encoder_options
    def command(use: EncoderUse) -> None:
        """Take the use of an encoder."""

    choices: dict[str | None, Any] = {option.name: option.type for option in command.params}
    assert set(choices["precision"].choices) == set(get_args(Precision))
    assert set(choices["colour"].choices) == set(get_args(Colour))


def test_python_m_mammoflow_is_the_command_line() -> None:
    import runpy

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mammoflow", "--version"])
        with pytest.raises(SystemExit) as left:
            runpy.run_module("mammoflow", run_name="__main__")
    assert left.value.code == 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal_and_one_inside_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(console, "BAR_EVERY_S", 0.0)
    done = [(a, b) for a in progress(range(2), "films [mm]") for b in progress(range(2), "inside", every_s=1e9)]
    assert done == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert "films [mm]" in terminal.getvalue()
    assert "inside" not in terminal.getvalue()
    assert list(progress(range(3), "again")) == [0, 1, 2]
    assert "again" in terminal.getvalue()


def test_progress_is_lines_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress(range(3), "films", every_s=0.0)) == [0, 1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("films: 3 of 3, 0 s")
    assert "\x1b" not in "".join(lines)


def test_quiet_shows_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    console.set_verbosity("quiet")
    assert list(progress(range(3), "films", every_s=0.0)) == [0, 1, 2]
    console.say("a line")
    assert capsys.readouterr().err == ""


def stage(monkeypatch: pytest.MonkeyPatch, function: Any) -> None:
    module = ModuleType("mammoflow.cohort.stage")
    module.build_cohort = function  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mammoflow.cohort.stage", module)


def run_cohort(tmp_path: Path, *further: str) -> Any:
    settings = tmp_path / "settings.yaml"
    settings.write_text("{}", encoding="utf-8")
    arguments = ["--settings", str(settings), "--study", str(tmp_path), "--output", str(tmp_path / "out")]
    return CliRunner().invoke(main, ["cohort", *arguments, *further])


def write_cohort(_settings: Any, _study: Path, output: Path, *_further: Any) -> None:
    output.mkdir(exist_ok=True)
    pd.DataFrame({"patient_id": ["a", "a", "b"]}).to_parquet(output / "images.parquet")
    pd.DataFrame({"lesion_id": ["1", "2"]}).to_parquet(output / "lesions.parquet")
    pd.DataFrame({"reason": ["no mask", "no mask", "damaged"]}).to_parquet(output / "excluded.parquet")


def test_a_stage_ends_with_what_it_made_and_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stage(monkeypatch, write_cohort)
    said = run_cohort(tmp_path).stderr
    made = "cohort: 3 images with 2 lesions of 2 patients; written to "  # the stage has listed what it left out
    assert said == f"{made}{tmp_path / 'out'}\n"


def test_a_quiet_stage_says_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stage(monkeypatch, write_cohort)
    assert run_cohort(tmp_path, "-q").output == ""


@pytest.mark.parametrize(("further", "traceback"), [((), False), (("-v",), True)])
def test_verbose_says_where_an_error_arose(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, further: tuple[str, ...], traceback: bool
) -> None:
    def fail(*_: Any) -> None:
        raise StudyError("a table is missing")

    stage(monkeypatch, fail)
    result = run_cohort(tmp_path, *further)
    assert result.exit_code == 1
    assert result.output.endswith("mammoflow cohort: a table is missing\n")
    assert ("Traceback" in result.output) == traceback


def test_each_stage_that_ends_with_a_line_has_one() -> None:
    commands = Path(summary.__file__).parent.glob("*.py")
    named = {name for file in commands for name in re.findall(r'say_end\("([^"]+)"', file.read_text())}
    assert named == set(MADE)


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_stage_without_files_ends_without_a_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say_end(name, tmp_path / "nowhere")
    assert capsys.readouterr().err == ""


def test_the_last_lines_count_lesions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.DataFrame({"lesion_id": ["1", "1", "2"], "probability": [0.2, 0.3, np.nan]}).to_parquet(
        tmp_path / "predictions.parquet"
    )
    pd.DataFrame({"epoch": [1, 2]}).to_csv(tmp_path / "history.csv", index=False)
    say_end("classify", tmp_path)
    pd.DataFrame({"status": ["ok", "ok", "no mask"]}).to_parquet(tmp_path / "00.parquet")
    say_end("features", tmp_path / "00.parquet")
    first, second = capsys.readouterr().err.splitlines()
    assert "predictions of 1 lesions after 2 epochs; left out: 1 lesions without an input" in first
    assert "features of 3 lesions; not measured: 1 x no mask" in second
