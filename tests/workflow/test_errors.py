"""A configuration that cannot work stops with one clear error before the first job."""

from __future__ import annotations

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
