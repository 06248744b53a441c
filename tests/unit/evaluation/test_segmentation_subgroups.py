"""Subgroups of the score table, held to tables of their lesions alone; figures, held to the tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_scores import KEYS, lesions_of, masks, one
from matplotlib.figure import Figure

from mammoflow.evaluation import segmentation_figures
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.segmentation_diameter import diameter_correlation, dice_by_diameter
from mammoflow.evaluation.segmentation_subgroups import segmentation_subgroups
from mammoflow.evaluation.segmentation_tables import segmentation_table

BOOTSTRAP = PatientBootstrap(400, 0.95, 3)


def test_groups_have_the_numbers_of_a_table_of_their_lesions_alone() -> None:
    generator = np.random.default_rng(4)
    dice = {f"P{patient}{letter}": float(generator.uniform(0.1, 1)) for patient in range(8) for letter in "ab"}
    scores = pd.concat([masks(dice), masks(dict.fromkeys(dice, 0.5), model="ellipse")])
    known = lesions_of(scores)
    known["density"] = pd.array([1, 2, None, 4] * 4, dtype="Int64")
    known["lesion_type"] = ["mass", "calcification", "unknown", "mass"] * 4
    known["source"] = ["B", "A"] * 8
    known["malignant"] = pd.array([0, 1, 1, None] * 4, dtype="Int64")
    known["diameter_mm"] = [float(number) for number in range(1, 13)] + [np.nan] * 4
    table = segmentation_subgroups(scores, known, BOOTSTRAP)
    diameter = known["diameter_mm"]
    expected = {
        ("breast density", "1"): known["density"] == 1,
        ("breast density", "2"): known["density"] == 2,
        ("breast density", "4"): known["density"] == 4,
        ("breast density", "not known"): known["density"].isna(),
        **{("lesion type", name): known["lesion_type"] == name for name in ("mass", "calcification", "unknown")},
        **{("source", name): known["source"] == name for name in "AB"},
        ("label", "benign"): known["malignant"] == 0,
        ("label", "malignant"): known["malignant"] == 1,
        ("label", "not known"): known["malignant"].isna(),
        # Thirds of 1 to 12 mm end at 4.67 and 8.33 mm.
        ("longest diameter", "up to 4.7 mm"): diameter <= 4,
        ("longest diameter", "4.7 to 8.3 mm"): (diameter >= 5) & (diameter <= 8),
        ("longest diameter", "over 8.3 mm"): diameter >= 9,
        ("longest diameter", "not known"): diameter.isna(),
    }
    assert len(table) == 2 * len(expected)
    numbers = [name for name in table.columns if name not in {"grouping", "group", "mark", *KEYS}]
    for (grouping, group), members in expected.items():
        inside = known[members.fillna(False).to_numpy(dtype=bool)]
        alone = segmentation_table(scores[scores["lesion_id"].isin(inside.index)], inside, BOOTSTRAP)
        for model in ("small", "ellipse"):
            found = one(table, grouping=grouping, group=group, model=model)
            same = one(alone, split="test", model=model, selection="chosen")
            np.testing.assert_allclose(found[numbers].astype(float), same[numbers].astype(float), err_msg=group)
        values = [dice[lesion] for lesion in inside.index]
        small = one(table, grouping=grouping, group=group, model="small")
        assert (small["dice"], small["n"]) == (pytest.approx(sum(values) / len(values)), len(values))
        assert small["dice_difference"] == pytest.approx(sum(values) / len(values) - 0.5)


def test_groups_hold_only_masks_that_went_on_of_the_test_split() -> None:
    scores = pd.concat([masks({"P1a": 0.2, "P2a": 0.4}), masks({"P1a": 0.9, "P2a": 0.9}, iteration=2)])
    scores = pd.concat([scores, masks({"P1a": 0.7, "P2a": 0.7}, feed="box", chosen=False)])
    known = lesions_of(scores)
    known.loc["P2a", "split"] = "validation"
    table = segmentation_subgroups(scores, known, BOOTSTRAP)
    assert (table["dice"] == 0.2).all()
    assert (table["feed"] == "logits").all()
    assert (table["n"] == 1).all()


def test_several_masks_of_a_lesion_are_no_further_cases() -> None:
    drawn = pd.concat([masks({"P1a": 0.2, "P2a": 0.4}, origin="drawn", draw=draw) for draw in range(1, 6)])
    counted, shown = (
        segmentation_subgroups(drawn, lesions_of(drawn), BOOTSTRAP, fewest_cases=fewest).iloc[0] for fewest in (3, 2)
    )
    assert (counted["lesions"], counted["n"]) == (2, 10)
    assert np.isnan(counted["dice"])
    assert shown["dice"] == pytest.approx(0.3)


# Figures


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Keep the figures that are drawn, and write no picture."""
    figures: list[Figure] = []

    @contextmanager
    def keep(path: Path, height: float) -> Iterator[Figure]:
        figures.append(Figure(figsize=(5, height)))
        yield figures[-1]

    monkeypatch.setattr(segmentation_figures, "drawing", keep)
    return figures


