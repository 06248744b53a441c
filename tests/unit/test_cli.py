"""The command line: light, in words that a user can act on, and with exactly the stages of the workflow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from mammoflow.cli import main
from mammoflow.config.study import StudyConfig
from mammoflow.errors import StudyError


def test_nothing_heavy_is_loaded_for_help() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from mammoflow.cli import main; "
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0; "
        "print(sorted(set(sys.modules) & {'torch', 'numpy', 'pandas', 'pydantic', 'cv2'}))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_each_stage_of_the_configuration_has_a_command() -> None:
    commands = {name.replace("-", "_") for name in main.commands}
    jobs = {"classifiers": "classify", "segmentation": "segment", "segmentation_models": "train_segmenter"}
    stages = {stage.partition("/")[0] for stage in StudyConfig().stages()}
    assert {jobs.get(stage, stage) for stage in stages} <= commands


def stand_in(monkeypatch: pytest.MonkeyPatch, module: str, name: str, function: Any) -> None:
    fake = ModuleType(module)
    setattr(fake, name, function)
    monkeypatch.setitem(sys.modules, module, fake)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "settings.yaml"
    path.write_text("{}", encoding="utf-8")
    return path


def test_a_stage_gets_its_settings_and_paths(monkeypatch: pytest.MonkeyPatch, settings: Path, tmp_path: Path) -> None:
    calls: list[tuple[Any, ...]] = []
    stand_in(monkeypatch, "mammoflow.features.stage", "extract", lambda *arguments: calls.append(arguments))
    output = tmp_path / "gabor.parquet"
    folders = ["--images", str(tmp_path), "--masks", str(tmp_path)]
    family = ["--family", "gabor", "--settings", str(settings)]
    arguments = ["features", *family, *folders, "--output", str(output), "--threads", "3"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert calls == [("gabor", StudyConfig().features.families["gabor"], tmp_path, tmp_path, output, 3)]


def test_several_folders_keep_their_order(monkeypatch: pytest.MonkeyPatch, settings: Path, tmp_path: Path) -> None:
    calls: list[tuple[Any, ...]] = []
    stand_in(monkeypatch, "mammoflow.report.stage", "write_report", lambda *arguments: calls.append(arguments))
    shards = [tmp_path / name for name in ("01", "00")]
    for shard in shards:
        shard.mkdir()
    arguments = ["report", "--settings", str(settings), "--cohort", str(tmp_path), "--comparison", str(tmp_path)]
    for shard in shards:
        arguments += ["--images", str(shard), "--masks", str(shard)]
    result = CliRunner().invoke(main, [*arguments, "--output", str(tmp_path / "report.html")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert calls[0][3] == shards


def test_a_problem_of_the_data_is_one_message(monkeypatch: pytest.MonkeyPatch, settings: Path, tmp_path: Path) -> None:
    def fail(*_: Any) -> None:
        raise StudyError("table is missing; run the cohort stage")

    stand_in(monkeypatch, "mammoflow.cohort.stage", "build_cohort", fail)
    arguments = ["cohort", "--settings", str(settings), "--study", str(tmp_path), "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert result.output == "mammoflow cohort: table is missing; run the cohort stage\n"


def test_a_wrong_setting_is_another_exit_code(settings: Path, tmp_path: Path) -> None:
    settings.write_text("orientation: 4", encoding="utf-8")
    folders = ["--images", str(tmp_path), "--masks", str(tmp_path)]
    family = ["--family", "gabor", "--settings", str(settings)]
    arguments = ["features", *family, *folders, "--output", str(tmp_path / "gabor.parquet")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "orientation: unknown key" in result.output
    assert "Traceback" not in result.output


def test_an_unknown_feature_family(settings: Path, tmp_path: Path) -> None:
    folders = ["--images", str(tmp_path), "--output", str(tmp_path / "features.parquet")]
    result = CliRunner().invoke(main, ["features", "--family", "gabr", "--settings", str(settings), *folders])
    assert result.exit_code == 2
    assert "--family: found 'gabr'; expected a feature family: one of descriptors, gabor, radiomics" in result.output


def test_a_classifier_with_an_unknown_input(settings: Path, tmp_path: Path) -> None:
    settings.write_text("input: crop\nnetwork: efficientnet_b0", encoding="utf-8")
    files = ["--images", str(tmp_path), "--output", str(tmp_path / "mine")]
    result = CliRunner().invoke(main, ["classify", "--settings", str(settings), "--name", "mine", *files])
    assert result.exit_code == 2
    assert "input: 'crop' is no classifier input" in result.output
    assert "masked_crop" in result.output


def test_a_classifier_is_told_its_files(monkeypatch: pytest.MonkeyPatch, settings: Path, tmp_path: Path) -> None:
    settings.write_text("input: prompted\nnetwork: perceptron", encoding="utf-8")
    calls: list[tuple[Any, ...]] = []
    stage = "mammoflow.classification.stage"
    stand_in(monkeypatch, stage, "train_classifier", lambda *arguments: calls.append(arguments))
    output, model = (
        tmp_path / "mine",
        ["--model", "my_sam", "--architecture", "sam_vit_b", "--weights", "w.safetensors"],
    )
    arguments = ["classify", "--settings", str(settings), "--name", "mine", "--images", str(tmp_path), *model]
    arguments += ["--scores", str(settings), "--output", str(output), "--threads", "3"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "expected --store and --default-margin-mm beside it" in result.output
    result = CliRunner().invoke(
        main, [*arguments, "--store", "store", "--default-margin-mm", "5"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    entry, name, files, folder, threads = calls[0]
    assert (entry.input, name, folder, threads) == ("prompted", "mine", output, 3)
    assert (files.images, files.scores, files.masks) == ([tmp_path], [settings], [])
    assert (files.model.model.name, files.model.model.architecture, files.model.margin_mm) == (
        "my_sam",
        "sam_vit_b",
        5.0,
    )


def test_config_show_lays_files_over_each_other(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("run: one\nprompts: {margins_mm: [0.0, 5.0], default_margin_mm: 5.0}\n", encoding="utf-8")
    second.write_text("prompts: {margins_mm: [5.0, 7.0]}\n", encoding="utf-8")
    shown = yaml.safe_load(CliRunner().invoke(main, ["config", "show", str(first), str(second)]).output)
    assert shown["run"] == "one"
    assert (shown["prompts"]["margins_mm"], shown["prompts"]["default_margin_mm"]) == ([5.0, 7.0], 5.0)
    stage = CliRunner().invoke(main, ["config", "show", str(first), "--stage", "prompts"]).output
    assert yaml.safe_load(stage)["margins_mm"] == [0.0, 5.0]


def test_config_results_names_the_files_that_the_workflow_writes(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("run: one\nresults: elsewhere\n", encoding="utf-8")
    output = CliRunner().invoke(main, ["config", "results", str(file)]).output
    assert "elsewhere/one/report/report.html" in output
    assert "elsewhere/one/comparison/comparison.csv" in output


def test_weights_are_listed_with_checksum_and_source() -> None:
    output = CliRunner().invoke(main, ["weights", "list"]).output
    assert "medsam_vit_b.pth" in output
    assert "sha256:" in output


def test_weights_of_an_unknown_model(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["weights", "fetch", "sam3", "--to", str(tmp_path)])
    assert result.exit_code == 2
    assert "'sam3'" in result.output


STORE = ["--store", "store", "--default-margin-mm", "10"]
FOLDER_STAGES = {
    "cohort": ["--study", "study"],
    "images": ["--study", "study", "--cohort-shard", "inputs"],
    "fold": ["--number", "0", "--cohort", "inputs", "--images", "inputs"],
    "audit": ["--cohort", "inputs"],
    "segment": ["--model", "small", "--images", "inputs", "--prompts", "settings.yaml", *STORE],
    "segment-automatic": ["--model", "unet", "--images", "inputs"],
    "train-segmenter": ["--architecture", "small", "--images", "inputs", *STORE],
    "search-segmenter": ["--name", "mine", "--architecture", "small", "--images", "inputs", *STORE],
    "classify": ["--name", "mine", "--images", "inputs"],
    "saliency": ["--classifier", "inputs", "--images", "inputs"],
    "search": ["--name", "mine", "--images", "inputs"],
    "compare": ["--cohort", "inputs", "--images", "inputs", "--segmentation", "inputs"],
    "pool": ["--run", "inputs"],
}
FILE_STAGES = {
    "prompts": ["--images", "inputs"],
    "features": ["--family", "gabor", "--images", "inputs"],
    "report": ["--cohort", "inputs", "--comparison", "inputs", "--images", "inputs", "--masks", "inputs"],
    "prefetch": [],
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study, a folder of inputs and a settings file; it is the current folder."""
    for name in ("study/image/0.png", "study/cases.csv", "inputs/images.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine", encoding="utf-8")
    (tmp_path / "settings.yaml").write_text("{}", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "study")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("stage", FOLDER_STAGES)
