"""How a classifier learns: its loss, the statistics of batch normalisation, the epoch that is kept, its predictions."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mammoflow.classification.batches import Batch, Loader
from mammoflow.classification.classifier import Classifier
from mammoflow.classification.learner import ClassifierLearner
from mammoflow.classification.network import Network, VectorNetwork
from mammoflow.classification.networks import efficientnet_b0, perceptron
from mammoflow.classification.pictures import PictureSamples
from mammoflow.classification.samples import Samples
from mammoflow.classification.vectors import VectorSamples
from mammoflow.config.members import NoOptions
from mammoflow.config.pictures import PictureOptions
from mammoflow.errors import StudyError
from mammoflow.run.memory import NoMemoryError
from mammoflow.run.runtime import seed_everything
from mammoflow.training.loop import fit
from mammoflow.training.plan import Plan

SPLIT = np.array(["train", "train", "validation"] * 20, dtype=object)
LABELS = (np.arange(60) % 2).astype(np.float32)


def blobs(distance: float = 2.0) -> VectorSamples:
    vectors = np.random.default_rng(1).normal(size=(60, 5)).astype(np.float32)
    vectors[:, 0] += distance * LABELS
    return VectorSamples(vectors, LABELS, SPLIT, np.ones(60, dtype=np.bool_))


def pictures() -> PictureSamples:
    """Sixty noisy pictures, of which the malignant ones have a bright square."""
    generator = np.random.default_rng(0)
    levels = generator.normal(20000, 4000, (60, 64, 64))
    levels[LABELS == 1, 24:40, 24:40] += 20000
    rows = np.arange(60)
    grey = np.clip(levels, 0, 65535).astype(np.uint16)
    return PictureSamples(grey, rows, LABELS, SPLIT, rows, {}, PictureOptions())


def learner_of(samples: Samples, classifier: Classifier, keep: str = "last", seed: int = 0) -> ClassifierLearner:
    return ClassifierLearner(classifier, Loader(samples, None, 8, seed, 0), keep)  # type: ignore[arg-type]


def perceptron_learner(samples: VectorSamples, keep: str = "last") -> ClassifierLearner:
    seed_everything(0)
    network = perceptron.build(perceptron.Options(hidden=[16, 8]), None, samples.vectors.shape[1])
    return learner_of(samples, Classifier(network, *samples.levels(samples.labelled("train")), 0, 0.3), keep)


def plan(epochs: int, rate: float = 1e-3, patience: int | None = None) -> Plan:
    return Plan(epochs, patience, rate, 1e-2, 0, torch.device("cpu"))


def deviation_of_logits(learner: ClassifierLearner, mode: str, rows: np.ndarray) -> float:
    """Return the standard deviation of the logits with the running statistics, or with those of the batch."""
    learner.classifier.eval()
    if mode == "batch":
        for module in learner.classifier.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train()
    state = {name: tensor.clone() for name, tensor in learner.state().items()}
    with torch.no_grad():
        logits = torch.cat([learner.outputs(batch) for batch in learner.loader.plain(rows)])
    learner.load_state(state)
    learner.classifier.eval()
    return float(logits.std())


def test_a_network_with_batch_normalisation_says_in_evaluation_what_it_says_in_training(tmp_path: Path) -> None:
    samples = pictures()
    seed_everything(0)
    network = efficientnet_b0.build(NoOptions(), None, 0)
    learner = learner_of(samples, Classifier(network, *samples.levels(samples.labelled("train")), 0, 0.2))
    fit(learner, plan(2), tmp_path, "pictures")
    rows = samples.labelled("train")
    evaluated, batch = (deviation_of_logits(learner, mode, rows) for mode in ("running", "batch"))
    assert evaluated > 0.2 * batch
    # the statistics that training itself gathers lag behind: with them the network says the same of every picture
    lagging = learner_of(
        samples, Classifier(efficientnet_b0.build(NoOptions(), None, 0), *samples.levels(rows), 0, 0.2)
    )
    lagging.classifier.load_state_dict(learner.classifier.state_dict())
    for module in lagging.classifier.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    with torch.no_grad():
        lagging.classifier.train()
        for batch_of_rows in list(lagging.loader.plain(rows))[:5]:
            lagging.outputs(batch_of_rows)
    assert deviation_of_logits(lagging, "running", rows) < 0.2 * batch


class CountingNetwork(VectorNetwork):
    """A network with batch normalisation that counts how often it sees a vector."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), 4)
        self.passes = 0

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        self.passes += self.training
        return super().forward(inputs)


