"""Groups of the test split: which there are, the difference to BI-RADS, and the test whether the AUC differs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.candidates import CLASSIFIER, FLOOR, READER, Candidate
from mammoflow.evaluation.forest_figure import _lines, draw_forest
from mammoflow.evaluation.paired import Paired
from mammoflow.evaluation.subgroups import NOT_KNOWN, size_thirds, subgroup_labels, subgroup_table

RULE = PatientBootstrap(100, 0.95, 0, 2)
N = 240


def lesions() -> pd.DataFrame:
    random = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "patient_id": [f"P{row // 2:03d}" for row in range(N)],
            "malignant": random.integers(0, 2, N),
            "lesion_type": "mass",
            "density": pd.array([1, 2] * (N // 2), dtype="Int64"),
            "birads": pd.array([4, 5, 3] * (N // 3), dtype="Int64"),
            "diameter_mm": np.linspace(5, 40, N),
            "view": ["CC", "MLO"] * (N // 2),
            "subtlety": pd.array([1, 2, None] * (N // 3), dtype="Int64"),
            "source": ["A"] * (N // 2) + ["B"] * (N // 2),
        },
        index=pd.Index([f"L{row:03d}" for row in range(N)], name="lesion_id"),
    )


def candidates(table: pd.DataFrame) -> list[Candidate]:
    """Return a reader, a model that knows nothing of the data set B, and a floor; the reader lacks ten lesions."""
    random = np.random.default_rng(6)
    found = []
    for name, family, strength in (("BI-RADS > 3", READER, 1.0), ("net", CLASSIFIER, 3.0), ("floor", FLOOR, 0.0)):
        score = strength * table["malignant"] * ((table["source"] == "A") | (family == READER)) + random.normal(0, 1, N)
        run = pd.DataFrame({"score": score, "predicted": (score > 0.5).astype(float)}, table.index)
        if family == READER:
            run.iloc[:10] = np.nan
        found.append(Candidate(name, family, {0: run}))
    return found


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return subgroup_table(candidates(lesions()), lesions(), RULE, "phantom", 10, (15.0, 30.0))


def test_groupings_are_those_that_the_study_has(table: pd.DataFrame) -> None:
    names = ["lesion type", "breast density", "size", "size, thirds of training", "view", "subtlety", "data set"]
    assert table["grouping"].unique().tolist() == [*names, "BI-RADS"]
    thirds = table[(table["grouping"] == "size, thirds of training") & (table["model"] == "net")]
    assert thirds["group"].tolist() == ["up to 15 mm", "15 to 30 mm", "over 30 mm"]
    assert subgroup_labels(lesions().assign(source="A"))["data set"].isna().all()


def test_ages_and_subcategories_of_four_are_groups_where_the_study_has_them() -> None:
    every = lesions().assign(age=[35.0, 40, 49.5, 70, None, 64] * 40, birads_category=["4A", None, None] * 80)
    found = subgroup_labels(every)
    assert found["age"].head(6).tolist() == ["under 40", "40 to 49", "40 to 49", "70 and over", NOT_KNOWN, "60 to 69"]
    assert found["BI-RADS 4"].value_counts().to_dict() == {"4A": 80}
    table = subgroup_table(candidates(every), every, RULE, "phantom", 10)
    assert table.loc[table["grouping"] == "age", "group"].unique().tolist() == [
        "under 40", "40 to 49", "60 to 69", "70 and over", NOT_KNOWN
    ]  # fmt: skip


def test_thirds_are_those_of_the_training_lesions() -> None:
    one, other = (pd.DataFrame({"diameter_mm": np.arange(10.0) + shift}) for shift in (0, 2))
    assert size_thirds([one]) == (3.0, 6.0)
    assert size_thirds([one, other]) == (4.0, 7.0)
    assert size_thirds([one[:0]]) is None
    assert size_thirds([pd.DataFrame({"diameter_mm": [5.0, 5.0]})]) is None


def test_the_difference_is_the_paired_one_on_the_lesions_of_the_group(table: pd.DataFrame) -> None:
    every, (reader, net, _) = lesions(), candidates(lesions())
    part = every[every["view"] == "CC"]
    paired = Paired.of(net, reader, part)
    row = table[(table["group"] == "CC") & (table["model"] == "net")].iloc[0]
    low, high = paired.areas.interval(0.95)
    found = row[["n_paired", "auc_difference", "auc_difference_low", "auc_difference_high"]].tolist()
    assert found == pytest.approx([115, paired.areas.value, low, high])
    assert row["auc"] == pytest.approx(roc_auc_score(part["malignant"], net.runs[0].loc[part.index, "score"]))
    assert table.loc[table["model"] != "net", "auc_difference"].isna().all()


def test_the_interaction_is_found_where_it_is_and_adjusted_over_models_and_groupings(table: pd.DataFrame) -> None:
    tests = table.drop_duplicates(["grouping", "model"]).set_index(["grouping", "model"])
    assert tests.loc[("data set", "net"), "interaction_p"] < 1e-6
    assert tests.loc[("data set", "BI-RADS > 3"), "interaction_p"] > 0.01
    assert (tests["interaction_q"].dropna() >= tests["interaction_p"].dropna()).all()
    assert tests.xs("floor", level="model")["interaction_p"].isna().all()
    assert np.isnan(tests.loc[("lesion type", "net"), "interaction_p"])
    subtlety = table[(table["grouping"] == "subtlety") & (table["model"] == "net")]
    assert subtlety["group"].tolist() == ["1", "2", NOT_KNOWN]
    assert subtlety["interaction_groups"].tolist() == [2, 2, 2]
    assert tests.loc[("size, thirds of training", "net"), "interaction_df"] == 2


def test_the_forest_plot_writes_small_p_values_and_long_groups(
    table: pd.DataFrame, drawn: list[Figure], tmp_path: Path
) -> None:
    long = "A data set with a name of a hundred letters " + 56 * "x"
    draw_forest(tmp_path / "forest.png", table.replace({"group": {"B": long}}), "net", False, {})
    left, right = drawn[0].axes
    labels = [label.get_text() for label in left.get_yticklabels()]
    assert "data set (p < 0.001)" in labels
    assert any("".join(label.split()).startswith("".join(long.split())) for label in labels)
    assert not any("p = 0.00)" in label for label in labels)
    boxes = [label.get_window_extent() for label in left.get_yticklabels()]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0
    assert right.xaxis.label.get_window_extent().x1 <= drawn[0].bbox.width
    assert left.get_position().width > 0.2


def test_the_forest_plot_has_a_line_for_each_group(
    table: pd.DataFrame, tmp_path: Path, not_rendered: Callable[[], AbstractContextManager[None]]
) -> None:
    shown = table[table["model"] == "net"]
    lines = _lines(pd.concat([shown, table[table["family"] == READER]]))
    assert len(lines) == shown["grouping"].nunique() + len(shown)
    assert lines[:2] == [("lesion type", ""), ("lesion type", "mass")]
    with not_rendered():
        for best, part in (("net", table), ("", table), ("net", table[:0])):
            draw_forest(tmp_path / f"{best}{len(part)}.png", part, best, True, {})
    assert len(list(tmp_path.glob("*.png"))) == 3
