"""What the rules ask about a configuration."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.reading import read_config
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError
from mammoflow.planning import workflow

ROOT = Path(__file__).resolve().parents[3]


def configuration(**values: object) -> StudyConfig:
    return validate_settings(StudyConfig, values, "the test")


def two_studies(folder: Path) -> StudyConfig:
    second = {
        "reader": "table",
        "name": "Second",
        "folder": str(folder),
        "tables": ["cases.csv"],
        "options": {"joins": [{"table": "more.csv", "column": "image"}]},
    }
    return configuration(results="out", run="two", cohort={"more_datasets": [second]})


@pytest.mark.parametrize(
    ("job", "on_gpu", "computing", "reserved"),
    [
        ("classifiers/context_crop", False, 3, 3),
        ("classifiers/context_crop", True, 3, 4),
        ("segmentation_models/mine", False, 5, 5),
        ("segmentation_models/mine", True, 5, 5),
    ],
)
def test_threads_of_a_training_come_from_the_configuration_and_not_from_the_machine(
    job: str, on_gpu: bool, computing: int, reserved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow, "gpu_present", lambda: on_gpu)
    config = configuration(
        training_threads={"classifier": 3, "segmentation": 5},
        segmentation={"models": {"mine": {"architecture": "unet_16", "train": {"recipe": "automatic"}}}},
    )
    assert workflow.threads_of_a_training(config, job) == computing
    assert workflow.reserved_threads(config, job) == reserved


def test_an_absent_study_stops_every_target_but_those_that_fetch() -> None:
    values = {"cohort": {"dataset": {"reader": "cbis-ddsm", "folder": "nowhere"}}}
    for arguments in ([], ["--cores", "2", "all"], ["segment"]):
        with pytest.raises(ConfigError, match=r"cohort\.dataset\.folder: found 'nowhere'"):
            workflow.read_configuration(values, arguments)
    for target in ("download", "prefetch", "prefetch:x"):
        config = workflow.read_configuration(values, ["--cores", "1", target])
        assert config.cohort.dataset.folder == "nowhere"


def test_a_wrong_key_stops_a_fetching_target_too() -> None:
    with pytest.raises(ConfigError, match=r"images\.side"):
        workflow.read_configuration({"images": {"side": 1}}, ["download"])


def test_the_phantom_study_is_inside_the_run_and_others_are_where_they_are(tmp_path: Path) -> None:
    config = two_studies(tmp_path)
    assert workflow.study_folders(config) == ["out/two/study", str(tmp_path)]
    assert workflow.has_phantom(config)
    elsewhere = configuration(cohort={"dataset": {"reader": "cbis-ddsm", "name": "CBIS-DDSM", "folder": "data"}})
    assert workflow.study_folders(elsewhere) == ["data"]
    assert not workflow.has_phantom(elsewhere)


def test_tables_of_all_studies_are_inputs(tmp_path: Path) -> None:
    assert workflow.study_tables(two_studies(tmp_path)) == [f"{tmp_path}/cases.csv", f"{tmp_path}/more.csv"]


@pytest.mark.parametrize(("shards", "last"), [(1, "00"), (2, "01"), (101, "100")])
def test_shard_names(shards: int, last: str) -> None:
    names = workflow.shard_names(configuration(cohort={"shards": shards}))
    assert (len(names), names[-1]) == (shards, last)


def test_settings_are_written_for_each_job_and_only_when_they_change(tmp_path: Path) -> None:
    config = configuration(results=str(tmp_path))
    workflow.write_settings(config)
    files = {job: Path(workflow.settings_file(config, job)) for job in config.stages()}
    assert all(file.is_file() for file in files.values())
    for file in files.values():
        os.utime(file, (1, 1))
    changed = config.model_copy(update={"report": config.report.model_copy(update={"title": "Another"})})
    workflow.write_settings(changed)
    assert {job for job, file in files.items() if file.stat().st_mtime != 1} == {"report"}
    assert "title: Another" in files["report"].read_text(encoding="utf-8")


def test_a_missing_table_of_another_tool_stops_before_the_first_job(tmp_path: Path) -> None:
    tool = {"name": "Vendor AI", "table": str(tmp_path / "vendor.csv")}
    values = {"comparison": {"predictions": [tool]}}
    with pytest.raises(ConfigError, match=r"comparison.predictions.0.table: found .*vendor.csv', which is no file"):
        workflow.read_configuration(values, [])
    (tmp_path / "vendor.csv").write_text("lesion_id,score\n", encoding="utf-8")
    assert workflow.read_configuration(values, []).comparison.predictions[0].name == "Vendor AI"


def test_options_of_a_command_survive_a_shell() -> None:
    files = ["a folder/00/images.parquet", "b/01/images.parquet"]
    assert workflow.folder_options("--images", files) == ["--images", "a folder/00", "--images", "b/01"]
    assert workflow.file_options("--prompts", files[:1]) == ["--prompts", files[0]]
    assert workflow.folder_options("--images", []) == []


@pytest.mark.parametrize(
    ("device", "present", "expected"), [("cuda", False, 1), ("auto", True, 1), ("auto", False, 0), ("cpu", True, 0)]
)
def test_a_job_asks_for_a_gpu_where_it_can_use_one(
    monkeypatch: pytest.MonkeyPatch, device: str, present: bool, expected: int
) -> None:
    monkeypatch.setattr(workflow, "gpu_present", lambda: present)
    config = configuration(device=device)
    assert workflow.gpus(config, "segmentation/small") == expected
    assert workflow.gpus(config, "cohort") == 0


def test_a_wildcard_takes_whole_names_only() -> None:
    pattern = re.compile(workflow.any_of(["sam.b", "small"]))
    assert [bool(pattern.fullmatch(name)) for name in ("sam.b", "small", "samxb", "smaller")] == [
        True,
        True,
        False,
        False,
    ]
    assert not re.fullmatch(workflow.any_of([]), "")


@pytest.mark.parametrize(
    ("jobs", "cores", "remote", "threads"),
    [
        (2, 2, False, 1),
        (2, 8, False, 4),
        (8, 2, False, 1),
        (1, 64, False, 16),
        (2, None, False, 4),
        (2, None, True, 4),
        (2, 6, True, 6),
        (2, 64, True, 16),
    ],
)
def test_threads_fill_the_machine(jobs: int, cores: int | None, remote: bool, threads: int) -> None:
    assert workflow.threads_of_a_shard(jobs, cores, remote) == threads


def test_the_default_configuration_needs_no_file() -> None:
    values = read_config([ROOT / "config.yaml"]).model_dump(mode="json")
    assert workflow.read_configuration(values, []) == configuration()


def places(study: Path, **values: object) -> StudyConfig:
    dataset = {"reader": "table", "name": "S", "folder": str(study), "tables": ["cases.csv"]}
    return workflow.read_configuration({"run": "r", "cohort": {"dataset": dataset}, **values}, [])


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "study"
    folder.mkdir(parents=True)
    (folder / "cases.csv").write_text("image\n")
    return folder


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("results", "data/study"),
        ("results", "data/study/results"),
        ("results", "data/../data/study/out"),
        ("results", "link"),
        ("store", "data/study"),
        ("store", "data/study/store"),
        ("store", "link/store"),
        ("store", "data"),
    ],
)
def test_a_run_that_would_write_to_a_study_is_refused(study: Path, tmp_path: Path, key: str, place: str) -> None:
    (tmp_path / "link").symlink_to(study)
    apart = {"results": str(tmp_path / "results"), "store": str(tmp_path / "store")}
    with pytest.raises(ConfigError, match=rf"^{key}: the run would write to .* study folder .*cohort\.dataset\.folder"):
        places(study, **{**apart, key: str(tmp_path / place)})
    assert [path.name for path in study.iterdir()] == ["cases.csv"]


def test_a_run_whose_folder_is_the_study_is_refused(study: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="results: the run would write to"):
        places(study, results=str(tmp_path / "data"), run="study", store=str(tmp_path / "store"))
    apart = places(study, results=str(tmp_path / "data"), run="r", store=str(tmp_path / "data/store"))
    assert workflow.run_folder(apart) == tmp_path / "data/r"


def test_a_store_in_the_embedded_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="store: the run would write to"):
        workflow.read_configuration({"results": str(tmp_path), "run": "r", "store": f"{tmp_path}/r/study/store"}, [])


def test_a_run_folder_with_files_of_a_person_is_refused(study: Path, tmp_path: Path) -> None:
    values = {"results": str(tmp_path / "results"), "store": str(tmp_path / "store")}
    run = tmp_path / "results" / "r"
    (run / "logs").mkdir(parents=True)
    config = places(study, **values)
    (run / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"^run: found .*which holds files and no run of mammoflow"):
        places(study, **values)
    (run / "notes.txt").unlink()
    workflow.write_settings(config)
    (run / "notes.txt").write_text("mine")
    places(study, **values)
