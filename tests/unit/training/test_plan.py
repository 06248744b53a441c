"""Learning rate and momentum of each step, and plans from settings."""

from __future__ import annotations

import math

import pytest
import torch

from mammoflow.config.training import TrainingSettings
from mammoflow.training.plan import OneCycle, Plan, Plateau


def test_rate_rises_along_a_line_and_falls_along_a_cosine() -> None:
    rates = [OneCycle().rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 20)
    assert rates[19] == rates[20] == 1
    assert rates[60] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.5)))
    assert rates[-1] < 0.001
    assert all(0 < rate <= 1 for rate in rates)
    assert OneCycle(final_share=0.1).rate(100, 100) == pytest.approx(0.1)


@pytest.mark.parametrize("steps", [7, 30, 250])
def test_cosine_rise_is_that_of_torch(steps: int) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([parameter], 0.002)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 0.002, total_steps=steps + 1, pct_start=0.2, div_factor=20, final_div_factor=20
    )
    ours = OneCycle(0.2, 1 / 20, 1 / 400, "cosine", (0.95, 0.85))
    for step in range(steps):
        group = optimiser.param_groups[0]
        assert 0.002 * ours.rate(step, steps) == pytest.approx(group["lr"], rel=1e-9)
        assert ours.beta(step, steps) == pytest.approx(group["betas"][0], rel=1e-9)
        optimiser.step()
        schedule.step()


def test_plan_of_settings() -> None:
    settings = TrainingSettings(epochs=3, patience=2, learning_rate=0.1, weight_decay=0.2, seed=5)
    plan = Plan.of(settings, torch.device("cpu"))
    assert (plan.epochs, plan.patience, plan.learning_rate, plan.weight_decay, plan.seed) == (3, 2, 0.1, 0.2, 5)
    assert plan.precision == "32-true"
    assert TrainingSettings().patience is None


def test_a_plateau_gives_the_rates_of_torchs_scheduler() -> None:
    losses = [1.0, 0.9, 0.9, 0.89999, 0.95, 0.9, 0.5, float("nan"), 0.6, 0.6, 0.6, 0.6, 0.4999, 0.499, 0.499, 0.49]
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.1, patience=2)
    schedule, history = Plateau(2, 0.1), []
    for loss in losses:
        scheduler.step(loss)
        history.append({"validation_loss": loss})
        assert schedule.share(history) == pytest.approx(optimiser.param_groups[0]["lr"])
    assert schedule.share([]) == 1.0
    assert schedule.share(history) < 0.02
    assert Plan(1, None, 1.0, 0.0, 0, torch.device("cpu"), schedule=schedule).beta(0, 1) is None
