"""Figures of the segmentation: Dice against box margin, iteration and lesion diameter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mammoflow.evaluation.drawing import (
    COLOURS,
    GREY,
    LEGEND_LINE_INCHES,
    MARKERS,
    NO_BREAK,
    dashes,
    drawing,
    name_artists,
    put_legend,
    put_title,
    say_nothing_to_draw,
    wrapped,
    write_data,
)
from mammoflow.evaluation.segmentation_summary import ELLIPSE, ORACLE
from mammoflow.evaluation.segmentation_tables import CHOSEN, FEEDS

DICE_COLUMNS = (
    "model", "mark", "field_of_view", "prompts", "margin_mm", "selection", "feed", "n", "patients", "dice", "dice_low",
    "dice_high", "missed", "note",
)  # fmt: skip

TITLE_LETTERS, HALF_TITLE_LETTERS, TITLE_LINE_INCHES = 54, 26, 0.17
"""Letters of a line of the title of a panel as wide as the figure and as half of it, and the height of a line."""

NO_DICE = "no Dice: the study has no reference masks,\nor the test split has no lesion"


def exact_boxes(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the boxes around the reference, which every model has; a model's name says windows and oracles."""
    boxes = table[table["prompts"] == "box"]
    window = pd.Series("", boxes.index).mask(boxes["field_of_view"] == "window", ", window")
    return boxes.assign(model=boxes["model"] + window + _oracle(boxes))


def _oracle(table: pd.DataFrame) -> pd.Series:
    """Return the words after the name of what an oracle chose."""
    return pd.Series("", table.index).mask(table["mark"] == ORACLE, f" ({ORACLE})")


