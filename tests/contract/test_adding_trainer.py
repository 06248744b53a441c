"""The section on trainers is true: its module wraps a learner, trains it, and its configuration is accepted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.config.training import TRAINERS
from mammoflow.errors import ConfigError, StudyError
from mammoflow.run.provenance import code_digest
from mammoflow.training.learner import Learner, Stream
from mammoflow.training.loop import fit

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-model.md"


def block(language: str) -> str:
    """Return the only block of code in a language in the section on trainers."""
    section = PAGE.read_text(encoding="utf-8").partition("\n## A trainer\n")[2].partition("\n## ")[0]
    blocks = re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


@pytest.fixture
def consistency(add_member: Callable[..., Path]) -> None:
    """Add the module of the page to the trainers; nothing else changes."""
    add_member(TRAINERS, "consistency", block("python"))


def wrap(learner: Learner, stream: Stream, **options: float) -> Learner:
    """Return a learner under the trainer of the page."""
    trainer = TRAINERS.load("consistency")
    wrapped: Learner = trainer.wrap(learner, stream, trainer.Options(**options))
    return wrapped


@pytest.mark.usefixtures("consistency")
def test_the_printed_trainer_learns_from_both_streams(learners: ModuleType, tmp_path: Path) -> None:
    plain = learners.LineLearner()
    alone = fit(plain, learners.make_plan(), tmp_path / "alone", "line")
    learner = wrap(learners.LineLearner(), learners.unlabelled_batches, weight=5.0, ramp_epochs=1)
    both = fit(learner, learners.make_plan(), tmp_path / "both", "line")
    assert both.history[-1]["train_loss"] < both.history[0]["train_loss"]
    assert both.history[0]["train_loss"] != alone.history[0]["train_loss"]
    assert both.history[0].keys() == alone.history[0].keys()


@pytest.mark.usefixtures("consistency")
def test_its_loss_adds_the_difference_of_two_passes(learners: ModuleType) -> None:
    inner = learners.LineLearner()
    learner = wrap(inner, learners.unlabelled_batches, weight=2.0, ramp_epochs=4)
    batch = next(iter(learner.batches(0)))
    learner.mode(training=False)  # without dropout both passes are equal
    assert torch.equal(learner.loss(batch, 0, 0), inner.loss(batch[0], 0, 0))
    learner.mode(training=True)
    torch.manual_seed(1)
    loss = learner.loss(batch, 1, 0)
    torch.manual_seed(1)
    first, second = inner.outputs(batch[1]).sigmoid(), inner.outputs(batch[1]).sigmoid()
    expected = inner.loss(batch[0], 1, 0) + 2.0 * 2 / 4 * (second - first).square().mean()
    assert torch.allclose(loss, expected, atol=1e-6)


@pytest.mark.usefixtures("consistency")
def test_its_killed_training_continues_and_its_batches_are_halved(learners: ModuleType, tmp_path: Path) -> None:
    whole = wrap(learners.LineLearner(), learners.unlabelled_batches)
    fit(whole, learners.make_plan(), tmp_path / "whole", "line")
    killed = wrap(learners.KilledLearner(3), learners.unlabelled_batches)
    with pytest.raises(learners.Killed):
        fit(killed, learners.make_plan(), tmp_path / "killed", "line")
    resumed = wrap(learners.LineLearner(), learners.unlabelled_batches)
    assert fit(resumed, learners.make_plan(), tmp_path / "killed", "line").resumed_from == 3
    learners.assert_same(learners.weights_of(resumed), learners.weights_of(whole))
    batch = next(iter(whole.batches(0)))
    halves = whole.split(batch)
    assert [whole.size(half) for half in halves] == [2, 2]
    assert [len(half[1]) for half in halves] == [1, 1]


@pytest.mark.usefixtures("consistency")
def test_without_an_unlabelled_sample_it_says_what_to_do(learners: ModuleType, tmp_path: Path) -> None:
    learner = wrap(learners.LineLearner(), lambda _: [])
    with pytest.raises(StudyError, match=r"no unlabelled sample.*cohort\.unlabelled"):
        fit(learner, learners.make_plan(), tmp_path, "line")


@pytest.mark.usefixtures("consistency")
def test_the_printed_configuration_is_accepted_and_a_mistake_names_its_key() -> None:
    values = yaml.safe_load(block("yaml"))
    study = validate_settings(StudyConfig, values, "the configuration of the page")
    entry = study.classification.classifiers["context_crop"]
    assert (entry.trainer, entry.trainer_options.model_dump()) == ("consistency", {"weight": 0.5, "ramp_epochs": 5})
    values["classification"]["classifiers"]["context_crop"]["trainer_options"]["weight"] = -1.0
    with pytest.raises(ConfigError, match=r"context_crop\.trainer_options\.weight: found -1\.0"):
        validate_settings(StudyConfig, values, "the configuration")


def test_a_new_trainer_reruns_nothing(add_member: Callable[..., Path]) -> None:
    stage = ("mammoflow.classification.stage", "mammoflow.segmentation.training_stage")
    before = code_digest(*stage, TRAINERS.module("supervised"))
    add_member(TRAINERS, "consistency", block("python"))
    assert code_digest(*stage, TRAINERS.module("supervised")) == before
    assert "consistency" in TRAINERS.names()
