"""Figure of the calibration of classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mammoflow.evaluation.candidates import CLASSIFIER, display_name
from mammoflow.evaluation.drawing import (
    COLOURS,
    dashes,
    drawing,
    name_artists,
    put_legend,
    put_title,
    say_nothing_to_draw,
    write_data,
)


def draw_reliability(path: Path, table: pd.DataFrame, phantom: bool, titles: Mapping[str, str]) -> None:
    """Draw, for each classifier, the share of malignant lesions against the mean predicted probability of each bin.

    Bins hold equal counts of lesions and seeds, bars are intervals of the share, and the diagonal is where
    probabilities are right.

    Parameters
    ----------
    path
        The PNG file.
    table
        Of `reliability_table`.
    phantom
        Whether the title says that lesions are phantoms.
    titles
        Titles of classifiers by name.
    """
    shown = table[table["family"] == CLASSIFIER]
    write_data(path, shown, phantom)
    with drawing(path, 6.2) as figure:
        axes = figure.subplots()
        put_title(figure, "Calibration on the test split", phantom)
        if shown.empty:
            say_nothing_to_draw(axes, "no classifier predicts a test lesion")
            return
        axes.plot([0, 1], [0, 1], color="#cbd2d9", linewidth=1, linestyle=":")
        for place, (name, bins) in enumerate(shown.groupby("model", sort=False)):
            colour = COLOURS[place % len(COLOURS)]
            lines = axes.plot(
                bins["mean_probability"],
                bins["malignant_share"],
                marker="o",
                markersize=4,
                linewidth=1.3,
                color=colour,
                linestyle=dashes(place),
                label=display_name(str(name), titles),
            )
            bounds = (bins["mean_probability"], bins["malignant_share_low"], bins["malignant_share_high"])
            bars = axes.vlines(*(values.astype("float64") for values in bounds), color=colour, linewidth=0.8, alpha=0.5)
            name_artists(display_name(str(name), titles), [*lines, bars])
        axes.set(
            xlim=(-0.01, 1.01), ylim=(-0.02, 1.02), xlabel="Mean predicted probability", ylabel="Share of malignant"
        )
        axes.set_aspect("equal")
        put_legend(figure, axes)
