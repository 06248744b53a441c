"""Figure of the calibration of classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mammoflow.evaluation.calibration import reliability
from mammoflow.evaluation.candidates import CLASSIFIER, Candidate, display_name
from mammoflow.evaluation.drawing import (
    COLOURS,
    DASHES,
    drawing,
    name_artists,
    put_title,
    say_nothing_to_draw,
    write_data,
)
from mammoflow.evaluation.foreign import has_probabilities
from mammoflow.evaluation.metrics import FloatArray


def draw_reliability(
    path: Path, candidates: Sequence[Candidate], lesions: pd.DataFrame, phantom: bool, titles: Mapping[str, str]
) -> None:
    """Draw, for each classifier, the share of malignant lesions against the mean predicted probability of each bin.

    Bins hold equal counts of lesions and seeds, and the diagonal is where probabilities are right.

    Parameters
    ----------
    path
        The PNG file.
    candidates
        What the comparison compares.
    lesions
        Labelled test lesions, indexed by lesion.
    phantom
        Whether the title says that lesions are phantoms.
    titles
        Titles of classifiers by name.
    """
    models = (one for one in candidates if one.family == CLASSIFIER and has_probabilities(one))
    shown = [one for one in models if len(one.scored(lesions))]
    bins = [(one, *_bins(one, lesions)) for one in shown]
    names = ["model", "mean_probability", "share_malignant", "n"]
    parts = [pd.DataFrame(dict(zip(names, (one.model, *found), strict=True))) for one, *found in bins]
    write_data(path, pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names), phantom)
    with drawing(path, 6.2) as figure:
        axes = figure.subplots()
        put_title(figure, "Calibration on the test split", phantom)
        if not shown:
            say_nothing_to_draw(axes, "no classifier predicts a test lesion")
            return
        axes.plot([0, 1], [0, 1], color="#cbd2d9", linewidth=1, linestyle=":")
        for place, (one, means, shares, _) in enumerate(bins):
            name = display_name(one.model, titles)
            lines = axes.plot(
                means,
                shares,
                marker="o",
                markersize=4,
                linewidth=1.3,
                color=COLOURS[place % len(COLOURS)],
                linestyle=DASHES[place % len(DASHES)],
                label=name,
            )
            name_artists(name, lines)
        axes.set(
            xlim=(-0.01, 1.01), ylim=(-0.02, 1.02), xlabel="Mean predicted probability", ylabel="Share of malignant"
        )
        axes.set_aspect("equal")
        figure.legend(loc="outside lower center", ncols=2)


def _bins(one: Candidate, lesions: pd.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean probability, share of malignant lesions and count of each bin of a classifier, all seeds together."""
    scored = one.scored(lesions)
    label = lesions.loc[scored, "malignant"].to_numpy(dtype=np.float64)
    probability = [run.loc[scored, "score"].to_numpy(dtype=np.float64) for run in one.runs.values()]
    return reliability(np.tile(label, len(probability)), np.concatenate(probability))
