from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mammoflow.config.architectures import architecture, architecture_names
from mammoflow.config.inference import EncoderUse, Precision
from mammoflow.errors import ConfigError
from mammoflow.run.runtime import has_native_bf16
from mammoflow.segmentation.loading import build_model, load_promptable
from mammoflow.segmentation.models.small import ARCHITECTURES
from mammoflow.segmentation.precision import choose_precision, computing_in
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.weights.registry import ModelSpec

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True}, "fp32"),
        ({"avx512_bf16": False, "amx_bf16": False}, "fp32"),
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
    ],
)
def test_auto_on_a_cpu_follows_its_instructions(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: Precision
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_precision("auto", CPU) == expected


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_a_gpu_does_not_count_emulation(
    monkeypatch: pytest.MonkeyPatch, native: bool, expected: Precision
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert choose_precision("auto", GPU) == expected


def test_other_devices_compute_in_full_precision() -> None:
    assert not has_native_bf16(torch.device("mps"))


@pytest.mark.parametrize("wanted", ["fp32", "bf16"])
def test_wishes_pass_whatever_the_cpu_has(monkeypatch: pytest.MonkeyPatch, wanted: Precision) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert choose_precision(wanted, CPU) == wanted


def test_auto_is_full_precision_where_half_moved_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    policies = {name: architecture(name).precision for name in architecture_names()}
    never_rounded = {name for name, policy in policies.items() if policy == "fp32"}
    assert {"lite_medsam", "sam2.1_hiera_tiny", "unet", "unet_16"} <= never_rounded
    assert {"small", "sam_vit_b", "medsam_vit_b"} & never_rounded == set()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True, "amx_bf16": True})
    model = ModelSpec("small", "small")
    assert load_promptable(model, CPU, EncoderUse("auto")).precision == "bf16"
    exact = replace(ARCHITECTURES["small"], precision="fp32")
    monkeypatch.setitem(ARCHITECTURES, "small", exact)
    assert load_promptable(model, CPU, EncoderUse("auto")).precision == "fp32"
    assert load_promptable(model, CPU, EncoderUse("bf16")).precision == "bf16"


def test_fp16_is_for_gpus() -> None:
    assert choose_precision("fp16", GPU) == "fp16"
    with pytest.raises(ConfigError, match=r"segmentation\.precision is fp16.*CPU; expected auto, fp32 or bf16"):
        choose_precision("fp16", CPU)


@pytest.mark.parametrize(("precision", "kind"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_are_computed_in_it_and_weights_stay(precision: Precision, kind: torch.dtype) -> None:
    layer = torch.nn.Linear(4, 4)
    with computing_in(precision, CPU):
        assert layer(torch.ones(2, 4)).dtype == kind
    assert layer.weight.dtype == torch.float32
    assert layer(torch.ones(2, 4)).dtype == torch.float32


def test_embeddings_of_each_precision_are_kept_apart_and_are_chosen_once() -> None:
    def model(wanted: Precision) -> PromptableModel:
        torch.manual_seed(0)
        built = build_model("small", None, "random", CPU)
        built.use_precision(wanted)
        return built

    exact, rounded = model("fp32"), model("bf16")
    assert (exact.precision, rounded.precision) == ("fp32", "bf16")
    assert exact.digest == build_model("small", None, "random", CPU).digest
    assert exact.digest != rounded.digest
    with pytest.raises(ValueError, match="computes in bf16 already"):
        rounded.use_precision("fp32")
    image = np.random.default_rng(1).integers(0, 65536, (96, 72), dtype=np.uint16)
    first, second = (each.encode([image])[0]["image"].astype(np.float64) for each in (exact, rounded))
    assert 0 < np.linalg.norm(second - first) < 0.03 * np.linalg.norm(first)


@pytest.mark.parametrize("wanted", ["fp32", "bf16"])
def test_decoder_of_small_computes_in_the_precision_and_rates_masks_in_fp32(wanted: Precision) -> None:
    model = load_promptable(ModelSpec("small", "small"), CPU, EncoderUse(wanted))
    formats: dict[str, torch.dtype] = {}
    decoder = model.network.mask_decoder
    decoder.masks.register_forward_hook(lambda *call: formats.update(masks=call[2].dtype))
    decoder.iou[-1].register_forward_hook(lambda *call: formats.update(iou=call[2].dtype))
    film = np.tile(np.linspace(0, 60000, 80, dtype=np.uint16), (100, 1))
    decoded = model.decode(model.encode([film])[0], Prompts.of(np.array([[20, 20, 60, 70]], np.float32)), (100, 80))
    assert formats == {"masks": torch.bfloat16 if wanted == "bf16" else torch.float32, "iou": torch.float32}
    assert decoded.logits.dtype == decoded.predicted_iou.dtype == np.float32
    assert decoded.logits.shape == (1, 1, 100, 80)
