"""Every classifier input: what its module declares, what its samples are, and that a training on it resumes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mammoflow.classification.batches import Batch
from mammoflow.classification.cases import read_cases
from mammoflow.classification.learner import ClassifierLearner
from mammoflow.classification.samples import Job, Samples
from mammoflow.config.classification import INPUTS, NETWORKS
from mammoflow.storage.files import read_mask, write_mask

KINDS = {"picture": 3, "vector": 1}
"""Axes of a sample of each kind; an input of several pictures has one more."""

QUICK = {"picture": "resnet_small", "vector": "perceptron"}
"""A network of each kind that trains in a moment."""

NEEDS = {"images", "masks", "prompts", "model"}
SMALL = {"image_px": 32}

pytestmark = pytest.mark.usefixtures("fake_model")


@pytest.fixture(params=INPUTS.names())
def name(request: pytest.FixtureRequest) -> str:
    """Return the name of one input after the other."""
    return str(request.param)


def options_of(name: str) -> Any:
    """Return the default options, with small pictures."""
    model = INPUTS.options(name)
    small = SMALL | {"grow_mm": 0.0}
    return model.model_validate({key: value for key, value in small.items() if key in model.model_fields})


def show_tissue_outside(study: Any) -> None:
    """Cut the breast regions down to the left half of the images: these films are black outside the breast."""
    for folder in study.images:
        for file in (folder / "breast").iterdir():
            region = read_mask(file)
            region[:, region.shape[1] // 2 :] = False
            write_mask(file, region)


def read(name: str, study: Any, cache: Path, each_lesion: bool = False) -> Samples:
    job = Job(cache, 1, torch.device("cpu"), each_lesion)
    if name == "outside_breast":
        show_tissue_outside(study)
    samples = INPUTS.load(name).read(options_of(name), read_cases(study.images), study.files(), job)
    assert isinstance(samples, Samples)
    return samples


def test_top_level_says_what_the_input_needs_and_gives(name: str) -> None:
    member = INPUTS.load(name)
    assert "images" in member.NEEDS
    assert set(member.NEEDS) <= NEEDS
    assert member.GIVES in KINDS
    assert [network for network in NETWORKS.names() if member.GIVES == NETWORKS.load(network).TAKES]


def test_no_input_loads_what_it_computes_with() -> None:
    modules = ", ".join(INPUTS.module(name) for name in INPUTS.names())
    code = f"import sys, {modules}; print(sorted(set(sys.modules) & {{'torch', 'pandas', 'cv2', 'torchvision'}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("each_lesion", [False, True])
def test_every_lesion_has_a_sample_and_every_sample_its_tensor(
    name: str, tiny_study: Any, tmp_path: Path, each_lesion: bool
) -> None:
    samples = read(name, tiny_study, tmp_path, each_lesion)
    lesions = len(tiny_study.lesions)
    assert samples.sample_of.shape == (lesions,)
    assert len(samples) == len(samples.labels) == len(samples.split) == len(samples.usable)
    assert samples.sample_of.max() < len(samples)
    if each_lesion:
        assert len(samples) == lesions
        np.testing.assert_array_equal(samples.sample_of, np.arange(lesions))
    samples.check()
    shapes = set()
    for row in np.flatnonzero(samples.usable):
        inputs = samples[int(row)]
        assert list(inputs) == [INPUTS.load(name).GIVES]
        tensor = inputs[INPUTS.load(name).GIVES]
        pictures = getattr(INPUTS.load(name), "PICTURES", None)
        assert (tensor.dtype, tensor.dim()) == (torch.float32, KINDS[INPUTS.load(name).GIVES] + (pictures is not None))
        assert pictures in (None, tensor.shape[0])
        assert (samples.combine is None) == (pictures is None)
        assert torch.isfinite(tensor).all()
        shapes.add(tensor.shape)
    assert len(shapes) == 1


def test_pictures_are_in_0_to_1(name: str, tiny_study: Any, tmp_path: Path) -> None:
    if INPUTS.load(name).GIVES != "picture":
        pytest.skip("gives vectors")
    samples = read(name, tiny_study, tmp_path)
    for row in range(len(samples)):
        picture = samples[row]["picture"]
        assert 0 <= picture.min() < picture.max() <= 1
        drawn = samples.drawn(row, np.random.default_rng(row))["picture"]
        assert drawn.shape == picture.shape
        assert 0 <= drawn.min() <= drawn.max() <= 1


def test_what_is_drawn_follows_from_the_generator_alone(name: str, tiny_study: Any, tmp_path: Path) -> None:
    samples = read(name, tiny_study, tmp_path)
    key = INPUTS.load(name).GIVES
    for row in range(3):
        one, other = (samples.drawn(row, np.random.default_rng([1, row]))[key] for _ in range(2))
        assert torch.equal(one, other)


def test_levels_go_with_a_sample_and_come_from_the_rows_that_are_named(
    name: str, tiny_study: Any, tmp_path: Path
) -> None:
    samples = read(name, tiny_study, tmp_path)
    mean, deviation = samples.levels(samples.labelled("train"))
    sample = samples[0][INPUTS.load(name).GIVES]
    assert ((sample - mean) / (deviation + 1)).shape == sample.shape
    assert (deviation >= 0).all()
    assert not torch.equal(samples.levels(samples.labelled("test"))[0], mean)


def test_digest_follows_the_content(name: str, tiny_study: Any, tmp_path: Path) -> None:
    before = read(name, tiny_study, tmp_path / "one").digest
    assert read(name, tiny_study, tmp_path / "two").digest == before
    image = next(iter(sorted((tiny_study.images[0] / "image").iterdir())))
    tiny_study.brighten(image)
    assert read(name, tiny_study, tmp_path / "three").digest != before


def test_a_killed_training_ends_with_the_same_weights(
    name: str, tiny: ModuleType, tiny_study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"input": name, "network": QUICK[INPUTS.load(name).GIVES], "epochs": 2, "device": "cpu"}
    values |= {"input_options": options_of(name).model_dump(), "batch_size": 8}
    whole = tiny.train(tiny_study, values, "whole")
    plain = ClassifierLearner.loss

    def die(learner: ClassifierLearner, batch: Batch, epoch: int, step: int) -> Tensor:
        if epoch == 1:
            raise KeyboardInterrupt
        return plain(learner, batch, epoch, step)

    monkeypatch.setattr(ClassifierLearner, "loss", die)
    with pytest.raises(KeyboardInterrupt):
        tiny.train(tiny_study, values, "killed")
    monkeypatch.setattr(ClassifierLearner, "loss", plain)
    tiny.assert_same_training(whole, tiny.train(tiny_study, values, "killed"), resumed_from=1)
