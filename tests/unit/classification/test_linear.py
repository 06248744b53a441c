"""The network without a layer: with the last layer of the head it is a logistic regression."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch.optim import LBFGS

from mammoflow.classification.batches import Loader
from mammoflow.classification.classifier import Classifier
from mammoflow.classification.learner import ClassifierLearner
from mammoflow.classification.networks import linear
from mammoflow.classification.vectors import VectorSamples
from mammoflow.config.members import NoOptions
from mammoflow.run.runtime import seed_everything
from mammoflow.training.loop import fit
from mammoflow.training.plan import Plan

LABELS = (np.arange(90) % 3 == 0).astype(np.float32)
SPLIT = np.array((["train"] * 6 + ["validation"] * 3) * 10, dtype=object)


@pytest.fixture
def learner() -> ClassifierLearner:
    """Return a learner of vectors whose first number tells a little of the label, all at scales of their own."""
    seed_everything(0)
    vectors = np.random.default_rng(1).normal(size=(90, 4)).astype(np.float32)
    vectors[:, 0] += 1.2 * LABELS
    vectors = vectors * np.array([1, 10, 100, 0.1], np.float32) + 3
    samples = VectorSamples(vectors, LABELS, SPLIT, np.ones(90, dtype=np.bool_))
    network = linear.build(NoOptions(), None, 4)
    classifier = Classifier(network, *samples.levels(samples.labelled("train")), 0, 0.0)
    return ClassifierLearner(classifier, Loader(samples, None, 60, 0, 0), "last", "none")


def test_its_optimum_is_that_of_logistic_regression(learner: ClassifierLearner) -> None:
    parameters = list(learner.classifier.parameters())
    assert sum(item.numel() for item in parameters) == 4 + 1
    batch = next(learner.loader.plain(learner.rows["train"]))
    optimiser = LBFGS(parameters, max_iter=200, tolerance_grad=1e-7, line_search_fn="strong_wolfe")

    def step() -> float:
        optimiser.zero_grad()
        loss = learner.loss(batch, 0, 0)
        loss.backward()
        return float(loss.detach())

    optimiser.step(step)
    vectors = batch.inputs["vector"].numpy().astype(np.float64)
    standard = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    expected = LogisticRegression(C=1e8, max_iter=2000, tol=1e-8).fit(standard, batch.labels.numpy())
    with torch.inference_mode():
        logits = learner.outputs(batch).numpy()
    np.testing.assert_allclose(logits, expected.decision_function(standard), atol=2e-3)


def test_weight_decay_shrinks_its_weights(learner: ClassifierLearner, tmp_path: Path) -> None:
    start = {name: tensor.clone() for name, tensor in learner.state().items()}
    norms = {}
    for decay in (0.0, 5.0):
        learner.load_state(start)
        fit(learner, Plan(20, None, 0.05, decay, 0, torch.device("cpu")), tmp_path / f"{decay}", "linear")
        norms[decay] = float(learner.classifier.head[-1].weight.detach().norm())
    assert norms[5.0] < 0.7 * norms[0.0]
