from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mammoflow.classification.cases import Samples
from mammoflow.classification.perceptron import FeatureClassifier, Perceptron
from mammoflow.classification.training import Fit, Plan, Scores, fit, predict
from mammoflow.errors import StudyError
from mammoflow.run.runtime import seed_everything
from mammoflow.training.fitting import Rows, batches, one_cycle

PLAN = Plan(6, 6, 8, 1e-3, 1e-2, 3, torch.device("cpu"))


def blobs(count: int = 60, distance: float = 2.0) -> tuple[np.ndarray, Samples]:
    generator = np.random.default_rng(1)
    labels = (np.arange(count) % 2).astype(np.float32)
    features = generator.normal(size=(count, 5)).astype(np.float32)
    features[:, 0] += distance * labels
    split = np.array(["train", "train", "validation"] * (count // 3), dtype=object)
    return features, Samples(labels, split, np.ones(count, dtype=np.bool_))


def classifier(
    features: np.ndarray, samples: Samples, kind: type[FeatureClassifier] = FeatureClassifier
) -> FeatureClassifier:
    seed_everything(0)
    return kind(Perceptron.fit_input(features[samples.labelled("train")], [16, 8], 0.3), features)


class Killed(RuntimeError):
    pass


class DyingClassifier(FeatureClassifier):
    """Dies in the middle of the fourth epoch."""

    steps = 0

    def forward(self, rows: Rows) -> Scores:
        self.steps += self.training
        if self.steps == 17:
            raise Killed
        return super().forward(rows)


def run(
    tmp_path: Path, name: str, plan: Plan = PLAN, kind: type[FeatureClassifier] = FeatureClassifier
) -> tuple[Fit, bytes]:
    features, samples = blobs()
    network = classifier(features, samples, kind)
    fitted = fit(network, samples, plan, tmp_path / name, name)
    return fitted, predict(network, np.arange(len(features)), plan).tobytes()


def test_a_killed_training_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole, expected = run(tmp_path, "whole")
    with pytest.raises(Killed):
        run(tmp_path, "killed", kind=DyingClassifier)
    resumed, found = run(tmp_path, "killed")
    assert (resumed.resumed_from, whole.resumed_from) == (3, 0)
    assert resumed.history == whole.history
    assert resumed.chosen_epoch == whole.chosen_epoch
    assert found == expected


class StandardisingClassifier(FeatureClassifier):
    """A classifier whose first layer keeps statistics of its own, as a promptable network may, in evaluation mode."""

    def __init__(self, perceptron: Perceptron, features: np.ndarray) -> None:
        super().__init__(perceptron, features)
        self.norm = torch.nn.BatchNorm1d(features.shape[1]).eval()
        self.perceptron.layers.insert(0, self.norm)


def test_a_part_in_evaluation_mode_keeps_its_statistics(tmp_path: Path) -> None:
    features, samples = blobs()
    network = classifier(features, samples, StandardisingClassifier)
    fit(network, samples, PLAN, tmp_path, "statistics")
    assert not torch.equal(network.norm.weight, torch.ones(5))
    assert torch.equal(network.norm.running_mean, torch.zeros(5))
    assert network.norm.num_batches_tracked == 0


def test_a_finished_training_is_not_done_again(tmp_path: Path) -> None:
    first, expected = run(tmp_path, "same")
    second, found = run(tmp_path, "same", kind=DyingClassifier)
    assert (second.history, found) == (first.history, expected)


def test_the_seed_decides(tmp_path: Path) -> None:
    assert run(tmp_path, "a") == run(tmp_path, "b")
    other = Plan(6, 6, 8, 1e-3, 1e-2, 4, torch.device("cpu"))
    assert run(tmp_path, "c", other)[1] != run(tmp_path, "d")[1]


def test_training_stops_early_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    features, samples = blobs(distance=0.0)  # nothing to learn: validation loss soon rises
    plan = Plan(80, 4, 8, 3e-2, 0.0, 0, torch.device("cpu"))
    network = classifier(features, samples)
    fitted = fit(network, samples, plan, tmp_path / "state", "noise")
    losses = [epoch["validation_loss"] for epoch in fitted.history]
    assert len(losses) < 80
    assert fitted.chosen_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == fitted.chosen_epoch + 4
    rows = samples.labelled("validation")
    probabilities = predict(network, rows, plan)
    weight = np.where(samples.labels[rows] == 1, 1.0, 1.0)  # as many malignant as benign in train
    truth = samples.labels[rows]
    loss = -np.mean(weight * (truth * np.log(probabilities) + (1 - truth) * np.log(1 - probabilities)))
    assert loss == pytest.approx(min(losses), rel=1e-4)


def test_a_loss_that_is_not_a_number_is_told(tmp_path: Path) -> None:
    features, samples = blobs()
    features[:, 1] = np.nan
    network = FeatureClassifier(Perceptron(torch.zeros(5), torch.ones(5), [4, 4], 0.0), features)
    with pytest.raises(StudyError, match="not a number"):
        fit(network, samples, PLAN, tmp_path / "state", "broken")


def test_batches_hold_each_row_once_and_none_is_single() -> None:
    rows = np.arange(17)
    parts = batches(rows, 8, np.random.default_rng(0))
    assert [len(part) for part in parts] == [8, 9]
    assert sorted(np.concatenate(parts).tolist()) == rows.tolist()
    assert np.concatenate(parts).tolist() != rows.tolist()
    assert batches(rows[:1], 8, None)[0].tolist() == [0]


@pytest.mark.parametrize("steps", [1, 2, 5, 100])
def test_learning_rate_rises_to_its_highest_and_falls(steps: int) -> None:
    shares = [one_cycle(step, steps) for step in range(steps)]
    assert max(shares) == pytest.approx(1.0)
    assert min(shares) > 0
    assert shares[-1] == min(shares) or steps < 3
