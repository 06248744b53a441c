"""The score tables of whole made-up runs, held to loops over the files; what every row of them says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up_scores import one

from mammoflow.evaluation.stage import NOT_RESULTS

SEGMENTATION_TABLES = (
    "segmentation",
    "segmentation_choices",
    "segmentation_subgroups",
    "segmentation_differences",
    "dice_by_diameter",
    "dice_diameter_correlation",
)

ABSENT = ("ablation", "detection", "few_labels", "froc", "losses", "saliency", "segmentation_heads",
          "segmentation_empty", "segmentation_parameters", "transfer", "tuning_methods")  # fmt: skip
"""Tables of what the run does not have."""


@pytest.fixture(scope="module")
def comparison(run: Any) -> Path:
    return Path(run.root / "comparison")


def test_mean_dice_by_margin_is_that_of_a_loop_over_the_files(comparison: Path, run: Any) -> None:
    table = pd.read_csv(comparison / "segmentation.csv", keep_default_na=False, na_values=[""])
    lesions = pd.concat([pd.read_parquet(folder / "lesions.parquet") for folder in run.images])
    split = dict(zip(lesions["lesion_id"], lesions["split"], strict=True))
    sums: dict[tuple[str, str, float, int], list[float]] = {}
    ellipses: dict[str, float] = {}
    for folder in run.segmentation:
        for row in pd.read_parquet(folder / "scores.parquet").to_dict("records"):
            if row["model"] == "ellipse":
                ellipses[row["prompt_id"]] = row["dice"]
                continue
            for part in {split[row["lesion_id"]], "all"} & {"test", "all"}:
                key = (part, row["model"], row["margin_mm"], row["iteration"])
                sums.setdefault(key, []).append(row["dice"])
    assert len(sums) == 2 * 2 * 4 * 3
    models = table[table["model"] != "ellipse"]
    assert len(models) == 2 * 2 * 4 * 4
    for (part, model, margin, iteration), dice in sums.items():
        found = one(models, split=part, model=model, margin_mm=margin, selection=f"iteration {iteration}")
        assert found["dice"] == pytest.approx(sum(dice) / len(dice), rel=1e-5)
        assert found["n"] == len(dice) == (20 if part == "test" else 60)
        assert found["missed"] == sum(value == 0 for value in dice)
        assert found["dice_low"] <= found["dice"] <= found["dice_high"]
        if iteration == 1:
            chosen = one(models, split=part, model=model, margin_mm=margin, selection="chosen")
            assert chosen["dice"] == found["dice"]
    # The floor stands once, though both models' folders hold it.
    floor = table[(table["model"] == "ellipse") & (table["split"] == "all")]
    assert floor["n"].tolist() == [60] * 4
    assert floor["dice"].tolist() == pytest.approx([0.9 * np.exp(-margin / 9) for margin in (0, 5, 10, 20)], rel=1e-5)
    assert sum(ellipses.values()) / len(ellipses) == pytest.approx(floor["dice"].mean(), rel=1e-5)


def test_groups_of_a_run_add_up_to_its_test_lesions(comparison: Path) -> None:
    table = pd.read_csv(comparison / "segmentation_subgroups.csv", keep_default_na=False, na_values=[""])
    whole = pd.read_csv(comparison / "segmentation.csv", keep_default_na=False, na_values=[""])
    whole = whole[(whole["split"] == "test") & (whole["selection"] == "chosen")].set_index(["model", "margin_mm"])
    sums = table.assign(dice_sum=table["dice"] * table["n"]).groupby(["grouping", "model", "margin_mm"])
    for name in ("n", "missed", "lesions"):
        for (grouping, model, margin), value in sums[name].sum().items():
            assert value == whole.loc[(model, margin), name], (grouping, model, margin)
    for (grouping, model, margin), value in sums["dice_sum"].sum().items():
        expected = whole.loc[(model, margin), "dice"] * whole.loc[(model, margin), "n"]
        assert value == pytest.approx(expected, rel=1e-4), (grouping, model, margin)
    assert set(table["grouping"]) == {"lesion type", "longest diameter", "breast density", "source", "label"}


def test_every_row_of_every_table_says_what_the_study_is(comparison: Path) -> None:
    for path in comparison.glob("*.csv"):
        table = pd.read_csv(path)
        # the file for statistics programs has a column for each mark
        assert ("note" in table.columns) == (path.stem not in (*NOT_RESULTS, "predictions")), path.name
        if "note" in table.columns:
            assert len(table) > 0 or path.stem in ABSENT
            assert table["note"].str.startswith("phantom").all(), path.name


def test_a_study_of_boxes_has_empty_tables_with_all_their_columns(
    comparison: Path, write_run: Callable[..., Any], tmp_path: Path
) -> None:
    write_run(tmp_path, compared=True, figures="drawn", patients=12, phantom=False, with_birads=False, with_masks=False)
    for name in SEGMENTATION_TABLES:
        table = pd.read_csv(tmp_path / "comparison" / f"{name}.csv")
        assert table.empty, name
        assert table.columns.tolist() == pd.read_csv(comparison / f"{name}.csv").columns.tolist()
