"""A configuration that cannot work stops with one clear error before the first job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.long(15)

CASES = {
    "typo": ("images: {longest_side: 512}", ["images.longest_side", "unknown key"]),
    "wrong type": ("cohort: {shards: many}", ["cohort.shards", "'many'"]),
    "unknown data set": ("cohort: {dataset: {reader: inbreast2}}", ["cohort.dataset.reader", "'inbreast2'", "phantom"]),
    "missing folder": (
        "cohort: {dataset: {reader: cbis-ddsm, folder: nowhere}}",
        ["cohort.dataset.folder", "'nowhere'", "correct the path"],
    ),
    "missing table": (
        "cohort: {dataset: {reader: table, folder: workflow, tables: [lesions.csv]}}",
        ["cohort.dataset.tables", "'lesions.csv'"],
    ),
    "no biopsies and no convention": (
        "cohort: {dataset: {reader: inbreast, folder: workflow}}",
        ["cohort.dataset.malignant_from_birads", "found null", "usually to 4"],
    ),
    "missing weights": (
        "segmentation: {run: [small, medsam_vit_b], models: {medsam_vit_b: {weights: medsam.pth}}}",
        ["segmentation.models.medsam_vit_b.weights", "medsam.pth", "mammoflow weights fetch medsam_vit_b"],
    ),
    "points alone for classifiers that decode boxes": (
        "prompts: {kinds: [point]}",
        ["prompts.kinds is ['point']", "perceptron_frozen", "expected box among the kinds"],
    ),
    "a model that is trained from itself": (
        "segmentation: {models: {mine: {train: {recipe: tune, from: mine}}}}",
        ["goes in a circle: mine <- mine"],
    ),
    "a path with braces": ("results: '{out}'", ["results: found '{out}'", "braces", "symbolic link"]),
    "a batch of one": (
        "classification: {classifiers: {context_crop: {batch_size: 1, input_options: {image_px: 32}}}}",
        ["classification.classifiers.context_crop: batch_size is 1", "expected batch_size of 2 or more"],
    ),
    "two stages": ("prompts: {default_margin_mm: 7.0}", ["default_margin_mm", "7.0"]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_configuration_is_one_error(finished_project: Project, tmp_path: Path, case: str) -> None:
    text, expected = CASES[case]
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(text, encoding="utf-8")
    printed = finished_project.snakemake("--configfile", str(overlay), check=False)
    for part in expected:
        assert part in printed
    assert "Traceback" not in printed
    assert "localrule" not in printed
    assert "Select jobs" not in printed


def test_images_of_further_runs_must_be_there_before_a_model_is_trained_on_them(project: Project) -> None:
    overlay = project.root / "overlay.yaml"
    train = "{recipe: small, more_images: [results/other/images]}"
    overlay.write_text(
        f"segmentation: {{models: {{again: {{architecture: small, train: {train}}}}}}}", encoding="utf-8"
    )
    assert "train_segmenter" not in project.planned("--configfile", str(overlay))
    printed = project.snakemake("--dry-run", "--configfile", str(overlay), "--", "tune", check=False)
    assert "segmentation.models.again.train.more_images: found no shards of images in 'results/other/images'" in printed
    shard = project.root / "results/other/images/00"
    shard.mkdir(parents=True)
    (shard / "images.parquet").write_text("table", encoding="utf-8")
    assert project.planned("--configfile", str(overlay), "--", "tune")["train_segmenter"] == 1


@pytest.mark.parametrize(
    ("target", "empty"), [("tune", "segmentation.models with the key train"), ("search", "classification.searches")]
)
def test_a_target_that_has_nothing_to_make_says_what_to_configure(project: Project, target: str, empty: str) -> None:
    printed = project.snakemake(target, check=False)
    assert f"the target {target} has nothing to make: found nothing in {empty}" in printed
    assert "Nothing to be done" not in printed


def test_a_dry_run_writes_no_result_and_plans_what_a_run_does(project: Project) -> None:
    assert "write_settings" in project.snakemake("-n", "images", "--config", "run=other")
    assert not (project.root / "results/other").exists()
    before = {path: path.stat().st_mtime_ns for path in (project.root / "results").rglob("*")}
    assert project.planned("--config", "report={title: Another}") == {"report": 1}
    assert {path: path.stat().st_mtime_ns for path in (project.root / "results").rglob("*")} == before


def test_shell_characters_in_the_project_and_the_results_are_plain_characters(project: Project, tmp_path: Path) -> None:
    strange = "a 'quoted' \"name\" & $HOME; `b` (c) * größe"
    root = project.root.rename(tmp_path / f"clone {strange}")
    overlay = root / f"{strange}.yaml"
    overlay.write_text(json.dumps({"results": f"-out {strange}", "store": f"-s {strange}"}), encoding="utf-8")
    beside = {path.name for path in root.iterdir()}
    printed = type(project)(root, project.runner).snakemake("segment", "--configfile", str(overlay))
    made = root / f"-out {strange}" / "phantom"
    assert len(list(made.glob("segmentation/small/*/masks.parquet"))) == 2, printed
    assert "images is in" in (made / "logs/images/00.log").read_text(encoding="utf-8")
    assert {path.name for path in root.iterdir()} - beside == {f"-out {strange}"}


def test_a_folder_in_which_another_run_works_is_left_alone(project: Project) -> None:
    run = project.root / "results" / "phantom"
    holder = {"host": "another-node", "process": 4711, "begun": 1, "started": "2026-01-01T00:00:00+00:00"}
    (run / "running.json").write_text(json.dumps(holder))
    settings = (run / "settings" / "images.yaml").stat().st_mtime_ns
    printed = project.snakemake("--config", "images={longest_side_px: 512}", check=False)
    assert "process 4711 on another-node" in printed
    assert (run / "settings" / "images.yaml").stat().st_mtime_ns == settings
    assert project.planned() == {}
    (run / "running.json").unlink()
    (run / "report" / "report.html").unlink()
    project.snakemake()
    assert not (run / "running.json").exists()
