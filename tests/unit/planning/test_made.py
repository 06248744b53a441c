"""A result that was lost is counted once, and the count stays when it was made again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mammoflow.planning.made import FILE_NAME, Made


class Results:
    """Results of a run, and the answer that a new start of Snakemake gives about them."""

    def __init__(self, run: Path) -> None:
        self.run = run

    def make(self, *names: str) -> None:
        for name in names:
            (self.run / name).parent.mkdir(parents=True, exist_ok=True)
            (self.run / name).write_text("table")

    def lose(self, name: str) -> None:
        (self.run / name).unlink()

    def losses(self, *names: str) -> str:
        return Made(self.run).losses([str(self.run / name) for name in names])


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "run")


def test_results_that_were_never_there_are_not_lost(results: Results) -> None:
    assert results.losses("images/00.parquet") == ""
    results.make("images/00.parquet")
    assert results.losses("images/00.parquet") == ""


def test_a_lost_result_is_counted_once_until_it_was_complete_again(results: Results) -> None:
    names = ("images/00.parquet", "images/01.parquet")
    results.make(*names)
    assert results.losses(*names) == ""
    results.lose("images/00.parquet")
    lost = results.losses(*names)
    assert lost == "images/00.parquet: 1"
    assert results.losses(*names) == lost, "a dry run changes nothing"
    results.make("images/00.parquet")
    assert results.losses(*names) == lost, "what was made of it has recorded this"
    results.lose("images/00.parquet")
    assert results.losses(*names) == "images/00.parquet: 2"
    results.lose("images/01.parquet")
    assert results.losses(*names) == "images/00.parquet: 2, images/01.parquet: 1"
    assert results.losses("images/01.parquet") == "images/01.parquet: 1"


def test_a_result_that_was_complete_when_its_reader_began_can_be_lost(results: Results) -> None:
    made = Made(results.run)
    file = str(results.run / "images/00.parquet")
    assert made.losses([file]) == ""  # the first run is planned
    results.make("images/00.parquet")
    assert made.losses([file]) == ""  # the job that reads it begins
    results.lose("images/00.parquet")
    assert results.losses("images/00.parquet") == "images/00.parquet: 1"


def test_files_outside_the_run_and_a_damaged_state_say_nothing(results: Results, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_text("weights")
    made = Made(results.run)
    assert made.losses([weights]) == ""
    weights.unlink()
    assert made.losses([weights]) == ""
    assert not (results.run / FILE_NAME).exists()
    results.make(FILE_NAME)
    assert results.losses("images/00.parquet") == ""


@pytest.mark.parametrize(
    ("named", "lost"),
    [
        ("images/00/images.parquet", "images/00/lesions.parquet"),
        ("images/00/images.parquet", "images/00/files.json"),
        ("segmentation/small/00/masks.parquet", "segmentation/small/00/scores.parquet"),
    ],
)
def test_a_lost_result_that_was_written_with_a_named_one_is_counted(results: Results, named: str, lost: str) -> None:
    results.make(named, lost)
    assert results.losses(named) == ""
    results.lose(lost)
    assert results.losses(named) == f"{lost}: 1"


def test_a_result_that_is_older_than_it_was_counts_as_lost(results: Results) -> None:
    results.make("images/00.parquet")
    assert results.losses("images/00.parquet") == ""
    os.utime(results.run / "images/00.parquet", (1e9, 1e9))  # made again after the clock was set back
    assert results.losses("images/00.parquet") == "images/00.parquet: 1"
    assert results.losses("images/00.parquet") == "images/00.parquet: 1"
    results.make("images/00.parquet")
    assert results.losses("images/00.parquet") == "images/00.parquet: 1", "a newer one is Snakemake's matter"


def test_states_without_a_time_are_read(results: Results) -> None:
    results.make("images/00.parquet")
    (results.run / FILE_NAME).write_text('{"images/00.parquet": [2, true]}')
    assert results.losses("images/00.parquet") == "images/00.parquet: 2"
