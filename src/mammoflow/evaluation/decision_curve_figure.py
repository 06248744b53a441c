"""Figure of the decision curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.config.row_names import WITH_BIRADS
from mammoflow.evaluation.calibration import CALIBRATED_READER
from mammoflow.evaluation.candidates import CLASSIFIER, READER, display_name
from mammoflow.evaluation.decision_curve import BIOPSY_ALL, BIOPSY_NONE
from mammoflow.evaluation.drawing import (
    COLOURS,
    GREY,
    INK,
    dashes,
    drawing,
    put_legend,
    put_title,
    say_nothing_to_draw,
    write_data,
)

MOST_MODELS = 8
"""Classifiers that are drawn: the first ones of the table."""


def draw_decision_curve(path: Path, table: pd.DataFrame, best: str, phantom: bool, titles: Mapping[str, str]) -> None:
    """Draw the net benefit of each policy and classifier against the threshold probability.

    Parameters
    ----------
    path
        The PNG file.
    table
        Of `decision_curve_table`.
    best
        Name of the model with the best AUC on validation; it and BI-RADS have bands of their intervals, and its fusion
        with BI-RADS is drawn too.
    phantom
        Whether the title says that lesions are phantoms.
    titles
        Titles of classifiers by name.
    """
    write_data(path, table, phantom)
    with drawing(path, 5.6) as figure:
        axes = figure.subplots()
        if table.empty:
            put_title(figure, "Decision curve on the test split", phantom)
            say_nothing_to_draw(axes, "no test lesion")
            return
        prevalence = table["prevalence"].iloc[0]
        put_title(figure, f"Decision curve on the test split, prevalence {prevalence:.2f}", phantom)
        for name, rows in table.groupby("model", sort=False):
            style = _style(str(name), str(rows["family"].iloc[0]), best, table)
            if style is None:
                continue
            axes.plot(rows["threshold"], rows["net_benefit"], label=_label(str(name), titles), **style)
            if name == best or rows["family"].iloc[0] == READER:
                axes.fill_between(
                    rows["threshold"], rows["net_benefit_low"], rows["net_benefit_high"], color=style["color"],
                    alpha=0.15, linewidth=0,
                )  # fmt: skip
        top = float(np.nanmax(table["net_benefit"]))
        axes.set(
            xlim=(0, 1), ylim=(-0.25 * max(top, 0.1), 1.1 * max(top, 0.1)),
            xlabel="Threshold probability of malignancy", ylabel="Net benefit",
        )  # fmt: skip
        put_legend(figure, axes)


def _label(name: str, titles: Mapping[str, str]) -> str:
    return "BI-RADS as a probability" if name == CALIBRATED_READER else display_name(name, titles)


def _style(name: str, family: str, best: str, table: pd.DataFrame) -> dict[str, Any] | None:
    """Return how a curve is drawn; None where it is not."""
    fixed: dict[str, dict[str, Any]] = {
        BIOPSY_ALL: {"color": GREY, "linestyle": "--", "linewidth": 1.1},
        BIOPSY_NONE: {"color": GREY, "linestyle": ":", "linewidth": 1.1},
        CALIBRATED_READER: {"color": INK, "linestyle": "--", "linewidth": 1.4},
        f"{best}{WITH_BIRADS}": {"color": INK, "linestyle": (0, (1, 1)), "linewidth": 1.8},
    }
    if family == READER:
        return {"color": INK, "linestyle": "-", "linewidth": 1.8}
    if name in fixed:
        return fixed[name]
    shown = [*table.loc[table["family"] == CLASSIFIER, "model"].unique()[:MOST_MODELS]]
    shown = list(dict.fromkeys([*shown, *([best] if best else [])]))
    if name not in shown:
        return None
    place = shown.index(name)
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": dashes(place),
        "linewidth": 2.0 if name == best else 1.2,
    }
