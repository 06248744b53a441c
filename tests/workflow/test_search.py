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
