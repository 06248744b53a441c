"""Classifiers of the classes of images: what they cannot have, and what other stages make of them."""

from __future__ import annotations

from typing import Any

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.from_run import why_not
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError
from mammoflow.planning.classifiers import classifier_inputs, classifier_modules

THREE = {"target": "classes", "input": "whole_image", "network": "resnet_small"}
CLASSES = ["normal", "benign", "malignant"]


def config(classes: list[str] = CLASSES, changes: dict[str, Any] | None = None, **further: Any) -> StudyConfig:
    classifiers = {"three": {**THREE, **(changes or {})}}
    classification = {"run": ["three", "context_crop"], "classifiers": classifiers, **further.pop("classification", {})}
    values = {"cohort": {"classes": classes}, "classification": classification, **further}
    return validate_settings(StudyConfig, values, "test")


def test_the_job_reads_the_classes_and_runs_its_own_stage() -> None:
    found = config()
    assert (found.classification.of_classes(), found.classification.of_malignancy()) == (["three"], ["context_crop"])
    assert (found.classification.class_sides, found.classification.validation_classes) == (1, 1)
    assert config(changes={"keep": "best_auc"}).classification.class_sides == 2
    assert classifier_inputs(found, "three")["classes"] == ["results/phantom/cohort/classes.parquet"]
    assert classifier_inputs(found, "context_crop")["classes"] == []
    assert classifier_modules(found, "three")[0] == "mammoflow.classification.classes.stage"
    assert found.saliency.classifiers(found.classification) == ["context_crop"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": "context_crop"}, "input is context_crop.* whole images: whole_image, whole_image_embedding"),
        ({"network": "attention_crops"}, "network is attention_crops, whose own loss"),
        ({"vectors": ["gabor"]}, "vectors is .*no features of one lesion"),
        ({"covariates": ["density"]}, "covariates is .*belong to lesions"),
        ({"labels": "shuffled"}, "labels is 'shuffled'; expected 'true'"),
        ({"trainer": "mean_teacher"}, "trainer is 'mean_teacher'; expected 'supervised'"),
        ({"few_labels": {"fraction": 0.5}}, "few_labels.fraction is 0.5; expected 1"),
        ({"threshold": {"method": "fixed"}}, "threshold is set; expected none"),
    ],
)
def test_what_a_classifier_of_classes_cannot_have_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"classification.classifiers.three: target is classes and {message}") as said:
        config(changes=changes)
    assert str(said.value).count("\n") == 1


def test_other_stages_refuse_it_by_name() -> None:
    with pytest.raises(ConfigError, match=r"classifiers.three.target is classes, and cohort.classes is empty"):
        config([])
    search = {"rates": {"classifier": "three", "space": {"dropout": [0.0, 0.2]}}}
    with pytest.raises(ConfigError, match=r"searches.rates.classifier is 'three', whose target is classes"):
        config(classification={"searches": search})
    with pytest.raises(ConfigError, match=r"dicom.classifier is 'three'; expected .*target: malignant"):
        config(dicom={"classifier": "three"})
    with pytest.raises(ConfigError, match=r"saliency.run names 'three'"):
        config(saliency={"run": ["three"]})
    with pytest.raises(ConfigError, match=r"ensembles.both names 'three'"):
        config(comparison={"ensembles": {"both": ["three", "context_crop"]}})
    assert why_not({"settings": THREE}).startswith("tells classes of images apart")
