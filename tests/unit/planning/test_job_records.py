"""Whether Snakemake's records are those of the results of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mammoflow.planning import job_records


def start(run: Path, records: Path, killed: bool = False) -> None:
    """Begin a start, and write its id to the record of the run unless it is killed before."""
    begun = job_records.begin_start(run, records)
    if not killed:
        run.mkdir(parents=True, exist_ok=True)
        (run / "run.json").write_text(json.dumps({"start_id": begun}), encoding="utf-8")


def test_results_of_this_folder_have_records(tmp_path: Path) -> None:
    run, records = tmp_path / "results/a", tmp_path / ".snakemake"
    assert job_records.missing_records(run, records) == ""
    for killed in (False, True, False, True, True):
        start(run, records, killed)
        assert job_records.missing_records(run, records) == ""
    shutil.copytree(records, tmp_path / "copy")
    assert job_records.missing_records(run, tmp_path / "copy") == ""


def test_moved_results_have_none(tmp_path: Path) -> None:
    run, records = tmp_path / "results/a", tmp_path / ".snakemake"
    start(run, records)
    run.rename(tmp_path / "results/b")
    said = job_records.missing_records(tmp_path / "results/b", records)
    assert "results/b were made: they were moved, or made from another folder" in said
    assert "--forceall and no target" in said


def test_a_run_has_complete_records_in_no_folder_after_starts_in_two_and_in_one_where_all_was_made_anew(
    tmp_path: Path,
) -> None:
    run, here, there = tmp_path / "results/a", tmp_path / "here", tmp_path / "there"
    start(run, here)
    assert job_records.missing_records(run, there)
    start(run, there)
    assert job_records.missing_records(run, there)
    assert job_records.missing_records(run, here)
    job_records.keep_start(run, there)
    assert job_records.missing_records(run, there) == ""
    start(run, there)
    assert job_records.missing_records(run, there) == ""
    assert job_records.missing_records(run, here)


@pytest.mark.parametrize("text", ["", "[", "[]", "{}", "null"])
def test_a_run_that_tells_no_start_is_not_doubted(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    assert job_records.missing_records(tmp_path, tmp_path / ".snakemake") == ""
    start(tmp_path, tmp_path / ".snakemake")
    assert job_records.missing_records(tmp_path, tmp_path / ".snakemake") == ""
