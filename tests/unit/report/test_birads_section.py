"""The section of BI-RADS alone shows what the target birads wrote for this configuration, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mammoflow.config.birads import BiradsJob
from mammoflow.config.cohort import DatasetSettings
from mammoflow.config.documentation import settings_text
from mammoflow.evaluation.birads_stage import write_birads
from mammoflow.report.birads import birads_rows
from mammoflow.storage.files import write_text

PATIENTS = 30


def job(study: Path, **dataset: object) -> BiradsJob:
    values = {"reader": "table", "name": "Ours", "folder": str(study), "tables": ["cases.csv"]}
    return BiradsJob(datasets=[DatasetSettings.model_validate({**values, **dataset})], bootstrap=100)


def write_settings(run: Path, settings: BiradsJob) -> None:
    """Write the settings file of the stage as the workflow does at each start."""
    write_text(run / "settings" / "birads.yaml", settings_text(settings))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    numbers = range(PATIENTS)
    table = {
        "patient": [f"P{number:02d}" for number in numbers],
        "image": [f"{number:02d}.png" for number in numbers],
        "mask": [f"{number:02d}_mask.png" for number in numbers],
        "label": [("benign", "malignant")[number % 2] for number in numbers],
        "birads": [(2, 5)[number % 2] for number in numbers],
    }
    (tmp_path / "study").mkdir()
    pd.DataFrame(table).to_csv(tmp_path / "study" / "cases.csv", index=False)
    return tmp_path / "study"


@pytest.fixture
def run(tmp_path: Path, study: Path) -> Path:
    """A run whose target birads was made for its settings."""
    write_settings(tmp_path / "run", job(study))
    write_birads(job(study), [study], tmp_path / "run" / "birads")
    return tmp_path / "run"


def test_the_rows_of_this_configuration_are_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = birads_rows(run)
    assert {(row["split"], row["density"], row["view"]) for row in rows} == {("all", "all", "all")}
    assert {row["n"] for row in rows if row["level"] == "row"} == {PATIENTS}
    assert "out of date" not in capsys.readouterr().err


def test_a_run_without_the_target_has_no_rows_and_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert birads_rows(tmp_path) == []
    assert capsys.readouterr().err == ""


def change_table(run: Path, study: Path) -> None:
    path = study / "cases.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("malignant,5", "malignant,2", 1), encoding="utf-8")


def lose_table(run: Path, study: Path) -> None:
    (study / "cases.csv").unlink()


def change_confidence(run: Path, study: Path) -> None:
    write_settings(run, job(study).model_copy(update={"confidence": 0.9}))


def change_convention(run: Path, study: Path) -> None:
    write_settings(run, job(study, malignant_from_birads=4))


def add_study(run: Path, study: Path) -> None:
    more = job(study, name="Theirs", folder=str(study.parent)).datasets
    write_settings(run, job(study).model_copy(update={"datasets": [*job(study).datasets, *more]}))


def forget_tables(run: Path, study: Path) -> None:
    """Leave the record of an earlier version."""
    path = run / "birads" / "birads.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["tables"]
    path.write_text(json.dumps(record), encoding="utf-8")


def lose_settings(run: Path, study: Path) -> None:
    (run / "settings" / "birads.yaml").unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_table, "cases.csv has changed"),
        (lose_table, "cases.csv has changed or cannot be read"),
        (change_confidence, "other settings (confidence)"),
        (change_convention, "other settings (datasets)"),
        (add_study, "other settings (datasets)"),
        (forget_tables, "does not say which case tables"),
        (lose_settings, "birads.yaml cannot be read"),
    ],
)
def test_rows_of_an_earlier_configuration_are_left_out_with_the_reason(
    run: Path, study: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path, Path], None], said: str
) -> None:
    change(run, study)
    assert birads_rows(run) == []
    printed = capsys.readouterr().err
    assert said in printed
    assert "out of date" in printed
    assert "snakemake --cores 1 birads --forcerun birads" in printed


def test_rows_that_are_made_again_are_shown(run: Path, study: Path) -> None:
    change_table(run, study)
    write_birads(job(study), [study], run / "birads")
    assert birads_rows(run) != []
