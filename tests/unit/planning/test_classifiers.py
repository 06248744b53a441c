"""What the job of a classifier reads and needs follows from its input, its network and its vectors."""

from __future__ import annotations

from typing import Any

import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError
from mammoflow.planning.classifiers import (
    classifier_inputs,
    classifier_modules,
    job_memory_mb,
    model_options,
)

RUN = "results/phantom"


def config_of(**classification: Any) -> StudyConfig:
    return validate_settings(StudyConfig, {"classification": classification}, "test")


def entry(name: str, **changes: Any) -> StudyConfig:
    return config_of(classifiers={name: changes})


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("efficientnet_whole_image", set()),
        ("efficientnet_masked_crop", {"masks", "scores"}),
        ("efficientnet_whole_image_radiomics", {"features", "scores"}),
        ("perceptron_frozen", {"masks", "scores", "prompts"}),
    ],
)
def test_a_job_reads_what_its_input_and_vectors_need(name: str, read: set[str]) -> None:
    inputs = classifier_inputs(StudyConfig(), name)
    assert {key for key, files in inputs.items() if files} == {"images", "lesions"} | read
    assert inputs["images"] == [f"{RUN}/images/00/images.parquet", f"{RUN}/images/01/images.parquet"]


@pytest.mark.parametrize(
    ("options", "read"),
    [
        ({}, {"masks", "scores"}),
        ({"centre": "box"}, set()),
        ({"centre": "box", "mask_channel": True}, {"masks", "scores"}),
    ],
)
@pytest.mark.parametrize("name", ["context_crop", "context_two_views"])
def test_a_context_crop_reads_masks_only_where_it_looks_at_them(
    name: str, options: dict[str, object], read: set[str]
) -> None:
    config = entry("crop", input=name, network="efficientnet_b0", input_options=options)
    inputs = classifier_inputs(config, "crop")
    assert {key for key, files in inputs.items() if files} == {"images", "lesions"} | read


def test_a_batch_of_two_views_takes_twice_the_memory() -> None:
    one, two = (
        job_memory_mb(entry("crop", input=name, network="resnet_small", batch_size=100), "crop")
        for name in ("context_crop", "context_two_views")
    )
    assert two - one == pytest.approx(100 * 6 * (160 / 128) ** 2, abs=1)


def test_tables_of_every_family_are_read() -> None:
    config = entry("efficientnet_whole_image", vectors=["gabor", "radiomics"])
    assert classifier_inputs(config, "efficientnet_whole_image")["features"] == [
        f"{RUN}/features/{family}/{shard}.parquet" for family in ("gabor", "radiomics") for shard in ("00", "01")
    ]


def test_features_of_reference_masks_rest_on_no_model() -> None:
    values = {"features": {"families": {"radiomics": {"mask": "reference"}}}}
    config = validate_settings(StudyConfig, values, "test")
    assert classifier_inputs(config, "efficientnet_whole_image_radiomics")["scores"] == []


def test_weights_of_network_and_promptable_model_are_inputs() -> None:
    config = entry("efficientnet_whole_image", weights="b0.pth")
    assert classifier_inputs(config, "efficientnet_whole_image")["weights"] == ["b0.pth"]
    values = {"segmentation": {"run": ["sam_vit_b"], "default_model": "sam_vit_b"}}
    config = validate_settings(StudyConfig, values, "test")
    assert classifier_inputs(config, "perceptron_frozen")["model_weights"] == ["weights/sam_vit_b_01ec64.pth"]
    assert classifier_inputs(config, "efficientnet_masked_crop")["model_weights"] == []


def test_an_input_may_name_its_model() -> None:
    values = {
        "segmentation": {"run": ["small", "sam_vit_b"]},
        "classification": {
            "run": ["embedding"],
            "classifiers": {
                "embedding": {
                    "input": "whole_image_embedding", "network": "perceptron", "input_options": {"model": "sam_vit_b"},
                }
            },
        },
    }  # fmt: skip
    config = validate_settings(StudyConfig, values, "test")
    inputs = classifier_inputs(config, "embedding")
    assert inputs["model_weights"] == ["weights/sam_vit_b_01ec64.pth"]
    assert inputs["scores"][0] == f"{RUN}/segmentation/sam_vit_b/00/scores.parquet"
    assert inputs["masks"] == inputs["prompts"] == []
    assert model_options(config, "embedding")[:4] == ["--model", "sam_vit_b", "--architecture", "sam_vit_b"]
    assert classifier_modules(config, "embedding")[-1] == "mammoflow.segmentation.models.sam"
    values["segmentation"] = {"run": ["small"]}
    with pytest.raises(ConfigError, match=r"input_options.model is 'sam_vit_b'; expected one of segmentation.run"):
        validate_settings(StudyConfig, values, "test")


def test_code_is_that_of_stage_input_network_trainer_and_promptable_model() -> None:
    config = StudyConfig()
    assert classifier_modules(config, "efficientnet_whole_image") == (
        "mammoflow.classification.stage",
        "mammoflow.classification.inputs.whole_image",
        "mammoflow.classification.networks.efficientnet_b0",
        "mammoflow.training.trainers.supervised",
    )
    assert classifier_modules(config, "perceptron_frozen")[-1] == "mammoflow.segmentation.models.small"


def test_only_a_classifier_with_a_promptable_model_is_told_of_one() -> None:
    values = {"store": "a store", "prompts": {"default_margin_mm": 5.0}}
    config = validate_settings(StudyConfig, values, "test")
    assert model_options(config, "efficientnet_masked_crop") == []
    assert model_options(config, "perceptron_frozen") == [
        *("--model", "small", "--architecture", "small", "--store", "a store"),
        *("--default-margin-mm", "5", "--precision", "auto", "--colour", "grey"),
    ]


def memory(config: StudyConfig, name: str) -> int:
    return job_memory_mb(config, name)


def test_memory_follows_batch_picture_network_and_promptable_model() -> None:
    name, plain = "efficientnet_whole_image", StudyConfig()
    base = memory(plain, name)
    assert 2000 < base < 6000
    assert memory(entry(name, batch_size=64), name) > base + 500
    larger = memory(entry(name, input_options={"image_px": 256}), name)
    assert larger - base == pytest.approx(3 * (memory(entry(name, batch_size=32), name) - base), rel=0.01)
    assert memory(plain, "perceptron_all_tuned") > memory(plain, "perceptron_decoder_tuned")
    assert memory(plain, "perceptron_all_tuned") > 4100  # what such a run was measured to take with this batch
    assert memory(plain, "perceptron_decoder_tuned") == memory(plain, "perceptron_frozen")
    values = {"segmentation": {"run": ["sam_vit_h"], "default_model": "sam_vit_h"}}
    sam = validate_settings(StudyConfig, values, "test")
    assert memory(sam, "perceptron_frozen") > memory(plain, "perceptron_frozen") + 5000
