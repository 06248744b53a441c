"""What the command line of Snakemake says beyond its options."""

from __future__ import annotations

import os
import shlex
from collections import OrderedDict
from pathlib import Path

import pytest
from snakemake.cli import parse_config
from snakemake.settings.types import ConfigSettings
from snakemake_interface_executor_plugins.utils import format_cli_arg

from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError
from mammoflow.planning import workflow
from mammoflow.planning.command_line import asked_for, check_project_folder, is_dry_run, with_command_line


@pytest.mark.parametrize(
    ("arguments", "dry"),
    [
        (["-n"], True),
        (["--cores", "1", "--dry-run", "images"], True),
        (["--dryrun"], True),
        (["-np"], True),
        (["-pn"], True),
        (["-nc1"], True),
        (["-c1", "images"], False),
        (["--nolock", "--no-hooks"], False),
        (["--configfile", "n.yaml"], False),
    ],
)
def test_a_dry_run_is_known_by_its_options(arguments: list[str], dry: bool) -> None:
    assert is_dry_run(arguments) == dry


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config", "cohort={shards: 4}"], {"shards": 4, "seed": 1}),
        (["images", "-C", "run=a", "cohort={shards: 4}", "--cores", "x={a: 1}"], {"shards": 4, "seed": 1}),
        (["--config=cohort={shards: 4}"], {"shards": 4, "seed": 1}),
        (["--config", "cohort={split: {folds: 3, method: kfold}}"], {"split": {"folds": 3, "method": "kfold"}}),
        (["--cores", "1", "cohort={shards: 4}"], {}),
    ],
)
def test_numbers_inside_a_mapping_are_numbers(arguments: list[str], expected: dict[str, object]) -> None:
    as_snakemake_reads_it = {"cohort": {"shards": "2", "seed": 1}}
    cohort = with_command_line(as_snakemake_reads_it, arguments)["cohort"]
    assert isinstance(cohort, dict)
    assert cohort | expected == cohort
    assert "x" not in with_command_line(as_snakemake_reads_it, arguments)


def test_lists_are_typed_and_broken_text_is_refused() -> None:
    assert with_command_line({"a": ["1"]}, ["--config", "a=[1, true]"]) == {"a": [1, True]}
    with pytest.raises(ConfigError, match=r"--config cohort: found '\{shards: 4', which is not YAML"):
        with_command_line({}, ["--config", "cohort={shards: 4"])


def test_the_configuration_takes_nested_values() -> None:
    arguments = ["--config", "cohort={shards: 3}"]
    config = workflow.read_configuration(workflow.typed_values({"cohort": {"shards": "3"}}, arguments, []), arguments)
    assert config.cohort.shards == 3


@pytest.mark.parametrize(
    "words",
    [
        ["cohort={shards: 4}"],
        ["run=x", "prompts={margins_mm: [0.0, 10.0], reference: true}"],
        ["comparison={prevalence: null}", "report={title: 'on'}"],
        ["classification={run: []}"],
    ],
)
def test_a_process_of_a_job_reads_the_values_and_types_of_the_main_process(words: list[str], tmp_path: Path) -> None:
    results = [f"results={tmp_path}/a 'quoted' \"name\" & größe", "store=elsewhere"]
    arguments = ["--config", *words, *results]
    values = workflow.typed_values(parse_config(arguments[1:]), arguments, [])
    config = workflow.read_configuration(values, arguments)
    workflow.write_settings(config)
    file = workflow.write_configuration(config, values)
    command = shlex.split(format_cli_arg("--configfiles", [file]))  # as Snakemake passes it to the process
    again = workflow.read_configuration(ConfigSettings(configfiles=[Path(command[1])]).overwrite_config, command)
    assert again == config


def test_the_configuration_for_jobs_keeps_words_and_is_written_where_it_changed(tmp_path: Path) -> None:
    values = {"results": str(tmp_path), "labels": {"yes": "1e-5", 1: [OrderedDict(no=None, date="2024-01-01")]}}
    config = validate_settings(StudyConfig, {"results": str(tmp_path)}, "the test")
    file = workflow.write_configuration(config, values)
    assert ConfigSettings(configfiles=[file]).overwrite_config == values
    os.utime(file, (1, 1))
    assert workflow.write_configuration(config, values) == file
    assert file.stat().st_mtime == 1


@pytest.mark.parametrize("folder", ["/home/a/{clone}", "/home/a:b/clone", "/home/a\nb"])
def test_a_clone_in_a_folder_that_cannot_be_passed_on_is_refused(folder: str) -> None:
    with pytest.raises(ConfigError, match="the project lies in the folder"):
        check_project_folder(Path(folder))


def test_a_clone_in_any_other_folder_is_fine() -> None:
    check_project_folder(Path("/home/o'neil & co/$HOME; * größe/-x"))


def test_a_target_without_files_says_what_to_configure() -> None:
    assert asked_for(["a"], "tune", "segmentation.models", "add one") == ["a"]
    with pytest.raises(ConfigError, match=r"the target tune has nothing to make: found nothing in segm.*; add one"):
        asked_for([], "tune", "segmentation.models", "add one")


def test_settings_are_named_and_not_written_before_a_dry_run(tmp_path: Path) -> None:
    config = validate_settings(StudyConfig, {"results": str(tmp_path / "out"), "run": "a"}, "the test")
    named = workflow.changed_settings(config)
    assert f"{tmp_path}/out/a/settings/cohort.yaml" in named
    assert not (tmp_path / "out").exists()
    workflow.write_settings(config)
    assert workflow.changed_settings(config) == []
    (tmp_path / "out/a/settings/report.yaml").write_text("other", encoding="utf-8")
    assert workflow.changed_settings(config) == [f"{tmp_path}/out/a/settings/report.yaml"]


def test_results_that_cannot_be_written_are_an_error_with_the_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    config = validate_settings(StudyConfig, {"results": str(tmp_path / "file"), "run": "a"}, "the test")
    with pytest.raises(ConfigError, match=r"results: found .*cannot be written: a file is where a folder was"):
        workflow.write_settings(config)
