"""What each method changes of a network, and that what it adds is nothing at first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from mammoflow.config.tuning import TuneSettings, TuningMethod
from mammoflow.errors import ConfigError
from mammoflow.segmentation.embedding.training_sources import EncoderSource
from mammoflow.segmentation.layers.adapters import insert_adapters
from mammoflow.segmentation.layers.attention_blocks import checkpointed, find_blocks
from mammoflow.segmentation.layers.high_frequency import high_pass, insert_high_frequency
from mammoflow.segmentation.loading import build_model
from mammoflow.segmentation.losses import segmentation_loss
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.segmentation.tuning.lora import insert_lora, merge_lora
from mammoflow.segmentation.tuning.methods import changing_state, prepare, set_mode

SIZE = (128, 128)
BOXES = torch.tensor([[20.0, 30.0, 80.0, 100.0], [5.0, 5.0, 60.0, 40.0]])
SETTINGS = TuneSettings(adapter_width=4, rank=2)


def scene() -> Tensor:
    return torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))


def logits(model: PromptableModel) -> Tensor:
    return model.predict(model.embed(scene()), Prompts(BOXES), SIZE).low_res_logits


def step(model: PromptableModel, method: TuningMethod, settings: TuneSettings = SETTINGS) -> set[str]:
    """Take one step and return the names of the parameters that changed; what the method added is among them."""
    prepared = prepare(model, method, settings)
    set_mode(prepared, training=True)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    prediction = model.predict(model.embed(scene()), Prompts(BOXES), SIZE)
    target = (torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(2)) > 0.5).float()
    segmentation_loss(prediction.low_res_logits, prediction.predicted_iou, target).backward()
    torch.optim.AdamW(prepared.groups, weight_decay=0.1).step()
    return {name for name, tensor in model.network.state_dict().items() if not torch.equal(tensor, before[name])}


def added(names: set[str]) -> set[str]:
    marks = ("parametrizations", ".adapter.", ".visual_prompts.", ".high_frequency.")
    return {name for name in names if any(mark in name for mark in marks)}


@pytest.fixture(params=["sam", "hiera"])
def model(request: pytest.FixtureRequest) -> PromptableModel:
    found: PromptableModel = request.getfixturevalue(request.param)
    return found


def test_tuning_the_decoder_changes_the_decoder_alone(model: PromptableModel) -> None:
    changed = step(model, "decoder")
    assert changed
    assert all("mask_decoder." in name for name in changed)
    assert not any("conv_s" in name for name in changed)


def test_tuning_all_changes_encoder_prompts_and_decoder(model: PromptableModel) -> None:
    changed = step(model, "all")
    for part in ("image_encoder.", "prompt_encoder.", "mask_decoder."):
        assert any(part in name for name in changed), part
    assert not any(name.startswith("memory") for name in changed)


@pytest.mark.parametrize("method", ["lora", "adapters", "sam_adapter", "vpt"])
def test_what_is_added_leaves_the_encoders_own_weights(model: PromptableModel, method: TuningMethod) -> None:
    changed = step(model, method)
    assert added(changed)
    assert all("image_encoder." in name for name in added(changed))
    assert all("mask_decoder." in name for name in changed - added(changed))
    assert not any(name.endswith(".original") for name in changed)


def test_bitfit_trains_the_biases_of_the_encoder_and_the_decoder(model: PromptableModel) -> None:
    changed = step(model, "bitfit")
    encoder = {name for name in changed if name.startswith("image_encoder.")}
    assert encoder
    assert all(name.endswith(".bias") for name in encoder)
    assert all("mask_decoder." in name for name in changed - encoder)


def test_the_prompt_encoder_can_be_trained_with_the_decoder(model: PromptableModel) -> None:
    changed = step(model, "decoder", SETTINGS.model_copy(update={"tune_prompt_encoder": True}))
    assert any("prompt_encoder." in name for name in changed)
    assert not any(name.startswith("image_encoder.") for name in changed)


@pytest.mark.parametrize("part", ["q", "k", "v"])
@pytest.mark.parametrize("architecture", ["sam_vit_b", "lite_medsam"])
def test_lora_of_a_part_changes_only_queries_keys_or_values(architecture: str, part: str) -> None:
    network = build_model(architecture, None, "thin", torch.device("cpu")).network
    attention = find_blocks(network)[-1].attn
    outputs, inputs = attention.qkv.weight.shape
    tokens = torch.randn(1, 3, inputs, generator=torch.Generator().manual_seed(1))

    def parts() -> list[Tensor]:
        mixed = attention.qkv(tokens)
        if architecture == "lite_medsam":  # head by head
            return list(mixed.view(3, attention.heads, -1).chunk(3, dim=-1))
        return list(mixed.view(3, 3, -1).unbind(1))

    before = parts()
    _, up = insert_lora(network, [part], 2, 2.0)[-2:]
    assert len(up) == outputs // 3
    nn.init.normal_(up)
    changed = [not torch.equal(one, other) for one, other in zip(parts(), before, strict=True)]
    assert changed == [name == part for name in ("q", "k", "v")]


def test_the_decoder_can_stay_frozen(sam: PromptableModel) -> None:
    changed = step(sam, "lora", SETTINGS.model_copy(update={"tune_decoder": False}))
    assert changed == added(changed)
    assert {name.rpartition(".")[2] for name in changed} == {"down", "up"}


@pytest.mark.parametrize("method", ["lora", "adapters", "sam_adapter"])
def test_what_is_added_changes_nothing_at_first(model: PromptableModel, method: TuningMethod) -> None:
    with torch.no_grad():
        before = logits(model)
        prepare(model, method, SETTINGS)
        assert torch.allclose(logits(model), before, atol=1e-6)


def test_merged_lora_is_the_network_with_lora(model: PromptableModel) -> None:
    names = set(model.network.state_dict())
    torch.manual_seed(0)
    with torch.no_grad():
        before = logits(model)
        for parameter in insert_lora(model.network, ["qkv", "proj"], 2, 8.0):
            parameter.normal_(std=0.1)
        unmerged = logits(model)
        merge_lora(model.network)
        assert (logits(model) - unmerged).abs().max() < 1e-5
        assert (unmerged - before).abs().max() > 1e-2
    assert set(model.network.state_dict()) == names


def test_lora_adds_alpha_over_rank_times_the_product(sam: PromptableModel) -> None:
    layer = find_blocks(sam.network)[0].attn.qkv
    weight = layer.weight.detach().clone()
    down, up = insert_lora(sam.network, ["qkv"], 2, 6.0)[:2]
    nn.init.normal_(up)
    assert torch.allclose(layer.weight, weight + 3.0 * up @ down, atol=1e-6)


def test_counts_of_what_is_trained(sam: PromptableModel) -> None:
    decoder = sum(item.numel() for item in sam.decoder.parameters())
    prepared = prepare(sam, "lora", SETTINGS)
    # two blocks of 24 channels: qkv 24 -> 72, proj 24 -> 24, rank 2
    assert prepared.trainable_parameters == decoder + 2 * 2 * ((24 + 72) + (24 + 24))
    assert {name for name in changing_state(sam.network) if "rel_pos" in name or "patch_embed" in name} == set()


def test_adapters_have_a_bottleneck_after_attention_and_mlp_of_each_block(sam: PromptableModel) -> None:
    numbers = sum(item.numel() for item in insert_adapters(sam.network, 4))
    assert numbers == 2 * 2 * (24 * 4 + 4 + 4 * 24 + 24)


def test_high_frequencies_are_what_is_far_from_the_middle_of_the_spectrum() -> None:
    columns = torch.arange(32.0)
    slow, fast = (torch.cos(2 * torch.pi * waves * columns / 32).expand(1, 3, 32, 32) for waves in (2, 12))
    assert high_pass(slow + 5).abs().max() < 1e-5
    assert torch.allclose(high_pass(fast + slow + 5), fast.abs(), atol=1e-5)


def test_high_frequencies_are_added_before_each_block(model: PromptableModel) -> None:
    parameters = insert_high_frequency(model.network)
    assert all(one is other for one, other in zip(insert_high_frequency(model.network), parameters, strict=True))
    frequency: Any = model.network.image_encoder.high_frequency
    blocks = find_blocks(model.network)
    assert sum(len(stage.of_block) for stage in frequency.stages) == len(blocks)
    torch.manual_seed(0)
    for parameter in parameters:
        nn.init.normal_(parameter)
    taken: list[Tensor] = []
    hook = blocks[0].register_forward_pre_hook(lambda _, given: taken.append(given[0]), prepend=True)
    seen = blocks[0].register_forward_pre_hook(lambda _, given: taken.append(given[0]))
    both = torch.cat([scene(), scene().flip(-1)])
    with torch.no_grad():
        together = model.embed(both)["image"]
        apart = torch.cat([model.embed(both[:1])["image"], model.embed(both[1:])["image"]])
    hook.remove()
    seen.remove()
    assert torch.allclose(together, apart, atol=1e-5)
    stage, (before, after) = frequency.stages[0], taken[:2]
    patches = stage.patches(high_pass(both)).permute(0, 2, 3, 1)
    hidden = nn.functional.gelu(stage.of_block[0](patches + stage.tokens(before)))
    assert torch.allclose(after, before + stage.up(hidden), atol=1e-5)


def test_adapters_that_are_there_are_trained_further(sam: PromptableModel) -> None:
    for parameter in insert_adapters(sam.network, 4):
        nn.init.normal_(parameter, std=0.5)
    with torch.no_grad():
        before = logits(sam)
        prepared = prepare(sam, "adapters", SETTINGS)
        assert torch.equal(logits(sam), before)
    there = {id(item) for name, item in sam.network.named_parameters() if ".adapter." in name}
    assert there == {id(item) for item in prepared.groups[0]["params"]}
    with pytest.raises(ConfigError, match=r"adapter_width is 6.*of width 4"):
        prepare(sam, "adapters", SETTINGS.model_copy(update={"adapter_width": 6}))


def test_a_network_without_attention_is_refused() -> None:
    network = nn.Module()
    network.image_encoder = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(ConfigError, match=r"lora needs attention.*decoder or all"):
        insert_lora(network, ["qkv"], 2, 2.0)
    with pytest.raises(ConfigError, match="adapters needs attention"):
        insert_adapters(network, 4)


def test_gradients_are_the_same_when_blocks_are_computed_again(sam: PromptableModel) -> None:
    prepared = prepare(sam, "all", SETTINGS)
    logits(sam).square().mean().backward()
    expected = [None if item.grad is None else item.grad.clone() for item in prepared.parameters]
    sam.network.zero_grad()
    with checkpointed(sam.network):
        logits(sam).square().mean().backward()
    assert all("forward" not in vars(block) for block in find_blocks(sam.network))
    for item, gradient in zip(prepared.parameters, expected, strict=True):
        assert (item.grad is None) == (gradient is None)
        if gradient is not None and item.grad is not None:
            assert torch.allclose(item.grad, gradient, atol=1e-7)


def test_a_frozen_part_stays_in_evaluation_mode(sam: PromptableModel, tmp_path: Path) -> None:
    prepared = prepare(sam, "decoder", SETTINGS)
    set_mode(prepared, training=True)
    assert (sam.decoder.training, sam.network.image_encoder.training) == (True, False)
    set_mode(prepared, training=False)
    assert not sam.decoder.training


def test_statistics_of_batch_normalisation_stay_as_they_are() -> None:
    torch.manual_seed(1)
    small = build_model("small", None, "random", torch.device("cpu"))
    prepared = prepare(small, "all", SETTINGS)
    set_mode(prepared, training=True)
    norms = [part for part in small.network.modules() if isinstance(part, nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)
    assert small.decoder.dropout.training
    assert all(norm.weight.requires_grad for norm in norms)


@pytest.mark.parametrize(("method", "parts"), [("decoder", ["decoder"]), ("all", ["decoder", "encoder"])])
def test_groups_are_by_part_each_with_its_rate(sam: PromptableModel, method: TuningMethod, parts: list[str]) -> None:
    settings = SETTINGS.model_copy(update={"learning_rate": 0.1, "encoder_learning_rate": 0.2})
    prepared = prepare(sam, method, settings)
    assert [group["part"] for group in prepared.groups] == parts
    assert [group["lr"] for group in prepared.groups] == [0.1, 0.2][: len(parts)]
    assert len({id(item) for item in prepared.parameters}) == len(prepared.parameters)
    assert prepared.encodes == (method == "all")


def test_blocks_are_computed_again_only_where_the_encoder_is_trained(sam: PromptableModel) -> None:
    blocks = find_blocks(sam.network)
    for method, settings, expected in [
        ("all", SETTINGS, True),
        ("decoder", SETTINGS, False),
        ("all", SETTINGS.model_copy(update={"gradient_checkpointing": False}), False),
    ]:
        prepared = prepare(sam, method, settings)  # type: ignore[arg-type]
        with prepared.recomputed():
            assert all(("forward" in vars(block)) == expected for block in blocks)
        assert not any("forward" in vars(block) for block in blocks)


def test_network_with_batch_normalisation_is_passed_through_once(tmp_path: Path) -> None:
    # a second pass for the gradient would count twice in the running statistics
    small = build_model("small", None, "random", torch.device("cpu"))
    prepared = prepare(small, "all", SETTINGS)
    source = prepared.embeddings(pd.DataFrame(), tmp_path)
    assert isinstance(source, EncoderSource)
    assert not source.recompute
    assert not EncoderSource(small, pd.DataFrame(), recompute=True).recompute
    source.cache.offer(0, small.preprocess(np.full((64, 48), 30_000, np.uint16)).numpy())
    small.network.train()
    source.embed(np.array([0]))["image"].square().mean().backward()
    norms = [part for part in small.network.image_encoder.modules() if isinstance(part, nn.BatchNorm2d)]
    assert norms
    assert {int(norm.num_batches_tracked) for norm in norms} == {1}
