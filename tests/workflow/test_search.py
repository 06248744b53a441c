"""The target `search`, by dry runs: no job without a search, one for each search and fold, and none in `all`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Project

SEARCHES = (
    "classification: {run: [perceptron_frozen], searches: {rates: {classifier: perceptron_frozen, space: "
    "{learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}}}, sizes: {classifier: context_crop, space: "
    "{input_options.size_mm: [38.0, 48.0]}}}}\n"
)

MODELS = (
    "segmentation: {models: {mine: {architecture: unet_16, train: {recipe: automatic}}, tuned: {train: {recipe: tune, "
    "from: mine_too}}, mine_too: {architecture: small, train: {recipe: small}}}, searches: {losses: {model: mine, "
    "space: {loss: [dice_bce, tversky]}}, methods: {model: tuned, space: {jitter_mm: [1.0, 2.0]}}}}\n"
)


def planned(project: Project, overlay: str, *target: str) -> dict[str, int]:
    path = project.root / "search.yaml"
    path.write_text(f"run: searched\n{overlay}", encoding="utf-8")
    return project.planned("--configfile", str(path), *target)


def test_each_search_is_a_job_of_the_target_and_none_of_all(project: Project) -> None:
    jobs = planned(project, SEARCHES, "--", "search")
    assert (jobs["search_classifier"], jobs["images_shard"]) == (2, 2)
    assert "train_classifier" not in jobs
    assert "search_classifier" not in planned(project, SEARCHES)


def test_each_fold_has_a_search_of_its_own(project: Project) -> None:
    folds = "cohort: {split: {method: kfold, folds: 3}}\n"
    jobs = planned(project, SEARCHES + folds, "--", "search")
    assert (jobs["search_classifier"], jobs["fold"], jobs["images_shard"]) == (6, 3, 2)


def test_searches_of_models_are_jobs_of_the_same_target_and_none_of_all(project: Project) -> None:
    """The model that `tuned` starts from is trained before its search; searched models themselves are not."""
    jobs = planned(project, SEARCHES + MODELS, "--", "search")
    assert (jobs["search_classifier"], jobs["search_segmenter"], jobs["train_segmenter"]) == (2, 2, 1)
    assert "search_segmenter" not in planned(project, SEARCHES + MODELS)


def test_a_name_of_two_searches_stops_the_run(project: Project) -> None:
    path = project.root / "search.yaml"
    path.write_text(SEARCHES + MODELS.replace("losses:", "rates:"), encoding="utf-8")
    printed = project.snakemake("--dry-run", "--configfile", str(path), "--", "search", check=False)
    assert "segmentation.searches and classification.searches both name 'rates'" in printed
