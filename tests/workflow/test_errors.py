"""A configuration that cannot work stops with one clear error before the first job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

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
        "segmentation: {models: [small, medsam_vit_b], weights: {medsam_vit_b: medsam.pth}}",
        ["segmentation.weights.medsam_vit_b", "medsam.pth", "mammoflow weights fetch medsam_vit_b"],
    ),
    "two stages": ("prompts: {default_margin_mm: 7.0}", ["default_margin_mm", "7.0"]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_configuration_is_one_error(project: Project, case: str) -> None:
    text, expected = CASES[case]
    overlay = project.root / "overlay.yaml"
    overlay.write_text(text, encoding="utf-8")
    printed = project.snakemake("--configfile", str(overlay), check=False)
    for part in expected:
        assert part in printed
    assert "Traceback" not in printed
    assert "localrule" not in printed
    assert "Select jobs" not in printed


def test_further_images_of_the_small_model_must_be_there_before_it_is_trained(project: Project) -> None:
    overlay = project.root / "overlay.yaml"
    overlay.write_text("small_model: {more_images: [results/other/images]}", encoding="utf-8")
    assert "small_model" not in project.planned("--configfile", str(overlay))
    printed = project.snakemake("--dry-run", "--configfile", str(overlay), "--", "small_model", check=False)
    assert "small_model.more_images: found no shards of images in 'results/other/images'" in printed
    shard = project.root / "results/other/images/00"
    shard.mkdir(parents=True)
    (shard / "images.parquet").write_text("table", encoding="utf-8")
    assert project.planned("--configfile", str(overlay), "--", "small_model")["small_model"] == 1
