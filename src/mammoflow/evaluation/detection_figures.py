"""The FROC figure of automatic models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mammoflow.evaluation.detection import FALSE_POSITIVES_PER_IMAGE
from mammoflow.evaluation.drawing import (
    COLOURS,
    LEGEND_LINE_INCHES,
    MARKERS,
    dashes,
    drawing,
    put_legend,
    put_title,
    say_nothing_to_draw,
    write_data,
)


def draw_froc(path: Path, curves: pd.DataFrame, detection: pd.DataFrame, phantom: bool) -> None:
    """Draw the FROC curve of each automatic model on the test split, with intervals at the stated false positives.

    Parameters
    ----------
    path
        The PNG file.
    curves
        Of `froc_table`.
    detection
        Of `detection_table`.
    phantom
        Whether the study is made of phantoms.
    """
    shown = curves[(curves["split"] == "test") & curves["sensitivity"].notna()]
    rows = detection[detection["split"] == "test"].set_index("model")
    write_data(path, shown, phantom)
    with drawing(path, 4.4 + LEGEND_LINE_INCHES * shown["model"].nunique()) as figure:
        axes = figure.subplots()
        put_title(figure, "FROC on the test split", phantom)
        if shown.empty:
            say_nothing_to_draw(axes, "no curve: no component on the test split,\nor no lesion there")
            return
        for place, (model, points) in enumerate(shown.groupby("model", sort=False)):
            colour = COLOURS[place % len(COLOURS)]
            row = rows.loc[str(model)]
            wrong = np.concatenate([[0.0], points["false_positives_per_image"]])
            hits = np.concatenate([[0.0], points["sensitivity"]])
            label = f"{model}: {row['lesions']} lesions, {points['images'].iloc[0]} images"
            axes.step(
                wrong,
                hits,
                where="post",
                color=colour,
                linestyle=dashes(place),
                linewidth=1.8,
                label=label,
            )
            end = float(wrong[-1])
            for level in FALSE_POSITIVES_PER_IMAGE:
                low, high = (row[f"sensitivity_at_{level:g}_{bound}"] for bound in ("low", "high"))
                if level <= end and np.isfinite(low):
                    axes.plot([level, level], [low, high], color=colour, linewidth=1.2, alpha=0.7)
            axes.plot(end, hits[-1], MARKERS[place % len(MARKERS)], color=colour, markersize=6)
        axes.set(
            xlim=(-0.02, None),
            ylim=(0, 1.02),
            xlabel="False positives per image",
            ylabel="Sensitivity (share of lesions hit)",
        )
        put_legend(figure, axes, columns=1)
