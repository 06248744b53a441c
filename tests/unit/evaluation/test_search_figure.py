"""The figure of a search, from its table and record."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from mammoflow.errors import StudyError
from mammoflow.evaluation import search_figure
from mammoflow.evaluation.search_figure import best_so_far, draw_trials

TRIALS = pd.DataFrame({
    "number": [0, 1, 2, 3, 4],
    "state": ["failed", "complete", "pruned", "complete", "complete"],
    "value": [None, 0.7, 0.9, 0.65, 0.8],
    "standard_deviation": [None, 0.02, None, 0.03, 0.01],
    "learning_rate": [0.1, 1e-3, 1e-4, 1e-2, 2e-3],
    "hidden": ["[]", "[8]", "[]", "[8]", "[]"],
    "patience": ["null", "3", "null", "null", "3"],
    "keep": ["best_auc", "last", "last", "best_auc", "last"],
    "epochs": [4, 4, 8, 8, 4],
})  # fmt: skip
SPACE = {
    "learning_rate": {"low": 1e-5, "high": 0.1, "log": True},
    "hidden": [[], [8]],
    "patience": [None, 3],
    "keep": ["best_auc", "last"],
    "epochs": [4, 8],
}


def write(folder: Path) -> None:
    TRIALS.to_csv(folder / "trials.csv", index=False)
    record = {"search": "one", "subject": "mine", "figure": "mean Dice", "phantom": True, "space": SPACE}
    record["best"] = {"number": 4}
    (folder / "search.json").write_text(json.dumps(record), encoding="utf-8")


def test_the_best_so_far_is_that_of_complete_trials() -> None:
    assert np.isnan(best_so_far(TRIALS)[0])
    assert best_so_far(TRIALS)[1:].tolist() == [0.7, 0.7, 0.7, 0.8]


def test_one_panel_for_the_order_and_one_for_each_parameter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    drawn: dict[str, list[tuple[float, float]]] = {}
    draw = search_figure._draw_parameter

    def noted(axes: search_figure.Axes, trials: pd.DataFrame, key: str, space: object, best: int) -> None:
        draw(axes, trials, key, space, best)
        drawn[key] = [tuple(point) for point in axes.collections[0].get_offsets().tolist()]
        if key == "learning_rate":  # the axis shows the whole range; the trials use a part of it
            assert axes.get_xlim()[0] < 1e-5 < 0.1 < axes.get_xlim()[1] < 0.3

    monkeypatch.setattr(search_figure, "_draw_parameter", noted)
    draw_trials(tmp_path)
    assert (tmp_path / "trials.png").stat().st_size > 10_000
    values = [0.7, 0.9, 0.65, 0.8]  # the failed trial has none
    places = {
        "learning_rate": [1e-3, 1e-4, 1e-2, 2e-3], "hidden": [1, 0, 1, 0], "patience": [1, 0, 0, 1],
        "keep": [1, 1, 0, 1], "epochs": [0, 1, 1, 0],
    }  # fmt: skip
    assert drawn == {key: list(zip(at, values, strict=True)) for key, at in places.items()}


def test_words_of_a_list_are_whole_and_keep_apart(tmp_path: Path, drawn: list[Figure]) -> None:
    words = ["efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "a network with a name of many words", "vgg"]
    values = [3, [4, 5, 6, 7, 8, 9, 10], None, False]
    write(tmp_path)
    TRIALS.assign(width=words, steps=[json.dumps(value) for value in [*values, 3]]).to_csv(
        tmp_path / "trials.csv", index=False
    )
    record = json.loads((tmp_path / "search.json").read_text())
    record["space"] = {"width": words, "steps": values, "keep": SPACE["keep"]}
    (tmp_path / "search.json").write_text(json.dumps(record), encoding="utf-8")
    draw_trials(tmp_path)
    shown = [axes.get_xticklabels() for axes in drawn[0].axes[1:]]
    assert [label.get_text().replace("\n", " ") for label in shown[0]] == words
    assert [label.get_text() for label in shown[1]] == ["3", "[4, 5, 6, 7, 8, 9, 10]", "null", "false"]
    assert [label.get_rotation() for labels in shown for label in labels[:1]] == [90, 90, 0]
    for labels in shown:
        assert not any(one.get_window_extent().overlaps(other.get_window_extent()) for one, other in pairwise(labels))
    assert min(axes.get_position().height * drawn[0].get_figheight() for axes in drawn[0].axes) > 1


def test_a_record_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"search\.json cannot be read"):
        draw_trials(tmp_path)
