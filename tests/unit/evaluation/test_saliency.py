"""The table of saliency maps against values computed by hand, and the figure of learning curves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mammoflow.evaluation import learning_curves
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.learning_curves import draw_learning_curves, phase_ends
from mammoflow.evaluation.saliency import saliency_table

BOOTSTRAP = PatientBootstrap(200, 0.95, 0)
LESIONS = pd.DataFrame(
    {
        "lesion_id": ["a", "b", "c", "d", "e", "f"],
        "patient_id": ["P0", "P0", "P1", "P2", "P3", "P4"],
        "split": ["test", "test", "test", "test", "test", "train"],
        "malignant": [1, 1, 0, 0, 0, 1],
        "mask_file": ["a.png", "b.png", "c.png", None, "e.png", "f.png"],
    }
).set_index("lesion_id")


def maps(lesion: str, seed: int, hit: int | None, energy: float | None) -> dict[str, Any]:
    row = LESIONS.loc[lesion]
    return {
        "lesion_id": lesion, "patient_id": row["patient_id"], "malignant": row["malignant"], "model": "crops",
        "method": "grad_cam", "seed": seed, "pointing_hit": hit, "energy_inside": energy, "pointing_chance": 0.2,
        "centre_hit": 1, "mask_share": 0.1,
    }  # fmt: skip


ROWS = [
    maps("a", 0, 1, 0.6), maps("a", 1, 0, 0.2), maps("b", 0, 1, 0.8), maps("b", 1, 1, 1.0),
    maps("c", 0, None, None), maps("c", 1, None, None), maps("f", 0, 0, 0.0), maps("f", 1, 0, 0.0),
]  # fmt: skip


@pytest.fixture
def table() -> pd.DataFrame:
    rows = pd.DataFrame(ROWS).astype({"pointing_hit": "Int64", "malignant": "Int64", "centre_hit": "Int64"})
    run: Any = SimpleNamespace(saliency=rows)
    return saliency_table(run, LESIONS, BOOTSTRAP).set_index("group")


def test_values_are_means_over_test_lesions_each_with_the_mean_of_its_seeds(table: pd.DataFrame) -> None:
    row = table.loc["all"]
    assert row["pointing_game"] == pytest.approx((0.5 + 1) / 2)
    assert row["energy_inside"] == pytest.approx((0.4 + 0.9) / 2)
    assert row["pointing_difference"] == pytest.approx(0.75 - 0.2)
    assert row["energy_difference"] == pytest.approx(0.65 - 0.1)
    assert (row["pointing_chance"], row["pointing_centre"], row["mask_share"]) == pytest.approx((0.2, 1, 0.1))
    assert (row["n"], row["patients"], row["seeds"]) == (2, 1, 2)


def test_what_has_no_value_is_counted(table: pd.DataFrame) -> None:
    counts = table[["n", "nowhere_positive", "without_mask", "not_shown"]]
    assert counts.loc["all"].tolist() == [2, 1, 1, 1]
    assert counts.loc["malignant"].tolist() == [2, 0, 0, 0]
    assert counts.loc["benign"].tolist() == [0, 1, 1, 1]
    assert np.isnan(table.loc["benign", "energy_inside"])


def test_whole_patients_are_drawn() -> None:
    rows = pd.DataFrame([maps("a", 0, 1, 0.8), maps("b", 0, 1, 0.8), maps("c", 0, 0, 0.2), maps("e", 0, 0, 0.2)])
    run: Any = SimpleNamespace(saliency=rows)
    row = saliency_table(run, LESIONS, BOOTSTRAP).iloc[0]
    assert row["n"] == 4
    assert row["patients"] == 3
    expected = BOOTSTRAP.mean(np.array([0.8, 0.8, 0.2, 0.2]), ["P0", "P0", "P1", "P3"])
    assert (row["energy_inside_low"], row["energy_inside_high"]) == pytest.approx((expected.low, expected.high))
    assert row["energy_inside_low"] < 0.5 < row["energy_inside_high"]


def test_a_run_without_maps_has_no_rows() -> None:
    run: Any = SimpleNamespace(saliency=pd.DataFrame(ROWS[:0], columns=list(ROWS[0])))
    assert saliency_table(run, LESIONS, BOOTSTRAP).empty


def history(model: str, seed: int, fold: int, phases: dict[str, int]) -> pd.DataFrame:
    names = [phase for phase, epochs in phases.items() for _ in range(epochs)]
    epochs = [epoch for count in phases.values() for epoch in range(1, count + 1)]
    values = np.arange(len(names)) + 10 * seed + 100 * fold
    return pd.DataFrame(
        {
            "model": model, "seed": seed, "fold": fold, "phase": names, "epoch": epochs, "train_loss": values,
            "validation_loss": values + 0.5, "validation_auc": values / 1000,
        }
    )  # fmt: skip


def test_learning_curves_have_a_line_for_each_seed_and_fold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures = []

    @contextmanager
    def unsaved(_path: Path, _height: float) -> Iterator[Figure]:
        figures.append(Figure())
        yield figures[0]

    monkeypatch.setattr(learning_curves, "drawing", unsaved)
    together = {"network": 3, "together": 2}
    parts = [history("one", seed, fold, {"network": 4}) for fold in (0, 1) for seed in (0, 1)]
    second = history("two", 0, 0, together)
    second.loc[second["epoch"] == 1, ["validation_loss", "validation_auc"]] = np.nan  # not validated
    draw_learning_curves(tmp_path / "curves.png", pd.concat([*parts, second]), True, {"one": "The first"})
    loss, auc, loss_two, _ = figures[0].axes
    assert loss.get_title() == "The first: Loss"
    assert len(loss.lines) == 2 * 4
    assert len(auc.lines) == 4
    assert loss.lines[3].get_ydata().tolist() == [110, 111, 112, 113]  # the training loss of fold 1, seed 1
    *curves, phase = loss_two.lines
    assert [list(line.get_xdata()) for line in curves] == [[1, 2, 3, 4, 5], [2, 3, 5]]
    assert list(phase.get_xdata()) == [3.5, 3.5]


def test_a_phase_ends_where_the_next_begins() -> None:
    assert phase_ends(history("m", 0, 0, {"network": 3, "together": 2})) == [3]
    assert phase_ends(history("m", 0, 0, {"network": 3})) == []


def test_the_figure_is_written(tmp_path: Path) -> None:
    path = tmp_path / "learning_curves.png"
    draw_learning_curves(path, history("m", 0, 0, {"network": 1}), False, {})
    assert path.read_bytes()[:4] == b"\x89PNG"
