"""The figure of stability: how many features of each family stay above each ICC, by kind of change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from mammoflow.evaluation.drawing import COLOURS, GREY, dashes, drawing, put_title, say_nothing_to_draw
from mammoflow.tables.stability import ALL, PERTURBATIONS

GOOD = 0.75
"""ICC from which reliability is called good (Koo and Li, Journal of Chiropractic Medicine 15, 2016)."""


def draw_stability(path: Path, table: pd.DataFrame, phantom: bool) -> None:
    """Draw, for each family and kind of change, the share of features whose ICC is at least the value on the axis.

    Curves are of the lower limits of the intervals.

    Parameters
    ----------
    path
        PNG file to write.
    table
        Of the schema STABILITY.
    phantom
        Whether the study is made of phantoms.
    """
    families = list(dict.fromkeys(table["family"])) if len(table) else []
    with drawing(path, 0.6 + 3.2 * max(1, len(families))) as figure:
        put_title(figure, "Features above an ICC, by what is changed", phantom)
        panels = figure.subplots(max(1, len(families)), 1, squeeze=False)[:, 0]
        if not families:
            say_nothing_to_draw(panels[0], "no feature family was run")
        for panel, family in zip(panels, families, strict=False):
            _draw_family(panel, family, table[table["family"] == family])


def _draw_family(panel: Axes, family: str, table: pd.DataFrame) -> None:
    for place, kind in enumerate(PERTURBATIONS):
        rows = table[table["perturbation"] == kind]
        low = rows["icc_low"].where(rows["icc"] != 1, 1.0).dropna().to_numpy(dtype=float)
        if len(low):
            panel.plot(
                np.sort(low.clip(0, 1)),
                1 - np.arange(len(low)) / len(low),
                color=COLOURS[place],
                linestyle=dashes(place),
                linewidth=2.2 if kind == ALL else 1.4,
                marker="o" if len(low) == 1 else "",
                clip_on=len(low) > 1,
                label=kind,
            )
    panel.axvline(GOOD, color=GREY, linewidth=0.8)
    panel.set(xlabel="ICC(2,1), lower limit", ylabel="share of features", xlim=(0, 1), ylim=(0, 1.02))
    features, lesions = table["feature"].nunique(), int(table["n"].max())
    words = "1 feature" if features == 1 else f"{features} features"
    panel.set_title(f"{family}: {words}, n = {lesions} lesions of {lesions} patients")
    panel.legend(loc="lower left")
