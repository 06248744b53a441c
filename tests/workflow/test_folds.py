"""A run that makes every fold, by dry runs: what is made once, and what for each fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Project

FOLDS = (
    "cohort: {split: {method: kfold, folds: 3}}\nclassification: {run: [efficientnet_whole_image, perceptron_frozen]}\n"
)
TRAINED = FOLDS + "segmentation: {run: [small, mine], models: {mine: {architecture: small, train: {recipe: small}}}}\n"
CLASSES = (
    "cohort: {classes: [normal, benign, malignant], split: {method: kfold, folds: 3}}\n"
    "classification: {run: [three, perceptron_frozen], classifiers: {three: {target: classes, input: whole_image, "
    "network: resnet_small}}}\n"
)
RESTING = TRAINED.replace("run: [small, mine]", "run: [small, mine], default_model: mine")


def planned(project: Project, overlay: str) -> dict[str, int]:
    path = project.root / "folds.yaml"
    path.write_text(f"run: folds\n{overlay}", encoding="utf-8")
    return project.planned("--configfile", str(path))


def test_images_masks_and_features_are_made_once_and_classifiers_for_each_fold(project: Project) -> None:
    jobs = planned(project, FOLDS)
    assert {name: jobs[name] for name in ("images_shard", "segment_shard", "features_shard")} == {
        "images_shard": 2,
        "segment_shard": 2,
        "features_shard": 4,
    }
    assert (jobs["fold"], jobs["train_classifier"], jobs["compare"], jobs["report"]) == (3, 6, 1, 1)
    assert jobs["saliency_maps"] == 3


def test_a_classifier_of_the_classes_of_images_is_trained_in_each_fold(project: Project) -> None:
    jobs = planned(project, CLASSES)
    assert (jobs["train_classifier"], jobs["train_class_classifier"], jobs["compare"]) == (3, 3, 1)
    assert "saliency_maps" not in jobs


def test_a_model_that_the_run_trains_is_trained_and_segments_in_each_fold(project: Project) -> None:
    jobs = planned(project, TRAINED)
    assert jobs["train_segmenter"] == 3
    assert jobs["segment_shard"] == 2 + 3 * 2
    assert jobs["features_shard"] == 4


def test_features_that_rest_on_such_a_model_are_made_for_each_fold(project: Project) -> None:
    assert planned(project, RESTING)["features_shard"] == 3 * 4


def test_one_fold_alone_is_an_ordinary_run(project: Project) -> None:
    jobs = planned(project, FOLDS.replace("folds: 3", "folds: 3, fold: 1"))
    assert "fold" not in jobs
    assert jobs["train_classifier"] == 2