def draw_dice_against_margin(path: Path, table: pd.DataFrame, phantom: bool) -> None:
    """Draw mean Dice with interval against the margin of the box, one line per model, the ellipse dashed."""
    shown = exact_boxes(table)
    shown = shown[(shown["split"] == "test") & (shown["selection"] == CHOSEN) & shown["dice"].notna()]
    write_data(path, shown, phantom, DICE_COLUMNS)
    with drawing(path, 4.2 + LEGEND_LINE_INCHES * (1 + -(-shown["model"].nunique() // 2))) as figure:
        axes = figure.subplots()
        put_title(figure, "Dice against the margin of the box prompt", phantom)
        if shown.empty:
            say_nothing_to_draw(axes, NO_DICE)
            return
        models = [model for model in shown["model"].unique() if model != ELLIPSE]
        for place, model in enumerate(models):
            style = {"color": COLOURS[place % len(COLOURS)], "linestyle": dashes(place)}
            _draw_band(
                axes,
                shown[shown["model"] == model],
                "margin_mm",
                model,
                {**style, "marker": MARKERS[place % len(MARKERS)]},
            )
        floor = shown[shown["model"] == ELLIPSE]
        if len(floor):
            _draw_band(
                axes,
                floor,
                "margin_mm",
                "ellipse in the box (floor)",
                {"color": GREY, "linestyle": "--", "marker": "x"},
            )
        axes.set(ylim=(0, 1), xlabel="Margin on each side of the lesion's box (mm)", ylabel="Mean Dice, missed = 0")
        axes.set_xticks(sorted(shown["margin_mm"].unique()))
        put_legend(figure, axes, title=f"test split, n = {int(shown['n'].max())} lesions")


def _draw_band(axes: Axes, rows: pd.DataFrame, across: str, name: str, style: dict[str, Any]) -> None:
    rows = rows.sort_values(across)
    x = rows[across].to_numpy(dtype=float)
    (line,) = axes.plot(x, rows["dice"].to_numpy(dtype=float), label=name, markersize=5.5, linewidth=1.8, **style)
    low, high = rows["dice_low"].to_numpy(dtype=float), rows["dice_high"].to_numpy(dtype=float)
    band = axes.fill_between(x, low, high, color=style["color"], alpha=0.14, linewidth=0)
    name_artists(name, [line, band])


def draw_dice_by_iteration(path: Path, table: pd.DataFrame, phantom: bool) -> None:
    """Draw mean Dice against the refinement iteration, one panel a model and feedback, one line a margin."""
    boxes = exact_boxes(table)
    rows = boxes[(boxes["split"] == "test") & boxes["selection"].str.startswith("iteration ") & boxes["dice"].notna()]
    shown = rows.assign(iteration=rows["selection"].str.removeprefix("iteration ").astype(int))
    panels = [(str(model), str(feed), part) for (model, feed), part in shown.groupby(["model", "feed"], sort=False)]
    margins = sorted(shown["margin_mm"].unique())
    write_data(path, shown, phantom, DICE_COLUMNS)
    columns = min(2, max(1, len(panels)))
    rows_of_panels = max(1, -(-len(panels) // columns))
    letters = TITLE_LETTERS if columns == 1 else HALF_TITLE_LETTERS
    titles = [
        wrapped(f"{model}, n{NO_BREAK}={NO_BREAK}{int(part['n'].max())}\n{FEEDS.get(feed, feed)}", letters)
        for model, feed, part in panels
    ]
    further = TITLE_LINE_INCHES * max((title.count("\n") - 1 for title in titles), default=0)
    height = (3.6 if columns == 1 else 0.6 + 2.8 * rows_of_panels) + further * rows_of_panels
    with drawing(path, height) as figure:
        grid = figure.subplots(rows_of_panels, columns, squeeze=False, sharey=True).ravel()
        put_title(figure, "Dice by refinement iteration", phantom)
        if not panels:
            say_nothing_to_draw(grid[0], NO_DICE)
        for axes, title, (_, _, part) in zip(grid, titles, panels, strict=False):
            for margin, line in part.groupby("margin_mm"):
                place = margins.index(margin)
                style = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
                _draw_band(axes, line, "iteration", f"+{margin:g} mm", {**style, "linestyle": dashes(place)})
            axes.set_title(title, fontweight="normal")
            axes.set(ylim=(0, 1), xlabel="Iteration", ylabel="Mean Dice, missed = 0")
            axes.set_xticks(sorted(part["iteration"].unique()))
        for axes in grid[max(len(panels), 1) :]:
            axes.set_axis_off()
        if panels:
            # a model may lack a margin, so the legend is gathered from all panels
            handles = {
                label: handle for axes in grid for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
            }
            labels = [f"+{margin:g} mm" for margin in margins]
            figure.legend(
                [handles[label] for label in labels],
                labels,
                loc="outside lower center",
                ncols=5,
                title="margin of the box prompt",
            )


def draw_dice_against_diameter(path: Path, table: pd.DataFrame, correlation: pd.DataFrame, phantom: bool) -> None:
    """Draw the Dice of each test lesion against its longest diameter, one panel a model."""
    shown = table[(table["split"] == "test") & table["diameter_mm"].notna()]
    shown = shown.assign(shown_as=shown["model"] + _oracle(shown))
    models = list(shown["model"].unique())
    write_data(
        path,
        shown,
        phantom,
        ("case", "model", "mark", "prompts", "margin_mm", "diameter_mm", "malignant", "dice", "note"),
    )
    titles = [_diameter_title(shown[shown["model"] == model], correlation) for model in models]
    further = TITLE_LINE_INCHES * sum(title.count("\n") for title in titles)
    with drawing(path, 0.5 + 3.1 * max(1, len(models)) + further) as figure:
        grid = figure.subplots(max(1, len(models)), 1, squeeze=False).ravel()
        put_title(figure, "Dice against lesion diameter", phantom)
        if not models:
            say_nothing_to_draw(grid[0], NO_DICE)
        for axes, model, title in zip(grid, models, titles, strict=False):
            part = shown[shown["model"] == model]
            malignant = part["malignant"].astype("Int64")
            kinds = (
                ((malignant == 0).fillna(False), "benign", COLOURS[0], "o"),
                ((malignant == 1).fillna(False), "malignant", COLOURS[1], "^"),
                (malignant.isna(), "label not known", GREY, "s"),
            )
            for of_kind, name, colour, marker in kinds:
                rows = part[of_kind]
                if rows.empty:
                    continue
                axes.scatter(
                    rows["diameter_mm"],
                    rows["dice"],
                    s=22,
                    color=colour,
                    marker=marker,
                    alpha=0.65,
                    linewidth=0,
                    label=f"{name} ({len(rows)})",
                )
            axes.set(ylim=(-0.03, 1.03), xlabel="Longest diameter (mm)", ylabel="Dice")
            axes.set_title(title, fontweight="normal")
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1))  # beside the panel, where no point lies


def _diameter_title(part: pd.DataFrame, correlation: pd.DataFrame) -> str:
    """Return the title of the panel of one model, in several lines if it is long."""
    says = _says(correlation, str(part["model"].iloc[0]))
    return wrapped(f"{part['shown_as'].iloc[0]}{_margin(part)}\nn = {len(part)}{says}", TITLE_LETTERS)


def _margin(part: pd.DataFrame) -> str:
    """Return the margin of the prompts; a point has none."""
    margin = part["margin_mm"].iloc[0]
    return "" if pd.isna(margin) else f", +{margin:g} mm"


def _says(correlation: pd.DataFrame, model: str) -> str:
    row = correlation[(correlation["split"] == "test") & (correlation["model"] == model)]
    if row.empty or not np.isfinite(float(row["r"].iloc[0])):
        return ""
    return f", r = {row['r'].iloc[0]:.2f}, rho = {row['rho'].iloc[0]:.2f}"