def test_the_lines_of_the_margin_figure_are_the_rows_of_the_table(drawn: list[Figure], tmp_path: Path) -> None:
    parts = [masks({"P1a": 0.9 - margin / 50, "P2a": 0.8}, margin_mm=margin) for margin in (10.0, 0.0, 5.0)]
    parts += [masks({"P1a": 0.1, "P2a": 0.1}, margin_mm=margin, iteration=2) for margin in (0.0, 5.0, 10.0)]
    parts += [masks({"P1a": 0.5, "P2a": 0.3}, margin_mm=margin, model="ellipse") for margin in (0.0, 5.0, 10.0)]
    scores = pd.concat(parts)
    known = lesions_of(scores)
    known.loc["P3a"] = known.loc["P2a"].where(known.columns != "split", "train")
    table = segmentation_table(pd.concat([scores, masks({"P3a": 0.0}, margin_mm=0.0)]), known, BOOTSTRAP)
    segmentation_figures.draw_dice_against_margin(tmp_path / "drawn.png", table, phantom=True)
    axes = drawn[0].axes[0]
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()}
    assert lines["small"][0] == [0, 5, 10]
    assert lines["small"][1] == pytest.approx([0.85, 0.8, 0.75])
    assert lines["ellipse in the box (floor)"][1] == pytest.approx([0.4] * 3)
    (legend,) = drawn[0].legends
    assert legend.get_title().get_text() == "test split, n = 2 lesions"


def test_a_margin_looks_the_same_in_every_panel_of_the_iteration_figure(drawn: list[Figure], tmp_path: Path) -> None:
    both = [masks({"P1a": 0.5}, margin_mm=margin, iteration=turn) for margin in (0.0, 10.0) for turn in (1, 2)]
    late = [masks({"P1a": 0.4}, margin_mm=10.0, iteration=turn, model="other") for turn in (1, 2)]
    scores = pd.concat([*late, *both])
    table = segmentation_table(scores, lesions_of(scores), BOOTSTRAP)
    segmentation_figures.draw_dice_by_iteration(tmp_path / "drawn.png", table, phantom=False)
    looks: dict[str, set[str]] = {}
    for axes in drawn[0].axes:
        for line in axes.get_lines():
            looks.setdefault(str(line.get_label()), set()).add(f"{line.get_color()} {line.get_marker()}")
    assert {label: len(look) for label, look in looks.items()} == {"+0 mm": 1, "+10 mm": 1}
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["+0 mm", "+10 mm"]


def test_the_diameter_figure_shows_lesions_of_unknown_label_too(drawn: list[Figure], tmp_path: Path) -> None:
    table = masks({"P1a": 0.2, "P2a": 0.4, "P3a": 0.6, "P4a": 0.8})
    kept = table[["model", "field_of_view", "lesion_id", "prompt_id"]]
    known = lesions_of(table, malignant=pd.array([0, 1, None, None], dtype="Int64"))
    rows = dice_by_diameter(table, kept, known)
    segmentation_figures.draw_dice_against_diameter(
        tmp_path / "drawn.png", rows, diameter_correlation(rows, BOOTSTRAP), phantom=False
    )
    axes = drawn[0].axes[0]
    points = {str(part.get_label()): np.asarray(part.get_offsets()).tolist() for part in axes.collections}
    assert points == {
        "benign (1)": [[1, 0.2]],
        "malignant (1)": [[2, 0.4]],
        "label not known (2)": [[3, 0.6], [4, 0.8]],
    }
    assert "n = 4, r = 1.00, rho = 1.00" in axes.get_title(loc="center")
