"""The figure of few labels: Dice or AUC against the share of labelled patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mammoflow.evaluation.drawing import (
    COLOURS,
    GREY,
    LEGEND_LINE_INCHES,
    MARKERS,
    dashes,
    drawing,
    put_legend,
    put_title,
    write_data,
)

NAMES = {"dice": "Mean Dice of test images with a lesion", "auc": "AUC on test lesions"}

LEAST_SHIFT, STEP = 0.97, 0.03
"""Curves are shifted a little along the share, so that their intervals do not cover each other."""


def draw_few_labels(path: Path, table: pd.DataFrame, phantom: bool) -> None:
    """Draw a figure of the table of few labels, one panel for each of Dice and AUC.

    Parameters
    ----------
    path
        The PNG file.
    table
        Of `few_labels_table`, with at least one row.
    phantom
        Whether the study is made of phantoms.
    """
    figures = list(dict.fromkeys(table["figure"]))
    write_data(path, table, phantom)
    places: dict[str, int] = {}
    with drawing(path, 4.2 * len(figures)) as figure:
        put_title(figure, "Few labels, test split", phantom)
        panels = np.atleast_1d(figure.subplots(len(figures), 1))
        for axes, name in zip(panels, figures, strict=True):
            rows = table[table["figure"] == name]
            curves = rows.groupby(["network", "method", "labels", "supplementary"], sort=False)
            for shift, (keys, points) in enumerate(curves):
                network, method, labels, supplementary = (str(key) for key in keys)
                points = points.sort_values("label_fraction")
                label = ", ".join(
                    filter(
                        None,
                        [
                            method.replace("_", " "),
                            "" if labels == "masks" else labels,
                            supplementary.replace("_", "-"),
                            network if rows["network"].nunique() > 1 else "",
                        ],
                    )
                )
                place = places.setdefault(label, len(places))
                share = 100 * points["label_fraction"] * (LEAST_SHIFT + STEP * shift)
                style = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
                axes.plot(share, points["value"], linestyle=dashes(place), linewidth=1.6, label=label, **style)
                axes.vlines(share, points["value_low"], points["value_high"], color=style["color"], alpha=0.6)
            ticks = sorted(set(rows["label_fraction"]))
            axes.set_xscale("log")
            axes.set_xticks([100 * tick for tick in ticks], [f"{100 * tick:g}" for tick in ticks])
            axes.minorticks_off()
            sizes = ", ".join(f"{n:g}" for n in sorted(set(rows["n"])))
            axes.set(xlabel="Training patients with labels (%)", ylabel=NAMES[name])
            patients = ", ".join(f"{n:g}" for n in sorted(set(rows["patients"])))
            axes.annotate(
                f"n = {sizes} of {patients} patients; lines are intervals over patients",
                (0.0, 1.01), xycoords="axes fraction", color=GREY, fontsize=8,
            )  # fmt: skip
        figure.set_figheight(figure.get_figheight() + LEGEND_LINE_INCHES * -(-len(places) // 2))
        put_legend(figure, list(panels))
