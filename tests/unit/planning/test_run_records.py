"""The record of a run, and the check of its results."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from mammoflow.cli import main
from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import StudyError
from mammoflow.planning import run_records
from mammoflow.storage.files import file_digest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the folder of a run that has ended, with three results and a log."""
    config = configuration(tmp_path)
    folder = tmp_path / "mine"
    for name in ("comparison/comparison.csv", "images/00/a b.png", "report/report.html", "logs/report/report.log"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    run_records.begin_record(config, "slurm", ROOT, ["/usr/bin/snakemake", "--cores", "2"], [Path("a/my.yaml")], 2)
    run_records.end_record(config, run_records.FINISHED)
    return folder


def configuration(results: Path) -> StudyConfig:
    """Return the default configuration with a folder of results."""
    return validate_settings(StudyConfig, {"results": str(results), "run": "mine"}, "the configuration")


def test_the_record_says_how_where_and_with_what_a_run_was_made(run: Path) -> None:
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert record["executor"] == "slurm"
    assert record["command"] == "snakemake --cores 2"
    assert record["configuration"] == ["my.yaml"]
    assert record["status"] == "finished"
    assert record["started"] <= record["ended"]
    assert record["cores"] == 2
    assert record["host"]
    assert record["seeds"]["comparison.seed"] == 0
    assert record["devices"]["segmentation.device"] == "auto"
    assert record["values"]["run"] == "mine"
    assert record["results"]["files"] == 3


def test_the_record_of_every_run_is_kept(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = json.loads((run / "run.json").read_text(encoding="utf-8"))
    changed = {**earlier, "started": "2031-01-02T03:04:05+00:00"}
    monkeypatch.setattr(run_records, "run_record", lambda *_: changed)
    run_records.begin_record(configuration(tmp_path), "local", ROOT)
    kept = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((run / "runs").iterdir())]
    assert [record["status"] for record in kept] == ["finished", "running"]


def test_the_record_has_digests_of_tables_and_weights(tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    (study / "cases.csv").write_text("image,label\na.dcm,benign\n", encoding="utf-8")
    (tmp_path / "own.safetensors").write_bytes(b"weights")
    dataset = {"reader": "table", "name": "Ours", "folder": str(study), "tables": ["cases.csv"]}
    dataset["options"] = {"columns": {"image": "image", "label": "label", "patient": "image"}}
    models = {"own": {"architecture": "small", "weights": str(tmp_path / "own.safetensors")}}
    values = {"results": str(tmp_path / "results"), "run": "mine", "cohort": {"dataset": dataset}}
    config = validate_settings(StudyConfig, {**values, "segmentation": {"models": models}}, "the configuration")
    run_records.begin_record(config, "local", ROOT, fingerprints=run_records.Fingerprints(config, remember=False))
    inputs = json.loads((tmp_path / "results/mine/run.json").read_text(encoding="utf-8"))["inputs"]
    assert inputs["tables"] == {"Ours": {"cases.csv": file_digest(study / "cases.csv")}}
    assert inputs["weights"] == {str(tmp_path / "own.safetensors"): file_digest(tmp_path / "own.safetensors")}
    assert len(inputs["studies"]) == 64


def test_the_record_has_digests_of_fetched_weights(tmp_path: Path) -> None:
    fetched = tmp_path / "sam_vit_b_01ec64.pth"
    fetched.write_bytes(b"weights")
    models = {"mine": {"train": {"recipe": "tune", "from": "sam_vit_b"}}}
    values = {"results": str(tmp_path), "run": "mine", "prefetch": {"folder": str(tmp_path)}}
    config = validate_settings(StudyConfig, {**values, "segmentation": {"models": models}}, "the configuration")
    run_records.begin_record(config, "local", ROOT, fingerprints=run_records.Fingerprints(config, remember=False))
    inputs = json.loads((tmp_path / "mine/run.json").read_text(encoding="utf-8"))["inputs"]
    assert inputs["weights"] == {str(fetched): file_digest(fetched)}


def test_the_record_has_digests_of_tables_with_usual_names(tmp_path: Path) -> None:
    study = tmp_path / "study"
    (study / "films").mkdir(parents=True)
    for name in ("finding_annotations.csv", "breast-level_annotations.csv", "films/0.dicom"):
        (study / name).write_text(name, encoding="utf-8")
    dataset = {"reader": "vindr-mammo", "name": "VinDr", "folder": str(study), "malignant_from_birads": 4}
    values = {"results": str(tmp_path / "results"), "run": "mine", "cohort": {"dataset": dataset}}
    config = validate_settings(StudyConfig, values, "the configuration")
    run_records.begin_record(config, "local", ROOT, fingerprints=run_records.Fingerprints(config, remember=False))
    tables = json.loads((tmp_path / "results/mine/run.json").read_text(encoding="utf-8"))["inputs"]["tables"]
    names = ("breast-level_annotations.csv", "finding_annotations.csv")
    assert tables == {"VinDr": {name: file_digest(study / name) for name in names}}


def test_untouched_results_are_verified(run: Path) -> None:
    found = run_records.verify(run)
    assert found.is_good()
    assert (found.equal, found.changed, found.missing, found.added) == (3, [], [], [])


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_the_list_is_one_of_sha256sum(run: Path) -> None:
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", run_records.DIGESTS], cwd=run, capture_output=True, text=True, check=True
    )
    assert checked.stdout.count("OK") == 3


def test_changed_missing_and_added_files_are_named(run: Path) -> None:
    (run / "comparison/comparison.csv").write_text("comparison/comparison.cs_", encoding="utf-8")
    (run / "images/00/a b.png").unlink()
    (run / "report/notes.txt").write_text("mine", encoding="utf-8")
    found = run_records.verify(run)
    assert found.changed == ["comparison/comparison.csv"]
    assert found.missing == ["images/00/a b.png"]
    assert found.added == ["report/notes.txt"]
    shown = CliRunner().invoke(main, ["verify", str(run)])
    assert shown.exit_code == 1
    assert "changed: comparison/comparison.csv" in shown.output
    assert "1 files are as the run of" in shown.output


def test_a_file_that_only_was_added_is_no_fault(run: Path) -> None:
    (run / "notes.txt").write_text("mine", encoding="utf-8")
    shown = CliRunner().invoke(main, ["verify", str(run)])
    assert shown.exit_code == 0
    assert "not of the run: notes.txt" in shown.output


def test_a_changed_list_is_noticed(run: Path) -> None:
    path = run / run_records.DIGESTS
    path.write_text(path.read_text(encoding="utf-8").replace("comparison.csv", "comparison.txt"), encoding="utf-8")
    with pytest.raises(StudyError, match=r"is not the list that run.json names"):
        run_records.verify(run)


def test_a_damaged_list_is_named_with_its_line(run: Path) -> None:
    (run / run_records.DIGESTS).write_text("abc  comparison.csv\n", encoding="utf-8")
    with pytest.raises(StudyError, match=r"line 1: found 'abc  comparison.csv'"):
        run_records.verify(run)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["verify", str(tmp_path)])
    assert shown.exit_code == 1
    assert "expected the folder of a finished run" in shown.output


def test_unchanged_files_are_read_once(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_records.result_digests(run)
    monkeypatch.setattr(run_records, "file_digest", lambda path: f"read {path.name}")
    (run / "report/report.html").write_text("another", encoding="utf-8")
    assert run_records.result_digests(run) == {**before, "report/report.html": "read report.html"}
