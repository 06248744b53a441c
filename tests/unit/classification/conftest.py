"""Fixtures of the classifier tests."""

from __future__ import annotations

from typing import Any

import pytest
import torch


@pytest.fixture
def study(tiny_study: Any) -> Any:
    """Return a copy of the tiny study."""
    return tiny_study


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Compute on one thread."""
    torch.set_num_threads(1)
