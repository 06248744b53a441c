"""Numbers that are trained, as they were published or follow from published layouts; networks without any memory."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import torch

from mammoflow.config.tuning import TuneSettings
from mammoflow.segmentation.loading import build_model
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.tuning.methods import prepare

META = torch.device("meta")
DECODER = 4_058_340


@pytest.fixture(scope="module", autouse=True)
def registry() -> None:
    """Leave the networks as they are published; the other tests of this folder have a thin one."""


@cache
def published(architecture: str) -> PromptableModel:
    with META:
        model = build_model(architecture, None, "none", META)
    assert isinstance(model, PromptableModel)
    return model


@pytest.mark.parametrize(
    ("architecture", "method", "options", "added"),
    [
        ("sam_vit_b", "decoder", {"tune_prompt_encoder": True}, 6_220),
        ("sam_vit_b", "all", {}, 93_735_472 - DECODER),
        # SAMed: rank 4 on the queries and values of each block
        ("sam_vit_b", "lora", {"lora_layers": ["q", "v"]}, 147_456),
        # Medical SAM Adapter: two bottlenecks of a quarter of the channels in each block
        ("sam_vit_b", "adapters", {"adapter_width": 192}, 2 * 12 * 295_872),
        ("sam_vit_b", "sam_adapter", {}, 63_312),
        ("sam_vit_b", "bitfit", {}, 102_656),
        ("sam_vit_b", "vpt", {"visual_prompts": 5}, 46_080),
        ("sam_vit_b", "vpt", {"visual_prompts": 10}, 92_160),
        ("sam_vit_b", "vpt", {"visual_prompts": 50}, 460_800),
        # PTSAM: 8 prompts in each of 12 layers
        ("sam_vit_b", "vpt", {"visual_prompts": 8}, 73_728),
        ("sam_vit_l", "vpt", {"visual_prompts": 50}, 1_228_800),
        ("sam_vit_l", "vpt", {"visual_prompts": 50, "prompted_layers": "global_only"}, 204_800),
    ],
)
def test_numbers_beside_those_of_the_decoder(
    architecture: str, method: Any, options: dict[str, Any], added: int
) -> None:
    model = copy.deepcopy(published(architecture))
    prepared = prepare(model, method, TuneSettings(method=method, **options))
    decoder = sum(item.numel() for group in prepared.groups for item in group["params"] if group["part"] == "decoder")
    assert decoder == DECODER + (6_220 if options.get("tune_prompt_encoder") else 0)
    assert prepared.trainable_parameters == DECODER + added
