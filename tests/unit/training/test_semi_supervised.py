"""Losses of the trainers with unlabelled samples, against the same losses computed by hand."""

from __future__ import annotations

import copy
import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from mammoflow.config.training import TRAINERS
from mammoflow.errors import ConfigError, StudyError
from mammoflow.training.pseudo_labels import PseudoLabels, cross_entropy, dice, pseudo_loss
from mammoflow.training.second_network import second_network
from mammoflow.training.self_training import most_confident
from mammoflow.training.semi_supervised import SemiSupervisedLearner, ramp
from mammoflow.training.views import Mix, dropped_features, noisy, strong_view

LABELLED, OTHERS = np.array([0, 3, 5]), np.array([12, 14])
PAIR = (LABELLED, OTHERS)


def wrapped(learners: ModuleType, name: str, **options: Any) -> Any:
    """Return a line without dropout under a trainer whose weight has its full value at once."""
    learner = learners.LineLearner()
    learner.network[2].p = 0.0
    values = {"ramp_share": 0.0, "start_share": 0.0, **options}
    trainer = TRAINERS.load(name)
    result = trainer.wrap(learner, learners.unlabelled_batches, TRAINERS.options(name)(**values))
    result.mode(training=True)
    return result


def evaluated(network: nn.Module, values: Tensor) -> Tensor:
    """Return the outputs of a copy of a network in evaluation mode."""
    with torch.no_grad():
        output: Tensor = copy.deepcopy(network).eval()(values)
    return output


def trained(network: nn.Module, values: Tensor) -> Tensor:
    """Return the outputs of a copy of a network in training mode."""
    output: Tensor = copy.deepcopy(network).train()(values)
    return output


def value(loss: Tensor) -> float:
    """Return a loss as a number."""
    return float(loss.detach())


def supervised(learner: Any, network: nn.Module | None = None) -> Tensor:
    """Return the squared error of a network on the labelled rows."""
    inner = learner.inner
    return (trained(network or inner.network, inner.x[LABELLED]) - inner.y[LABELLED]).square().mean()


def test_the_weight_is_a_share_of_the_steps_of_the_run(learners: ModuleType) -> None:
    learner = wrapped(learners, "mean_teacher", weight=2.0, ramp_share=0.5, start_share=0.2)
    learner.begin(epochs=10)  # 30 steps, so that the last one is the 29th
    assert learner.weight(0, 0) == learner.weight(1, 2) == 0  # 5 / 29 of the run
    assert learner.weight(2, 0) == pytest.approx(2 * math.exp(-5 * (1 - 6 / 29 / 0.5) ** 2))
    assert learner.weight(5, 0) == pytest.approx(2.0)
    assert ramp(0) == pytest.approx(math.exp(-5))
    longer = wrapped(learners, "mean_teacher", weight=2.0, ramp_share=0.5, start_share=0.2)
    longer.begin(epochs=1000)
    assert longer.weight(200, 0) == pytest.approx(2 * math.exp(-5 * (1 - 600 / 2999 / 0.5) ** 2))


def test_mean_teacher_adds_the_squared_difference_to_the_teacher(learners: ModuleType) -> None:
    learner = wrapped(learners, "mean_teacher", weight=0.7, noise=0.0)
    teacher = copy.deepcopy(learner.network)
    teacher[0].weight.data += 0.5
    teacher[1].running_mean.fill_(0.2)  # the teacher has statistics of its own
    learner.teacher.tensors = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    x = learner.inner.x[OTHERS]
    difference = trained(learner.network, x).sigmoid() - evaluated(teacher, x).sigmoid()
    expected = supervised(learner) + 0.7 * difference.square().mean()
    assert value(learner.loss(PAIR, 0, 0)) == pytest.approx(value(expected), rel=1e-5)
    assert learner.network.training


def test_the_teacher_follows_with_its_statistics_and_is_what_is_kept(learners: ModuleType) -> None:
    learner = wrapped(learners, "mean_teacher", decay=0.9)
    start = {name: tensor.clone() for name, tensor in learner.network.state_dict().items()}
    with torch.no_grad():
        learner.network[0].weight += 1.0
        learner.network[1].running_mean += 4.0
        learner.network[1].num_batches_tracked += 7
    learner.after_step()  # 1 - 1 / 2 is below 0.9
    assert torch.allclose(learner.teacher.tensors["0.weight"], start["0.weight"] + 0.5)
    assert torch.allclose(learner.teacher.tensors["1.running_mean"], start["1.running_mean"] + 2.0)
    assert int(learner.teacher.tensors["1.num_batches_tracked"]) == 7
    for _ in range(20):
        learner.teacher.follow(0.9)
    learner.mode(training=False)
    figures = learner.validate(0)
    student = learner.network.state_dict()
    assert torch.equal(student["0.weight"], start["0.weight"] + 1.0)
    kept = learner.kept()
    assert torch.equal(kept["0.weight"], learner.teacher.tensors["0.weight"])
    learner.load_state(kept)
    assert learner.inner.validate(0) == figures


