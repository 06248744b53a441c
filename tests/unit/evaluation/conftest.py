"""Makes `made_up_scores` importable for the tests beside it, and keeps the figures that they draw."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from mammoflow.evaluation.drawing import DPI

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Return the list of the figures that the test draws, laid out as in their files, which are empty."""
    figures: list[Figure] = []

    def keep(figure: Figure, path: Path, **_: Any) -> None:
        if figure not in figures:
            figure.dpi = DPI
            figure.draw_without_rendering()  # texts get their places
            figures.append(figure)
        Path(path).touch()

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures
