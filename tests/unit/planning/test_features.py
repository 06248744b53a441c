"""What the job of a feature family needs."""

from __future__ import annotations

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.planning import workflow
from mammoflow.planning.features import (
    feature_gpus,
    feature_masks,
    feature_modules,
    resegments,
    stability_arguments,
    stability_gpus,
    stability_memory_mb,
)
from mammoflow.planning.models import segment_memory_mb


def config(**values: object) -> StudyConfig:
    return validate_settings(StudyConfig, values, "the configuration")


@pytest.mark.parametrize(("device", "present", "gpus"), [("cuda", False, 1), ("auto", True, 1), ("cpu", True, 0)])
def test_a_family_that_can_use_a_gpu_reserves_one_where_its_device_asks(monkeypatch, device, present, gpus):
    monkeypatch.setattr(workflow, "gpu_present", lambda: present)
    assert feature_gpus(config(features={"families": {"gabor": {"device": device}}}), "gabor") == gpus
    assert feature_gpus(config(device=device), "gabor") == gpus


def test_without_a_gpu_none_is_reserved(monkeypatch):
    monkeypatch.setattr(workflow, "gpu_present", lambda: False)
    assert feature_gpus(config(), "gabor") == 0


@pytest.mark.parametrize("device", ["cuda", "auto", "cpu"])
def test_a_family_of_the_cpu_reserves_no_gpu(monkeypatch, device):
    monkeypatch.setattr(workflow, "gpu_present", lambda: True)
    assert feature_gpus(config(device=device), "radiomics") == 0


def test_reference_masks_need_no_segmentation():
    study = config(run="study", features={"families": {"gabor": {"mask": "reference"}}})
    assert feature_masks(study, "gabor") == []
    assert feature_masks(study, "radiomics") == ["results/study/segmentation/small/{shard}/masks.parquet"]


def test_a_job_runs_the_stage_and_its_family():
    assert feature_modules("gabor") == ["mammoflow.features.stage", "mammoflow.features.families.gabor"]


def test_the_stability_needs_what_its_model_needs_where_it_segments_again():
    model = {"run": ["sam2.1_hiera_base_plus"], "default_model": "sam2.1_hiera_base_plus", "batch_images": 8}
    study = config(device="cuda", segmentation=model)
    assert stability_gpus(study) == 1
    assert stability_memory_mb(study) == segment_memory_mb(study, "sam2.1_hiera_base_plus") > 4000
    masks = {family: {"mask": "reference"} for family in ("gabor", "radiomics")}
    without = config(device="cuda", segmentation=model, features={"families": masks})
    assert (stability_gpus(without), stability_memory_mb(without)) == (0, 4000)


@pytest.mark.parametrize(
    "prompts",
    [
        {"kinds": ["point"]},
        {"kinds": ["point", "box"]},
        {"reference": False, "readers": [{"name": "A", "table": "boxes.csv"}]},
    ],
)
def test_the_stability_tries_other_boxes_only_of_masks_that_come_from_reference_boxes(prompts):
    assert resegments(config())
    assert resegments(config(prompts={"kinds": ["box", "point"]}))
    study = config(prompts=prompts, classification={"run": []})
    assert not resegments(study)
    assert stability_arguments(study, "settings.yaml") == []