def test_uncertainty_aware_teacher_ignores_what_it_is_uncertain_of(learners: ModuleType) -> None:
    learner = wrapped(learners, "uncertainty_aware_mean_teacher", weight=1.0, noise=0.0, passes=3)
    learner.begin(epochs=2)
    learner.mode(training=True)
    x = learner.inner.x[OTHERS]
    learner.teacher.tensors["3.weight"].mul_(10)
    learner.teacher.tensors["3.bias"].sub_(evaluated_with(learner, x)[0])  # nothing is known of the first sample
    target = evaluated_with(learner, x).sigmoid()
    limit = (0.75 + 0.25 * math.exp(-5 * (1 - 3 / 5) ** 2)) * math.log(2)
    entropy = -(target * target.log() + (1 - target) * (1 - target).log())
    certain = entropy < limit
    assert certain.flatten().tolist() == [False, True]
    difference = (trained(learner.network, x).sigmoid() - target).square()
    expected = supervised(learner) + difference[certain].mean()
    assert value(learner.loss(PAIR, 1, 0)) == pytest.approx(value(expected), rel=1e-5)


def evaluated_with(learner: Any, values: Tensor) -> Tensor:
    """Return the outputs of the teacher of a learner."""
    network = copy.deepcopy(learner.network)
    network.load_state_dict(learner.teacher.tensors)
    return evaluated(network, values)


def test_cross_pseudo_supervision_teaches_hard_labels_both_ways(learners: ModuleType) -> None:
    learner = wrapped(learners, "cross_pseudo_supervision", weight=0.3)
    assert not torch.equal(learner.second[0].weight, learner.network[0].weight)
    x = learner.inner.x[OTHERS]
    first, second = trained(learner.network, x), trained(learner.second, x)
    crossed = binary_cross_entropy_with_logits(first, (second > 0).float())
    crossed = crossed + binary_cross_entropy_with_logits(second, (first > 0).float())
    expected = supervised(learner) + supervised(learner, learner.second) + 0.3 * crossed
    loss = learner.loss(PAIR, 0, 0)
    assert value(loss) == pytest.approx(value(expected), rel=1e-5)
    groups = learner.groups(0.1)
    assert [len(group["params"]) for group in groups] == [2 * len(list(learner.network.parameters()))]
    gradients = torch.autograd.grad(loss, groups[0]["params"])
    assert all(float(gradient.abs().sum()) > 0 for gradient in (gradients[0], gradients[-2]))
    # each network has the statistics of its own passes
    assert int(learner.second[1].num_batches_tracked) == int(learner.network[1].num_batches_tracked) == 2
    assert not torch.equal(learner.second[1].running_mean, learner.network[1].running_mean)


def test_only_the_last_layer_of_a_second_network_may_be_new() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    second = second_network(network, "head")
    assert torch.equal(second[0].weight, network[0].weight)  # type: ignore[index, union-attr]
    assert not torch.equal(second[2].weight, network[2].weight)  # type: ignore[index, union-attr]
    network[0].requires_grad_(False)
    assert torch.equal(second_network(network, "all")[0].weight, network[0].weight)  # type: ignore[index, union-attr]


def test_mutual_consistency_compares_each_decoder_with_the_sharpened_others(learners: ModuleType) -> None:
    learner = wrapped(learners, "mutual_consistency", weight=0.4, temperature=0.5)
    heads = [learner.network[-1], *learner.decoders]
    inner = learner.inner

    def outputs(rows: np.ndarray) -> list[Tensor]:
        features = trained(learner.network[:-1], inner.x[rows])
        return [head(features) for head in heads]

    def disagreement(rows: np.ndarray) -> Tensor:
        p = [each.sigmoid() for each in outputs(rows)]
        sharp = [each**2 / (each**2 + (1 - each) ** 2) for each in p]
        pairs = [(p[i] - sharp[j]).square().mean() for i in range(3) for j in range(3) if i != j]
        return torch.stack(pairs).mean()

    labelled = torch.stack([(each - inner.y[LABELLED]).square().mean() for each in outputs(LABELLED)]).mean()
    expected = labelled + 0.4 * (3 * disagreement(LABELLED) + 2 * disagreement(OTHERS)) / 5
    assert value(learner.loss(PAIR, 0, 0)) == pytest.approx(value(expected), rel=1e-5)


