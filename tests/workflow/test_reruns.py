"""What runs again after a change: what the change reaches, and nothing else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Project

GABOR = "src/mammoflow/features/families/gabor.py"


def overlay(project: Project, text: str) -> tuple[str, str]:
    path = project.root / "overlay.yaml"
    path.write_text(text, encoding="utf-8")
    return "--configfile", str(path)


def test_a_second_run_has_nothing_to_do(project: Project) -> None:
    start = time.monotonic()
    printed = project.snakemake()
    assert "Nothing to be done" in printed
    assert time.monotonic() - start < 15


def test_learning_rate_of_the_perceptron(project: Project) -> None:
    change = overlay(project, "classification: {perceptron: {learning_rate: 0.0123}}")
    assert project.planned(*change) == {"perceptron_variant": 3, "compare": 1, "report": 1}


def test_code_of_the_gabor_features(project: Project) -> None:
    file = project.root / GABOR
    original = file.read_text(encoding="utf-8")
    file.write_text(original + "\n# changed\n", encoding="utf-8")
    assert project.planned() == {"features_shard": 2, "compare": 1, "report": 1}
    file.write_text(original, encoding="utf-8")
    assert project.planned() == {}


def test_options_of_one_feature_family(project: Project) -> None:
    change = overlay(project, "features: {families: {gabor: {orientations: 4}}}")
    assert project.planned(*change) == {"features_shard": 2, "compare": 1, "report": 1}


def test_reference_masks_for_features_do_not_wait_for_masks(project: Project) -> None:
    values = "{gabor: {mask: reference}, radiomics: {mask: reference}}"
    change = overlay(project, f"features: {{families: {values}}}")
    planned = project.planned(*change, "--forcerun", "prompts_shard", "--", "features")
    assert "segment_shard" not in planned
    assert planned["features_shard"] == 4


def test_touched_files_rerun_nothing(project: Project) -> None:
    for path in [*project.root.rglob("*.py"), *project.root.rglob("settings/*.yaml"), project.root / "config.yaml"]:
        path.touch()
    assert project.planned() == {}


def test_one_more_margin_leaves_cohort_and_images(project: Project) -> None:
    change = overlay(project, "prompts: {margins_mm: [0.0, 5.0, 10.0, 20.0, 40.0]}")
    planned = project.planned(*change)
    assert {"prompts_shard", "segment_shard", "compare", "report"} <= set(planned)
    assert not {"phantom", "cohort", "images_shard"} & set(planned)


def test_title_of_the_report(project: Project) -> None:
    assert project.planned(*overlay(project, "report: {title: Another}")) == {"report": 1}
