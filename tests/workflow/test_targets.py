"""Named targets, overlays and profiles, by dry runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

BELOW = {
    "phantom": {"phantom"},
    "cohort": {"cohort"},
    "images": {"images_shard"},
    "audit": {"audit"},
    "prompts": {"prompts_shard"},
    "segment": {"segment_shard"},
    "gabor": {"features_shard"},
    "radiomics": {"features_shard"},
    "features": {"features_shard"},
    "classify": {"efficientnet_input", "perceptron_variant"},
    "compare": {"compare"},
    "report": {"report"},
}


@pytest.mark.parametrize("target", BELOW)
def test_a_named_target_runs_its_stage(project: Project, target: str) -> None:
    planned = set(project.planned("--forcerun", *BELOW[target], "--", target))
    assert planned - {target} == BELOW[target] - {target}
    assert BELOW[target] <= planned


def test_all_planned_outputs_stand_under_the_run(finished_project: Project) -> None:
    run = finished_project.root / "results" / "phantom"
    stages = {
        "phantom", "cohort", "images", "audit", "prompts", "segment", "features", "efficientnet",
        "perceptron", "compare", "report",
    }  # fmt: skip
    assert {path.name for path in (run / "logs").iterdir()} == stages
    assert {path.name for path in (run / "benchmarks").iterdir()} == stages
    assert {path.stem for path in (run / "settings").iterdir()} == stages | {
        "small_model",
        "tune",
        "download",
        "prefetch",
    }
    assert "segment stands in" in (run / "logs" / "segment" / "small_00.log").read_text(encoding="utf-8")


def test_the_run_record_names_the_executor(finished_project: Project) -> None:
    record = json.loads((finished_project.root / "results/phantom/run.json").read_text(encoding="utf-8"))
    assert record["executor"] == "local"
    assert record["packages"]["snakemake"]


def test_results_and_run_can_be_named_on_the_command_line(project: Project, tmp_path: Path) -> None:
    results = tmp_path / "a folder"
    planned = project.planned("--config", f"results={results}", "run=second")
    assert planned["phantom"] == 1
    assert (results / "second" / "settings" / "cohort.yaml").is_file()


def test_other_shards_models_and_classifiers(project: Project) -> None:
    (project.root / "weights.pth").write_bytes(b"weights")
    overlay = project.root / "overlay.yaml"
    overlay.write_text(
        "run: another\n"
        "cohort: {shards: 1}\n"
        "segmentation: {models: [small, medsam_vit_b], weights: {medsam_vit_b: weights.pth}}\n"
        "classification: {efficientnet: {inputs: [whole_image]}, perceptron: {variants: []}}\n",
        encoding="utf-8",
    )
    planned = project.planned("--configfile", str(overlay))
    assert (planned["images_shard"], planned["segment_shard"], planned["efficientnet_input"]) == (1, 2, 1)
    assert "perceptron_variant" not in planned
    project.snakemake("--configfile", str(overlay))
    weights = project.root / "weights.pth"
    weights.write_bytes(b"other weights")
    planned = project.planned("--configfile", str(overlay))
    assert planned == {"segment_shard": 1, "compare": 1, "report": 1}


def test_a_tuned_model_is_tuned_on_the_way_and_segments(project: Project) -> None:
    overlay = project.root / "overlay.yaml"
    overlay.write_text(
        "run: tuned\n"
        "cohort: {shards: 1}\n"
        "tuning: {models: {small_tuned: {model: small, method: decoder}, again: {model: small_tuned, method: all}}}\n"
        "segmentation:\n"
        "  models: [small, small_tuned]\n"
        "  default_model: small_tuned\n"
        "  custom: {small_tuned: {architecture: small}}\n",
        encoding="utf-8",
    )
    planned = project.planned("--configfile", str(overlay), "--", "segment")
    assert (planned["tune_model"], planned["segment_shard"]) == (1, 2)
    assert project.planned("--configfile", str(overlay), "--", "tune")["tune_model"] == 2
    project.snakemake("--configfile", str(overlay), "--", "segment")
    tuned = project.root / "results" / "tuned" / "tuning" / "small_tuned"
    assert {path.name for path in tuned.iterdir()} == {"model.safetensors", "record.json", "history.csv"}
    text = overlay.read_text(encoding="utf-8")
    overlay.write_text(text.replace("tuning: {", "tuning: {learning_rate: 0.0002, "), encoding="utf-8")
    planned = project.planned("--configfile", str(overlay), "--", "segment")
    assert (planned["tune_model"], planned["segment_shard"]) == (1, 1)


def test_every_stage_that_reads_embeddings_is_told_their_precision(project: Project) -> None:
    overlay = project.root / "overlay.yaml"
    overlay.write_text(
        "run: exact\n"
        "tuning: {models: {small_tuned: {model: small, method: decoder}}}\n"
        "segmentation: {models: [small, small_tuned], precision: fp32, custom: {small_tuned: {architecture: small}}}\n",
        encoding="utf-8",
    )
    said = project.snakemake("--configfile", str(overlay), "--dry-run", "--printshellcmds", "--", "perceptron", "tune")
    commands = [line for line in said.splitlines() if "mammoflow perceptron" in line or "mammoflow tune" in line]
    assert len(commands) == 4
    assert all(" --precision fp32 " in command for command in commands)


def test_a_model_that_prompts_another_runs_before_it(project: Project) -> None:
    (project.root / "weights.pth").write_bytes(b"weights")
    overlay = project.root / "overlay.yaml"
    overlay.write_text(
        "run: chained\n"
        "cohort: {shards: 1}\n"
        "segmentation:\n"
        "  models: [small, medsam_vit_b]\n"
        "  weights: {medsam_vit_b: weights.pth}\n"
        "  prompted_by: {medsam_vit_b: [small]}\n",
        encoding="utf-8",
    )
    planned = project.planned("--configfile", str(overlay), "--", "segment")
    assert (planned["prompts_shard"], planned["prompts_from_model_shard"], planned["segment_shard"]) == (1, 1, 2)
    project.snakemake("--configfile", str(overlay), "--", "segment")
    run = project.root / "results" / "chained"
    assert (run / "prompts" / "from_small" / "00.parquet").is_file()
    masks = run / "segmentation" / "small" / "00" / "masks.parquet"
    masks.write_text("other masks", encoding="utf-8")
    planned = project.planned("--configfile", str(overlay), "--", "segment")
    assert (planned["prompts_from_model_shard"], planned["segment_shard"]) == (1, 1)