def test_mutual_consistency_refuses_a_network_without_decoders(learners: ModuleType) -> None:
    class Whole(learners.LineLearner):  # type: ignore[name-defined, misc]
        further_decoders = SemiSupervisedLearner.__mro__[2].further_decoders  # type: ignore[attr-defined]

    with pytest.raises(ConfigError, match=r"offers no further decoder; expected a U-Net, or another trainer"):
        TRAINERS.load("mutual_consistency").wrap(
            Whole(), learners.unlabelled_batches, TRAINERS.options("mutual_consistency")()
        )


def test_fixmatch_learns_confident_labels_of_the_weak_view(learners: ModuleType) -> None:
    learner = wrapped(learners, "fixmatch", weight=0.5, confidence=0.5 + 1e-6)
    x = learner.inner.x[OTHERS]
    weak = evaluated(learner.network, x).sigmoid()
    middle = float(torch.maximum(weak, 1 - weak).mean())  # one of the two is confident
    learner.confidence = middle
    confident = (torch.maximum(weak, 1 - weak) >= middle).float()
    assert int(confident.sum()) == 1
    torch.manual_seed(4)
    loss = learner.loss(PAIR, 0, 0)
    torch.manual_seed(4)
    strong = trained(learner.network, strong_view(x))
    terms = binary_cross_entropy_with_logits(strong, (weak >= 0.5).float(), reduction="none") * confident
    assert value(loss) == pytest.approx(value(supervised(learner) + 0.5 * terms.sum() / 2), rel=1e-5)


def test_unimatch_weighs_two_strong_views_and_one_with_dropped_features(learners: ModuleType) -> None:
    learner = wrapped(learners, "unimatch", confidence=0.5, drop=0.5)
    inner, x = learner.inner, learner.inner.x[OTHERS]
    target = (evaluated(learner.network, x) >= 0).float()
    torch.manual_seed(4)
    loss = learner.unlabelled_loss(OTHERS, 0, 0)
    torch.manual_seed(4)
    strong = [inner.outputs(OTHERS, strong_view) for _ in range(2)]
    terms = [binary_cross_entropy_with_logits(each, target) for each in strong]
    terms.append(2 * binary_cross_entropy_with_logits(inner.outputs(OTHERS, drop=0.5), target))
    assert value(loss) == pytest.approx(value(torch.stack(terms).sum()) / 4, rel=1e-5)


def test_self_training_learns_from_a_frozen_teacher_after_the_first_round(learners: ModuleType) -> None:
    learner = wrapped(learners, "self_training", confidence=0.5, keep_share=0.5, rounds=2)
    learner.begin(epochs=4)
    learner.mode(training=True)
    assert value(learner.loss(PAIR, 1, 0)) == pytest.approx(value(supervised(learner)), rel=1e-5)
    with torch.no_grad():
        learner.network[3].weight.mul_(3)
    list(learner.batches(1))
    assert not torch.equal(learner.teacher.tensors["3.weight"], learner.network[3].weight)
    list(learner.batches(2))  # the second round begins
    assert torch.equal(learner.teacher.tensors["3.weight"], learner.network[3].weight)
    x = learner.inner.x[OTHERS]
    labels = evaluated_with(learner, x)
    with torch.no_grad():
        learner.network[3].weight.mul_(0.5)
    list(learner.batches(3))
    probability = labels.sigmoid()
    chosen = torch.maximum(probability, 1 - probability).argmax()
    logits = trained(learner.network, x)
    term = binary_cross_entropy_with_logits(logits[chosen], (labels[chosen] >= 0).float())
    assert value(learner.loss(PAIR, 3, 0)) == pytest.approx(value(supervised(learner) + term / 2), rel=1e-5)


def test_samples_are_chosen_by_the_confidence_of_their_predicted_lesion() -> None:
    logits = torch.full((3, 1, 4, 4), -9.0)
    logits[0, 0, 0, 0] = 0.1  # an uncertain lesion; healthy tissue does not outweigh it
    logits[1, 0, 0, 0] = 3.0
    assert most_confident(logits, 2 / 3).tolist() == [False, True, True]
    assert most_confident(logits, 0.01).tolist() == [False, False, True]


def test_adversarial_losses_reach_only_their_own_weights(learners: ModuleType) -> None:
    learner = wrapped(learners, "adversarial", weight=0.2, width=4)
    learner.discriminator.eval()  # no dropout
    inner = learner.inner

    def shown(rows: np.ndarray) -> Tensor:
        return torch.cat([inner.x[rows], trained(learner.network, inner.x[rows]).sigmoid()], dim=1)

    real, false = learner.discriminator(shown(LABELLED)), learner.discriminator(shown(OTHERS))

    def entropy(logits: Tensor, label: float) -> Tensor:
        return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))

    expected = supervised(learner) + (entropy(real, 1) + entropy(false, 0)) / 2 + 0.2 * entropy(false, 1)
    loss = learner.loss(PAIR, 0, 0)
    assert value(loss) == pytest.approx(value(expected), rel=1e-5)
    own, of_network = (list(network.parameters()) for network in (learner.discriminator, learner.network))
    gradients = torch.autograd.grad(loss, [*own, *of_network], allow_unused=True)
    discrimination = (
        entropy(learner.discriminator(shown(LABELLED).detach()), 1)
        + entropy(learner.discriminator(shown(OTHERS).detach()), 0)
    ) / 2
    for gradient, other in zip(gradients, torch.autograd.grad(discrimination, own), strict=False):
        assert torch.allclose(gradient, other, atol=1e-6)
    assert float(gradients[len(own)].abs().sum()) > 0


