"""Named targets, overlays and profiles, by dry runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.long(22)

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
    "classify": {"train_classifier"},
    "saliency": {"saliency_maps"},
    "compare": {"compare"},
    "report": {"report"},
    "dicom": {"dicom_shard"},
    "real_exam": {"real_exam"},
    "birads": {"birads"},
}
"""The stage that each target runs: a rule of its own name, or the rule whose outputs it asks for."""


def test_a_named_target_runs_its_stage(finished_project: Project) -> None:
    graph = finished_project.snakemake("--forceall", "--rulegraph", "--", *BELOW)
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', graph, flags=re.MULTILINE))
    needed: dict[str, set[str]] = {name: set() for name in names.values()}
    for before, after in re.findall(r"^\s*(\d+) -> (\d+)", graph, flags=re.MULTILINE):
        needed[names[after]].add(names[before])
    assert set(BELOW) <= needed.keys()
    of_other_rules = {target: stages for target, stages in BELOW.items() if target not in stages}
    assert {target: needed[target] for target in of_other_rules} == of_other_rules


def test_all_planned_outputs_stand_under_the_run(finished_project: Project) -> None:
    run = finished_project.root / "results" / "phantom"
    stages = {
        "phantom", "cohort", "images", "audit", "prompts", "segment", "features", "classify",
        "saliency", "compare", "report",
    }  # fmt: skip
    assert {path.name for path in (run / "logs").iterdir()} == stages
    assert {path.name for path in (run / "benchmarks").iterdir()} == stages
    settings = run / "settings"
    assert {path.stem for path in settings.glob("*.yaml")} == stages - {
        "segment",
        "features",
        "classify",
        "saliency",
    } | {
        "stability",
        "robustness",
        "dicom",
        "real_exam",
        "birads",
        "download",
        "prefetch",
    }
    assert {path.name for path in (settings / "segmentation").iterdir()} == {"small.yaml"}
    classifiers = {path.stem for path in (settings / "classifiers").iterdir()}
    assert classifiers == {path.name for path in (run / "classification").iterdir()}
    assert len(classifiers) == 4
    assert {path.stem for path in (settings / "saliency").iterdir()} == {"context_crop"}
    assert "segment is in" in (run / "logs" / "segment" / "small_00.log").read_text(encoding="utf-8")


def test_the_run_record_names_the_executor(finished_project: Project) -> None:
    record = json.loads((finished_project.root / "results/phantom/run.json").read_text(encoding="utf-8"))
    assert record["executor"] == "local"
    assert record["packages"]["snakemake"]


def test_results_and_run_can_be_named_on_the_command_line(project: Project, tmp_path: Path) -> None:
    results = tmp_path / "a folder"
    printed = project.snakemake("--dry-run", "phantom", "--config", f"results={results}", "run=second")
    assert f"output: {results}/second/study/manifest.csv" in printed


def test_other_shards_models_and_classifiers(project: Project) -> None:
    (project.root / "weights.pth").write_bytes(b"weights")
    overlay = project.root / "overlay.yaml"
    overlay.write_text(
        "run: another\n"
        "cohort: {shards: 1}\n"
        "segmentation: {run: [small, medsam_vit_b], models: {medsam_vit_b: {weights: weights.pth}}}\n"
        "classification: {run: [efficientnet_whole_image]}\n",
        encoding="utf-8",
    )
    planned = project.planned("--configfile", str(overlay))
    assert (planned["images_shard"], planned["segment_shard"], planned["train_classifier"]) == (1, 2, 1)
    project.snakemake("--configfile", str(overlay))
    weights = project.root / "weights.pth"
    weights.write_bytes(b"other weights")
    planned = project.planned("--configfile", str(overlay))
    assert planned == {"segment_shard": 1, "compare": 1, "report": 1}


def test_a_model_that_the_run_trains_is_trained_before_it_segments(project: Project) -> None:
    overlay = project.root / "overlay.yaml"
    overlay.write_text(
        "run: tuned\n"
        "cohort: {shards: 1}\n"
        "segmentation:\n"
        "  run: [small, small_tuned]\n"
        "  default_model: small_tuned\n"
        "  models:\n"
        "    small_tuned: {train: {recipe: tune, from: small, options: {method: decoder}}}\n"
        "    again: {train: {recipe: tune, from: small_tuned, options: {method: all}}}\n",
        encoding="utf-8",
    )
    planned = project.planned("--configfile", str(overlay), "--", "segment")
    assert (planned["train_segmenter"], planned["segment_shard"]) == (1, 2)
    assert project.planned("--configfile", str(overlay), "--", "tune")["train_segmenter"] == 2
    project.snakemake("--configfile", str(overlay), "--", "segment", "tune")
    trained = project.root / "results" / "tuned" / "segmentation_models" / "small_tuned"
    assert {path.name for path in trained.iterdir()} == {"model.safetensors", "record.json", "history.csv"}
    text = overlay.read_text(encoding="utf-8")
    # another rate of one model trains this one anew, and no other
    overlay.write_text(text.replace("{method: all}", "{method: all, learning_rate: 0.0002}"), encoding="utf-8")
    assert project.planned("--configfile", str(overlay), "--", "segment", "tune") == {"tune": 1, "train_segmenter": 1}
    overlay.write_text(text.replace("{method: decoder}", "{method: decoder, rank: 2}"), encoding="utf-8")
    planned = project.planned("--configfile", str(overlay), "--", "segment")
    assert (planned["train_segmenter"], planned["segment_shard"]) == (1, 1)


def test_a_model_that_makes_masks_of_boxes_is_trained_before_the_model_that_learns_from_them(project: Project) -> None:
    overlay = project.root / "overlay.yaml"
    overlay.write_text(
        "run: labelled\n"
        "segmentation:\n"
        "  run: [mine]\n"
        "  default_model: mine\n"
        "  detection: {threshold: 0.3}\n"
        "  models:\n"
        "    again: {architecture: small, train: {recipe: small}}\n"
        "    mine: {architecture: unet_16, train: {recipe: automatic, options: {labels: {kind: boxes, model: small,"
        " weights: results/labelled/segmentation_models/again/model.safetensors}}}}\n"
        "classification: {run: []}\n",
        encoding="utf-8",
    )
    assert project.planned("--configfile", str(overlay), "--", "segment")["train_segmenter"] == 2


def test_memory_of_a_shard_of_images_grows_with_its_processes(finished_project: Project) -> None:
    asked = []
    for cores in ("2", "32"):
        printed = finished_project.snakemake(
            "--dry-run", "--cores", cores, "--forcerun", "images_shard", "--", "images"
        )
        asked.append(re.findall(r"^rule images_shard:(?:\n .*)*?mem_mb=(\d+)", printed, flags=re.MULTILINE))
    assert asked == [["3000"] * 2, ["5800"] * 2]


def test_every_stage_that_reads_embeddings_is_told_their_precision(project: Project) -> None:
    overlay = project.root / "overlay.yaml"
    overlay.write_text(
        "run: exact\n"
        "segmentation:\n"
        "  run: [small, small_tuned]\n"
        "  precision: fp32\n"
        "  models: {small_tuned: {train: {recipe: tune, from: small}}}\n",
        encoding="utf-8",
    )
    said = project.snakemake("--configfile", str(overlay), "--dry-run", "--printshellcmds", "--", "classify", "tune")
    commands = [
        line
        for line in said.splitlines()
        if ("mammoflow classify" in line and "--model" in line) or "mammoflow train-segmenter" in line
    ]
    assert len(commands) == 4
    assert all(" --precision fp32 --colour grey " in command for command in commands)


def test_a_model_that_prompts_another_runs_before_it(project: Project) -> None:
    (project.root / "weights.pth").write_bytes(b"weights")
    overlay = project.root / "overlay.yaml"
    overlay.write_text(
        "run: chained\n"
        "cohort: {shards: 1}\n"
        "segmentation:\n"
        "  run: [small, medsam_vit_b]\n"
        "  models: {medsam_vit_b: {weights: weights.pth}}\n"
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


def test_an_automatic_model_is_trained_and_segments_without_prompts(project: Project) -> None:
    overlay = project.root / "overlay.yaml"
    overlay.write_text(
        "run: automatic\n"
        "cohort: {shards: 1}\n"
        "segmentation:\n"
        "  run: [small, unet]\n"
        "  models: {unet: {architecture: unet_16, train: {recipe: automatic, options: {epochs: 2}}}}\n",
        encoding="utf-8",
    )
    planned = project.planned("--configfile", str(overlay), "--", "segment")
    jobs = (planned["train_segmenter"], planned["segment_automatic_shard"], planned["segment_shard"])
    assert jobs == (1, 1, 1)
    project.snakemake("--configfile", str(overlay), "--", "segment")
    shard = project.root / "results" / "automatic" / "segmentation" / "unet" / "00"
    assert {path.name for path in shard.iterdir()} == {
        "scores.parquet",
        "masks.parquet",
        "weights.json",
        "detections.parquet",
        "maps.parquet",
    }
    # Another rule for a hit segments anew with the automatic model alone, and trains nothing.
    text = overlay.read_text(encoding="utf-8")
    overlay.write_text(f"{text}  detection: {{hit: centre}}\n", encoding="utf-8")
    planned = project.planned("--configfile", str(overlay), "--", "segment")
    assert planned == {"segment": 1, "segment_automatic_shard": 1}


def test_the_report_needs_the_robustness_only_where_the_setting_asks_for_it(
    finished_project: Project, tmp_path: Path
) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("report: {robustness: true}\n", encoding="utf-8")
    shown = ("--configfile", str(overlay))
    assert finished_project.planned(*shown) == {"robustness": 1, "report": 1}
    assert finished_project.planned() == {}
    # a run that has no robustness stops before its first job
    overlay.write_text("run: folds\nreport: {robustness: true}\ncohort: {split: {method: kfold, fold: all}}\n", "utf-8")
    said = finished_project.snakemake("--dry-run", *shown, check=False)
    assert "report.robustness is true" in said