def test_each_training_batch_counts_once_and_statistics_are_those_of_training_samples(tmp_path: Path) -> None:
    samples = blobs()
    network = CountingNetwork()
    learner = learner_of(samples, Classifier(network, torch.zeros(5), torch.ones(5), 0, 0.0))
    fit(learner, plan(3), tmp_path, "statistics")
    assert network.passes == 3 * learner.steps()
    values = network.layers[0](torch.from_numpy(samples.vectors[samples.labelled("train")]))
    torch.testing.assert_close(network.layers[1].running_mean, values.mean(dim=0), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_head_computes_in_fp32_where_the_network_computes_in_bf16(outputs: int) -> None:
    torch.manual_seed(0)
    classifier = Classifier(
        VectorNetwork(nn.Identity(), 16), torch.zeros(16), torch.ones(16), 2, 0.0, (8,), outputs
    ).eval()
    inputs, vectors = {"vector": torch.randn(300, 16)}, torch.randn(300, 2)
    with torch.inference_mode():
        exact = classifier(inputs, vectors)
        with torch.autocast("cpu", torch.bfloat16):
            assert classifier.head[1](inputs["vector"].new_zeros(1, 18)).dtype == torch.bfloat16
            found = classifier(inputs, vectors)
    assert found.dtype == torch.float32
    assert torch.equal(found, exact)


def test_validation_holds_few_batches_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = perceptron_learner(blobs())
    plain = learner.loader.plain
    given: list[weakref.ref[Batch]] = []
    most = 0

    def noted(rows: np.ndarray, fewest: int = 1) -> Iterator[Batch]:
        nonlocal most
        for batch in plain(rows[np.repeat(np.arange(len(rows)), 4)], fewest):
            given.append(weakref.ref(batch))
            most = max(most, sum(each() is not None for each in given))
            yield batch

    learner.mode(training=False)
    monkeypatch.setattr(learner.loader, "plain", noted)
    with torch.no_grad():
        figures = learner.validate(0)
    assert len(given) >= 10
    assert most <= 3
    assert set(figures) == {"validation_loss", "validation_auc"}


class LimitedNetwork(VectorNetwork):
    """A network that runs out of memory with more than some samples where it computes no gradients."""

    def __init__(self, most: int) -> None:
        super().__init__(nn.Identity(), 5)
        self.most = most

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        if len(inputs["vector"]) > self.most and not torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().forward(inputs)


def test_validation_and_prediction_halve_batches_where_memory_runs_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for most in (2, 8):
        torch.manual_seed(0)
        learner = learner_of(blobs(), Classifier(LimitedNetwork(most), torch.zeros(5), torch.ones(5), 0, 0.0))
        history = fit(learner, plan(2), tmp_path / str(most), "limited").history
        found[most] = [row["validation_loss"] for row in history], learner.predict(plan(2))
        assert ("out of memory with 4 samples together" in capfd.readouterr().err) == (most == 2)
    assert found[2][0] == pytest.approx(found[8][0], rel=1e-5)
    np.testing.assert_allclose(found[2][1], found[8][1], rtol=1e-5, atol=1e-6)
    with pytest.raises(NoMemoryError, match="one at a time"):
        fit(
            learner_of(blobs(), Classifier(LimitedNetwork(0), torch.zeros(5), torch.ones(5), 0, 0.0)),
            plan(1),
            tmp_path / "none",
            "limited",
        )


def test_loss_weighs_both_classes_the_same() -> None:
    samples = blobs()
    samples.labels = np.where(np.arange(60) % 4 == 0, 1, 0).astype(np.float32)
    learner = perceptron_learner(samples)
    logits = torch.tensor([0.3, -0.8])
    malignant = float(learner.classification_loss(logits[:1], torch.tensor([1.0])))
    benign = float(learner.classification_loss(logits[1:], torch.tensor([0.0])))
    train = samples.labels[samples.labelled("train")]
    share = train.mean()
    assert malignant == pytest.approx((1 - share) / share * np.log1p(np.exp(-0.3)), rel=1e-6)
    assert benign == pytest.approx(np.log1p(np.exp(-0.8)), rel=1e-6)


def test_history_holds_the_same_quantity_for_training_and_validation(tmp_path: Path) -> None:
    samples = blobs()
    samples.split = np.array(["train"] * 40 + ["validation"] * 20, dtype=object)
    samples.vectors[40:], samples.labels = samples.vectors[:20], np.concatenate([LABELS[:40], LABELS[:20]])
    learner = perceptron_learner(samples)
    fitted = fit(learner, plan(1, rate=1e-9), tmp_path, "same")
    row = fitted.history[0]
    assert row["train_loss"] == pytest.approx(row["validation_loss"], rel=0.2)  # dropout, and no step to speak of
    assert {"epoch", "train_loss", "validation_loss", "validation_auc"} <= set(row)


@pytest.mark.parametrize("keep", ["last", "best_auc"])
def test_the_epoch_that_is_kept(tmp_path: Path, keep: str) -> None:
    learner = perceptron_learner(blobs(distance=0.0), keep)  # nothing to learn: the AUC goes up and down
    fitted = fit(learner, plan(20, rate=1e-2), tmp_path / keep, keep)
    assert len(fitted.history) == 20
    values = [epoch["validation_auc"] for epoch in fitted.history]
    smoothed = [np.mean(values[end - 3 : end]) for end in range(3, 21)]
    assert fitted.chosen_epoch == (20 if keep == "last" else int(np.argmax(smoothed)) + 3)


def test_patience_ends_the_schedule_only_where_it_is_set(tmp_path: Path) -> None:
    learner = perceptron_learner(blobs(distance=0.0), "best_auc")
    fitted = fit(learner, plan(80, rate=3e-2, patience=4), tmp_path, "patience")
    assert len(fitted.history) == fitted.chosen_epoch + 4 < 80


def test_predictions_are_those_of_the_kept_weights_and_undefined_without_an_input(tmp_path: Path) -> None:
    samples = blobs()
    samples.usable[7], samples.vectors[7] = False, np.nan
    learner = perceptron_learner(samples)
    chosen = plan(4, rate=1e-2)
    fitted = fit(learner, chosen, tmp_path, "predictions")
    probabilities = 1 / (1 + np.exp(-learner.predict(chosen)))
    assert np.flatnonzero(np.isnan(probabilities)).tolist() == [7]
    rows = samples.labelled("validation")
    truth, p = LABELS[rows], probabilities[rows]
    loss = -np.mean(learner.malignant_weight * truth * np.log(p) + (1 - truth) * np.log(1 - p))
    assert loss == pytest.approx(fitted.history[-1]["validation_loss"], rel=1e-4)


def test_a_loss_that_is_not_a_number_is_told(tmp_path: Path) -> None:
    samples = blobs()
    samples.vectors[:, 1] = np.nan
    network = perceptron.build(perceptron.Options(hidden=[4, 4]), None, 5)
    learner = learner_of(samples, Classifier(network, torch.zeros(5), torch.ones(5), 0, 0.0))
    with pytest.raises(StudyError, match=r"not finite|not a number"):
        fit(learner, plan(3), tmp_path, "broken")


@pytest.mark.parametrize(
    ("labels", "split", "message"),
    [
        ([1, 1, 0], ["train", "train", "validation"], "train has 2 malignant, 0 benign"),
        ([1, np.nan, 0], ["train", "train", "validation"], "train has 1 malignant, 0 benign, 1 without a label;"),
        ([1, 0, 0], ["train", "train", "test"], "validation has no labelled lesion"),
    ],
)
def test_studies_that_cannot_be_trained_on(labels: list[float], split: list[str], message: str) -> None:
    values = np.array(labels, np.float32)
    samples = VectorSamples(np.zeros((3, 1), np.float32), values, np.array(split, dtype=object), np.ones(3, np.bool_))
    with pytest.raises(StudyError, match=message):
        samples.check()


@pytest.mark.parametrize(
    ("fraction", "remedy"),
    [
        (1.0, r"classifier\. Add patients"),
        (0.05, r"classifier\. Raise few_labels\.fraction \(now 0\.05\), add patients"),
    ],
)
def test_rows_without_label_or_input_are_counted_where_train_lacks_a_class(fraction: float, remedy: str) -> None:
    labels, split = np.array([0, np.nan, np.nan, 1], np.float32), np.full(4, "train", dtype=object)
    samples = VectorSamples(np.zeros((4, 1), np.float32), labels, split, np.array([True, True, True, False]))
    counts = "0 malignant, 1 benign, 2 without a label, 1 without an input; expected both classes"
    with pytest.raises(StudyError, match=f"train has {counts}.*{remedy}"):
        samples.check(label_fraction=fraction)


@pytest.mark.parametrize(("flips", "views"), [("none", 1), ("horizontal", 2), ("all", 4)])
def test_predictions_average_the_logits_of_flipped_pictures(flips: str, views: int) -> None:
    class Corner(Network):
        """Reads the pixel of one corner."""

        width = 1

        def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            return inputs["picture"][:, :, 0, 0]

    samples = pictures()
    classifier = Classifier(Corner(), torch.zeros(1, 1, 1), torch.ones(1, 1, 1), 0, 0.0)
    learner = ClassifierLearner(classifier, Loader(samples, None, 8, 0, 0), "last", flips=flips)  # type: ignore[arg-type]
    weight, bias = (float(item.detach()) for item in classifier.head.parameters())
    corners = [(0, 0), (0, -1), (-1, 0), (-1, -1)][:views]
    levels = np.mean([samples.pictures[:, y, x] for y, x in corners], axis=0) / 65535
    np.testing.assert_allclose(learner.predict(plan(1)), weight * levels + bias, rtol=1e-4)


def test_without_class_weights_the_loss_is_plain() -> None:
    samples = blobs()
    samples.labels = np.where(np.arange(60) % 5 == 0, 1, 0).astype(np.float32)
    logits, labels = torch.tensor([0.4, -0.3]), torch.tensor([1.0, 0.0])
    losses = {}
    for weights in ("balanced", "none"):
        learner = perceptron_learner(samples)
        plain = ClassifierLearner(learner.classifier, learner.loader, "last", weights)  # type: ignore[arg-type]
        losses[weights] = float(plain.classification_loss(logits, labels))
    of_malignant, of_benign = np.log1p(np.exp(-0.4)), np.log1p(np.exp(-0.3))
    assert losses["none"] == pytest.approx((of_malignant + of_benign) / 2)
    assert losses["balanced"] == pytest.approx((4 * of_malignant + of_benign) / 2)