def test_beside_a_discriminator_the_labelled_loss_is_the_learners_own(
    learners: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = wrapped(learners, "adversarial", weight=0.2, width=4)
    learner.discriminator.eval()
    before, own = value(learner.loss(PAIR, 0, 0)), learner.inner.loss
    monkeypatch.setattr(learner.inner, "loss", lambda *batch: own(*batch) + 3)  # such as that of further outputs
    assert value(learner.loss(PAIR, 0, 0)) == pytest.approx(before + 3, rel=1e-5)


def test_a_discriminator_needs_an_unlabelled_sample(learners: ModuleType) -> None:
    with pytest.raises(StudyError, match="no unlabelled sample"):
        TRAINERS.load("adversarial").wrap(learners.LineLearner(), lambda _: [], TRAINERS.options("adversarial")())


def test_pixels_that_are_not_confident_are_ignored_and_do_not_become_background() -> None:
    weak = torch.tensor([[[[5.0, -5.0], [0.5, -0.5]]]])
    labels = PseudoLabels.of(weak, 0.95)
    assert labels.target.flatten().tolist() == [1, 0, 1, 0]
    assert labels.valid.flatten().tolist() == [True, True, False, False]
    logits = torch.tensor([[[[1.0, 2.0], [3.0, -4.0]]]], requires_grad=True)
    p = [1 / (1 + math.exp(-value)) for value in (1.0, 2.0)]
    entropy = (-math.log(p[0]) - math.log(1 - p[1])) / 4
    overlap = 1 - (2 * p[0] + 1) / (p[0] + p[1] + 1 + 1)
    assert value(cross_entropy(logits, labels)) == pytest.approx(entropy, rel=1e-5)
    assert value(dice(logits, labels)) == pytest.approx(overlap, rel=1e-5)
    loss = pseudo_loss(logits, labels)
    assert value(loss) == pytest.approx((entropy + overlap) / 2, rel=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad.flatten() != 0).tolist() == [True, True, False, False]
    nothing = PseudoLabels(labels.target, torch.zeros_like(labels.valid))
    assert value(pseudo_loss(logits, nothing)) == 0


def test_background_stays_0_and_no_pixel_moves_in_strong_and_noisy_views() -> None:
    torch.manual_seed(0)
    pictures = torch.randn(3, 2, 8, 8)
    pictures[:, :, :, :3] = 0
    for view in (strong_view(pictures), noisy(pictures, 0.1)):
        assert torch.equal(view == 0, pictures == 0)
        assert not torch.equal(view, pictures)
    spread = (noisy(pictures, 0.1) - pictures).abs().amax(dim=(1, 2, 3)) / pictures[..., 3:].std(dim=(1, 2, 3))
    assert float(spread.max()) <= 0.21
    vectors = torch.randn(5, 7)
    assert strong_view(vectors).shape == vectors.shape


def test_cutmix_takes_rectangles_of_pictures_and_targets_alike() -> None:
    generator = torch.Generator().manual_seed(1)
    pictures = torch.arange(4.0)[:, None, None, None].expand(4, 2, 20, 10)
    mix = Mix.drawn(pictures, generator)
    mixed, targets = mix(pictures), mix(pictures[:, :1])
    assert torch.equal(mixed[:, :1], targets)
    for row in range(4):
        other = float(mix.partner[row])
        assert set(mixed[row].flatten().tolist()) <= {float(row), other}
        area = float(mix.inside[row].float().mean())
        assert 0.01 < area < 0.5
        inside = mix.inside[row, 0]
        assert int(inside.sum()) == int(inside.any(dim=1).sum() * inside.any(dim=0).sum())


def test_dropped_features_lose_whole_channels_for_a_while() -> None:
    layer = nn.Conv2d(1, 64, 1)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    torch.manual_seed(0)
    with dropped_features(layer, 0.5):
        values = layer(torch.ones(1, 1, 2, 2))
    channels = values[0].flatten(1)
    assert set(channels.flatten().tolist()) == {0.0, 2.0}
    assert torch.equal(channels.min(dim=1).values, channels.max(dim=1).values)
    assert set(layer(torch.ones(1, 1, 2, 2)).flatten().tolist()) == {1.0}
