"""Running statistics of batch normalisation: recomputed, frozen, and the trap of passes that are computed twice."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from mammoflow.training.batch_norm import frozen_statistics, may_recompute, recompute_statistics


def make_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Dropout(0.5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 1))


def test_recomputed_statistics_are_those_of_the_batches() -> None:
    network = make_network().train()
    batches = [torch.randn(64, 3) * 3 + 5 for _ in range(4)]
    recompute_statistics(network, (partial(network, batch) for batch in batches))
    with torch.no_grad():
        inputs = torch.stack([network[0](batch) for batch in batches])
    assert torch.allclose(network[2].running_mean, inputs.mean(dim=(0, 1)), atol=1e-5)
    assert torch.allclose(network[2].running_var, inputs.var(dim=1).mean(dim=0), rtol=1e-5)
    assert network.training
    assert network[2].training
    assert network[2].momentum == 0.1


def test_outputs_in_evaluation_mode_are_useful_after_it() -> None:
    # statistics that lag behind the weights make a network nearly constant in evaluation mode
    network = make_network().eval()
    network[2].running_var.fill_(1e6)
    values = torch.randn(256, 3)
    lagging = network(values).std()
    recompute_statistics(network, [partial(network, values)])
    assert network(values).std() > 100 * lagging


def test_network_without_batch_normalisation_is_not_called() -> None:
    called: list[int] = []
    recompute_statistics(nn.Linear(1, 1), [lambda: called.append(1)])
    assert called == []


def test_modes_are_given_back_after_an_error() -> None:
    network = make_network().train()
    network[1].eval()
    with pytest.raises(ZeroDivisionError):
        recompute_statistics(network, [lambda: 1 / 0])
    assert [module.training for module in network] == [True, False, True, True, True]
    assert network[2].momentum == 0.1


def test_frozen_statistics_stay() -> None:
    network = make_network().train()
    frozen_statistics(network)
    before = network[2].running_mean.clone()
    network(torch.randn(8, 3))
    assert torch.equal(network[2].running_mean, before)
    assert network[1].training


def test_only_networks_without_batch_normalisation_may_be_passed_twice() -> None:
    assert may_recompute(nn.Linear(1, 1))
    assert not may_recompute(make_network())
