"""What every architecture of segmentation models keeps: data without torch, and a model that does its work."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch

from mammoflow.config.architectures import (
    ARCHITECTURE_MODULES,
    Architecture,
    architecture,
    architecture_names,
    module_of,
    published_names,
)
from mammoflow.segmentation.loading import build_model
from mammoflow.segmentation.protocol.automatic import AutomaticModel
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts

from ..helpers.thin_networks import make_thin

SIZE = (96, 72)
LIGHT = [
    name
    for module in ARCHITECTURE_MODULES.names()
    for name in list(ARCHITECTURE_MODULES.load(module).ARCHITECTURES)[:1]
    if architecture(name).segments and (architecture(name).memory_mb <= 4000 or not architecture(name).prompted)
]
"""Architectures that a test builds, one of each module; those of SAM are held to their upstream in their own tests."""


@pytest.fixture
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an architecture; automatic ones have thin sizes."""
    if not architecture(request.param).prompted:
        make_thin(monkeypatch)
    return str(request.param)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, SIZE, dtype=np.uint16)


def test_the_top_level_of_members_holds_data_and_imports_no_torch() -> None:
    modules = [ARCHITECTURE_MODULES.module(module) for module in ARCHITECTURE_MODULES.names()]
    program = (
        f"import importlib, sys\nfor name in {modules}:\n"
        "    member = importlib.import_module(name)\n"
        "    heavy = {'torch', 'numpy', 'segment_anything', 'sam2', 'timm'} & set(sys.modules)\n"
        "    assert not heavy, (name, heavy)\n    assert member.ARCHITECTURES, name"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("module", ARCHITECTURE_MODULES.names())
def test_a_member_builds_from_architecture_state_digest_and_device(module: str) -> None:
    build = ARCHITECTURE_MODULES.load(module).build
    assert list(inspect.signature(build).parameters) == ["architecture", "state", "digest", "device"]


@pytest.mark.parametrize("known_name", architecture_names())
def test_an_architecture_says_what_a_job_needs(known_name: str) -> None:
    known = architecture(known_name)
    assert isinstance(known, Architecture)
    assert known.memory_mb >= 500
    assert known.precision in ("auto", "fp32", "bf16", "fp16")
    assert (known.source is not None) == (known_name in published_names())
    assert [module for module in ARCHITECTURE_MODULES.names()
            if known_name in ARCHITECTURE_MODULES.load(module).ARCHITECTURES] == [module_of(known_name)]  # fmt: skip


@pytest.mark.parametrize("name", LIGHT, indirect=True)
def test_a_model_goes_from_a_canonical_image_to_a_mask_of_its_size(name: str, image: np.ndarray) -> None:
    torch.manual_seed(0)
    model = build_model(name, None, "random", torch.device("cpu"))
    assert not model.network.training
    inputs = model.preprocess(image)
    assert (inputs.ndim, inputs.dtype, inputs.device.type) == (3, torch.float32, "cpu")
    if isinstance(model, PromptableModel):
        assert architecture(name).prompted
        boxes = np.array([[10, 12, 40, 60], [30, 20, 60, 90]], dtype=np.float32)
        arrays = dict(model.encode([image])[0])
        decoded = model.decode(arrays, Prompts.of(boxes), SIZE)
        assert decoded.logits.shape == (2, 1, *SIZE)
        assert decoded.predicted_iou.shape == (2, 1)
        several = model.decode(arrays, Prompts.of(boxes, several_masks=True), SIZE)
        assert several.logits.shape == (2, 3, *SIZE)
        assert np.isfinite(decoded.logits).all()
        return
    assert isinstance(model, AutomaticModel)
    assert not architecture(name).prompted
    placed = model.input.place(image, (1.0, 1.0))
    (probability,) = model.probability_maps([placed])
    lesion = model.input.restore(probability, SIZE, (1.0, 1.0))
    assert (lesion.shape, lesion.dtype) == (SIZE, np.float32)
    assert 0 <= lesion.min() <= lesion.max() <= 1
    logits = model.logits(model.preprocess(placed)[None])
    assert logits.shape[:2] == (1, 1)
    logits.mean().backward()
    assert any(parameter.grad is not None for parameter in model.network.parameters())


@pytest.mark.parametrize("name", LIGHT, indirect=True)
def test_weights_come_back_and_name_and_digest_make_the_models_digest(name: str) -> None:
    torch.manual_seed(1)
    device = torch.device("cpu")
    model = build_model(name, None, "a", device)
    state = model.network.state_dict()
    again = build_model(name, dict(state), "a", device)
    assert again.digest == model.digest != build_model(name, dict(state), "b", device).digest
    assert all(torch.equal(tensor, again.network.state_dict()[key]) for key, tensor in state.items())
