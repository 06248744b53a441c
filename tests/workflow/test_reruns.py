"""What runs again after a change: what the change reaches, and nothing else."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

pytestmark = pytest.mark.long(20)

GABOR = "src/mammoflow/features/families/gabor.py"


def overlay(project: Project, text: str) -> tuple[str, str]:
    path = project.root / "overlay.yaml"
    path.write_text(text, encoding="utf-8")
    return "--configfile", str(path)


def written(project: Project) -> dict[str, int]:
    """Return when each file of the results was last written, in nanoseconds, without what planning remembers."""
    memory = ("files.json", "made.json")
    found = (path for path in (project.root / "results").rglob("*") if path.is_file())
    files = (path for path in found if path.name not in memory or path.parent.parent.name != "results")
    return {str(path): path.stat().st_mtime_ns for path in files}


def test_a_second_run_has_nothing_to_do(project: Project) -> None:
    before = written(project)
    assert "Nothing to be done" in project.snakemake()
    assert written(project) == before


@pytest.mark.parametrize(
    ("change", "classifiers"),
    [
        ("perceptron_frozen: {learning_rate: 0.0123}", ["perceptron_frozen"]),
        ("context_crop: {input_options: {size_mm: 38.0}}", ["context_crop"]),
        ("perceptron_all_tuned: {seeds: [0, 1]}", ["perceptron_all_tuned"]),
    ],
)
def test_a_setting_of_one_classifier(project: Project, change: str, classifiers: list[str]) -> None:
    arguments = overlay(project, f"classification: {{classifiers: {{{change}}}}}")
    printed = project.snakemake("--dry-run", *arguments)
    maps = {"saliency_maps": 1} if "context_crop" in classifiers else {}
    assert project.jobs(printed) == {"train_classifier": len(classifiers), **maps, "compare": 1, "report": 1}
    assert all(f"classification/{name}/predictions.parquet" in printed for name in classifiers)


def test_masks_are_read_by_the_classifiers_that_need_them_only(project: Project) -> None:
    without = ["context_crop", "efficientnet_whole_image"]
    names = [*without, "efficientnet_masked_crop", "efficientnet_whole_image_radiomics", "perceptron_frozen"]
    values = f"classification: {{run: [{', '.join(names)}]}}"
    project.snakemake(*overlay(project, values), "--", "classify")
    printed = project.snakemake("--dry-run", *overlay(project, f"{values}\nsegmentation: {{iterations: 2}}"))
    trained = set(re.findall(r"output: \S*classification/(\w+)/predictions", printed))
    assert trained == set(names) - set(without)


def test_code_of_a_network_an_input_and_a_new_network(project: Project) -> None:
    folder = project.root / "src/mammoflow/classification"
    (folder / "networks/new.py").write_text((folder / "networks/perceptron.py").read_text(encoding="utf-8"))
    (folder / "inputs/new.py").write_text((folder / "inputs/whole_image.py").read_text(encoding="utf-8"))
    assert project.planned() == {}
    of_perceptrons = {"train_classifier": 3, "compare": 1, "report": 1}
    of_all = {"train_classifier": 4, "saliency_maps": 1, "compare": 1, "report": 1}
    expected: dict[str, dict[str, int]] = {
        "inputs/masked_crop.py": {},
        "networks/perceptron.py": of_perceptrons,
        "inputs/context_crop.py": of_all,
    }
    for file, planned in expected.items():
        path = folder / file
        path.write_text(path.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
        assert project.planned() == planned


def test_saliency_maps_train_nothing_again(project: Project) -> None:
    change = overlay(project, "saliency: {methods: [integrated_gradients]}")
    assert project.planned(*change) == {"saliency_maps": 1, "compare": 1, "report": 1}
    assert project.planned(*overlay(project, "saliency: {run: false}")) == {"compare": 1, "report": 1}


def test_code_of_the_gabor_features(project: Project) -> None:
    file = project.root / GABOR
    original = file.read_text(encoding="utf-8")
    file.write_text(original + "\n# changed\n", encoding="utf-8")
    assert project.planned() == {"features_shard": 2, "compare": 1, "report": 1}
    file.write_text(original, encoding="utf-8")
    assert project.planned() == {}


def test_results_without_records_of_snakemake_are_named(project: Project) -> None:
    root, said = project.root, "Snakemake in this folder has no complete record of how the results in"
    file = root / GABOR
    file.write_text(file.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    printed = project.snakemake("--dry-run")
    assert project.jobs(printed)["features_shard"] == 2
    assert said not in printed
    # in another clone, whose first start has something to do
    (root / ".snakemake").rename(root / "records")
    (root / "results/phantom/report/report.html").unlink()
    printed = project.snakemake()
    assert f"{said} results/phantom were made" in printed
    assert "features_shard" not in printed
    # the report was made elsewhere since: the earlier records are not complete either
    shutil.rmtree(root / ".snakemake")
    (root / "records").rename(root / ".snakemake")
    assert f"{said} results/phantom were made" in project.snakemake("--dry-run")


def test_code_of_another_architecture_and_a_new_one(project: Project) -> None:
    for name in ("networks/sam2.py", "models/sam2.py"):
        file = project.root / "src/mammoflow/segmentation" / name
        file.write_text(file.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    models = project.root / "src/mammoflow/segmentation/models"
    text = (models / "small.py").read_text(encoding="utf-8")
    (models / "new.py").write_text(text.replace('"small": Architecture', '"new": Architecture'), encoding="utf-8")
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


def test_the_report_follows_the_target_birads_and_does_not_ask_for_it(project: Project) -> None:
    folder = project.root / "results" / "phantom" / "birads"
    folder.mkdir()
    for name in ("birads.csv", "birads.json"):
        (folder / name).write_text("first", encoding="utf-8")
    assert project.planned() == {"report": 1}
    project.snakemake()
    assert project.planned() == {}
    (folder / "birads.json").write_text("second", encoding="utf-8")
    assert project.planned() == {"report": 1}


def test_lost_masks_and_a_lost_table_of_stability_are_made_again(project: Project) -> None:
    run = project.root / "results" / "phantom"
    masks, aside = run / "segmentation" / "small" / "00" / "masks.parquet", project.root / "masks.parquet"
    change = overlay(project, "comparison: {feature_models: [{name: Stable, stability_above: 0.5}]}")
    project.snakemake(*change, "--", "compare")
    masks.rename(aside)
    assert project.planned(*change, "--", "stability") == {"segment_shard": 1, "stability": 1}
    aside.rename(masks)
    shutil.rmtree(run / "stability")
    assert project.planned(*change, "--", "compare") == {"stability": 1, "compare": 1}


def test_a_lost_phantom_study_makes_the_tables_of_birads_again(project: Project) -> None:
    project.snakemake("birads")
    (project.root / "results" / "phantom" / "study" / "manifest.csv").unlink()
    assert project.planned("birads") == {"phantom": 1, "birads": 1}