@pytest.mark.parametrize("output", ["study", "link", "inputs/../study", ".", "inputs"])
def test_no_stage_writes_to_a_folder_that_holds_something_else(place: Path, stage: str, output: str) -> None:
    settings = [] if stage == "fold" else ["--settings", "settings.yaml"]
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    result = CliRunner().invoke(main, [stage, *settings, *FOLDER_STAGES[stage], "--output", output])
    assert result.exit_code == 2, result.output
    assert f"mammoflow {stage}: --output: found {output.rstrip('/')}" in result.output
    assert "nothing was changed" in result.output
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("stage", FILE_STAGES)
def test_no_stage_replaces_a_file_that_it_did_not_write(place: Path, stage: str) -> None:
    arguments = [stage, "--settings", "settings.yaml", *FILE_STAGES[stage]]
    for output in ("study/cases.csv", "inputs/images.parquet", "link/cases.csv"):
        result = CliRunner().invoke(main, [*arguments, "--output", output])
        assert result.exit_code == 2, result.output
        assert "nothing was changed" in result.output
        assert Path(output).read_text(encoding="utf-8") == "mine"


def test_the_phantom_study_replaces_no_other_study(place: Path) -> None:
    for output in ("study", "link", "inputs/../study"):
        result = CliRunner().invoke(main, ["phantom", "--settings", "settings.yaml", "--output", output])
        assert result.exit_code == 1
        assert "so it is no phantom study" in result.output
    assert (place / "study/cases.csv").read_text(encoding="utf-8") == "mine"


def test_excluded_prompts_replace_no_other_table(place: Path) -> None:
    arguments = ["prompts", "--settings", "settings.yaml", "--images", "inputs", "--excluded", "study/cases.csv"]
    result = CliRunner().invoke(main, [*arguments, "--output", "new.parquet"])
    assert result.exit_code == 2
    assert (place / "study/cases.csv").read_text(encoding="utf-8") == "mine"
