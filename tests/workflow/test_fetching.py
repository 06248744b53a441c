"""The targets that fetch run where there is neither study nor weights yet; all else stops and says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.long(8)

OVERLAY = """\
run: fetched
cohort: {dataset: {reader: cbis-ddsm, folder: nowhere}}
segmentation:
  run: [small, medsam_vit_b, my_tuned]
  models: {my_tuned: {architecture: sam_vit_b, weights: absent.safetensors}}
"""


@pytest.mark.parametrize("target", ["download", "prefetch"])
def test_a_fetching_target_needs_nothing_and_runs_each_time(project: Project, target: str) -> None:
    (project.root / "overlay.yaml").write_text(OVERLAY, encoding="utf-8")
    assert project.planned("--configfile", "overlay.yaml", "--", target) == {target: 1}
    assert "nowhere" in project.snakemake("--configfile", "overlay.yaml", check=False)


def test_prefetch_is_told_the_published_models_and_leaves_a_record(project: Project) -> None:
    (project.root / "overlay.yaml").write_text(OVERLAY, encoding="utf-8")
    project.snakemake("--configfile", "overlay.yaml", "--", "prefetch")
    run = project.root / "results" / "fetched"
    assert (run / "prefetch" / "weights.json").is_file()
    assert "prefetch is in" in (run / "logs" / "prefetch" / "prefetch.log").read_text(encoding="utf-8")
    settings = (run / "settings" / "prefetch.yaml").read_text(encoding="utf-8")
    assert "medsam_vit_b: ''" in settings
    assert "my_tuned" not in settings
    assert project.planned("--configfile", "overlay.yaml", "--", "prefetch") == {"prefetch": 1}


def test_a_model_of_ones_own_is_told_with_its_architecture(project: Project) -> None:
    (project.root / "tuned.safetensors").write_bytes(b"weights")
    (project.root / "overlay.yaml").write_text(
        "run: own\n"
        "segmentation:\n"
        "  run: [my_tuned]\n"
        "  default_model: my_tuned\n"
        "  models: {my_tuned: {architecture: sam_vit_b, weights: tuned.safetensors}}\n",
        encoding="utf-8",
    )
    printed = project.snakemake("--dry-run", "--printshellcmds", "--configfile", "overlay.yaml")
    assert "--model my_tuned --architecture sam_vit_b --weights tuned.safetensors" in printed
    assert "results/own/segmentation/my_tuned/00/masks.parquet" in printed
    (project.root / "tuned.safetensors").unlink()
    printed = project.snakemake("--configfile", "overlay.yaml", check=False)
    assert "correct segmentation.models.my_tuned.weights" in printed
