"""What each loss of automatic segmentation keeps: no torch at its top level, finite values, better is smaller."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from mammoflow.config.mask_losses import MASK_LOSSES

NAMES = MASK_LOSSES.names()


def disc() -> Tensor:
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    return ((y - 14).hypot(x - 18) < 6).float()[None, None]


def value(name: str, logits: Tensor, targets: Tensor) -> Tensor:
    loss: Tensor = MASK_LOSSES.load(name).loss(logits, targets, MASK_LOSSES.options(name)())
    return loss


def test_the_top_level_of_losses_imports_no_torch() -> None:
    names = ", ".join(MASK_LOSSES.module(name) for name in NAMES)
    program = f"import sys, {names}; assert not {{'torch', 'numpy', 'scipy'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_better_mask_has_a_smaller_loss(name: str) -> None:
    target = disc()
    nearly = torch.roll(target, 2, dims=-1)
    values = [float(value(name, 8 * mask - 4, target)) for mask in (target, nearly, 1 - target)]
    assert values == sorted(values)
    assert values[0] < values[1] < values[2]


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_of_a_batch_is_the_mean_over_its_images(name: str) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 1, 32, 32)
    targets = torch.cat([disc(), torch.roll(disc(), 5, dims=-2)])
    parts = [value(name, logits[place, None], targets[place, None]) for place in (0, 1)]
    assert float(value(name, logits, targets)) == pytest.approx(float(torch.stack(parts).mean()), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", [disc(), torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32)])
def test_a_loss_and_its_gradient_are_finite_also_for_empty_masks(name: str, target: Tensor) -> None:
    logits = torch.linspace(-60, 60, 1024).reshape(1, 1, 32, 32).requires_grad_()
    loss = value(name, logits, target)
    loss.backward()
    assert loss.ndim == 0
    assert logits.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
