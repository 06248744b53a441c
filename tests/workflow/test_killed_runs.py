"""The tool that kills runs at random moments: it notices what differs, and finds nothing where a run is sound."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.timeout(600)


def test_a_workflow_of_stand_ins_ends_with_the_same_files_however_often_it_is_killed(
    kill_runs: ModuleType, project: Project, tmp_path: Path
) -> None:
    cli = project.root / "src" / "mammoflow" / "cli.py"  # the results do not depend on the name of their folder
    cli.write_text(cli.read_text().replace("digest.update(value.encode())", "digest.update(Path(value).name.encode())"))

    def command(results: Path) -> list[str]:
        options = ["--config", f"results={results}", f"store={results / 'store'}"]
        return [sys.executable, "-m", "snakemake", "images", "--cores", "2", "--nocolor", *options]

    outcome = kill_runs.kill_runs(command, project.root, tmp_path, kills=1, seed=3, most_jobs=5, most_s=0.5)
    assert outcome.is_good(), (outcome.differences, outcome.failures)
    assert sum(outcome.kills.values()) == 1
    assert len(kill_runs.contents(tmp_path / "undisturbed")) > 10


@pytest.mark.parametrize(
    ("text", "differences"),
    [("date +%N > {0}/table.csv", ["table.csv"]), ("echo 1 > {0}/table.csv; echo $$ > {0}/log.txt", [])],
)
def test_a_command_that_is_killed_is_compared_with_an_undisturbed_one(
    kill_runs: ModuleType, tmp_path: Path, text: str, differences: list[str]
) -> None:
    def command(results: Path) -> list[str]:
        return ["sh", "-c", f"mkdir -p {results}; {text.format(results)}; sleep 0.5"]

    outcome = kill_runs.kill_runs(command, tmp_path, tmp_path, kills=1, seed=0, most_jobs=0, most_s=0.2)
    assert outcome.differences == [differences]
    assert outcome.is_good() == (not differences)


def test_a_command_that_fails_after_a_kill_is_a_failure(kill_runs: ModuleType, tmp_path: Path) -> None:
    def command(results: Path) -> list[str]:
        again = f"[ -e {results} ] && exit 3; mkdir -p {results}; sleep 0.5"
        return ["sh", "-c", "exit 0" if results.name == "undisturbed" else again]

    outcome = kill_runs.kill_runs(command, tmp_path, tmp_path, kills=1, seed=0, most_jobs=0, most_s=0.2)
    assert len(outcome.failures) == 1
    assert not outcome.is_good()
