"""Figure of the trials of a hyper-parameter search: their values in order, and against each parameter."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter

from mammoflow.evaluation.drawing import COLOURS, GREY, INK, drawing, put_title, say_nothing_to_draw, wrapped
from mammoflow.storage.files import read_json
from mammoflow.tables.files import read_csv

COLUMNS = 2
FIRST_INCHES, ROW_INCHES = 2.6, 2.1
PANEL_LETTERS = 24
"""Letters of all words below a panel; longer words are turned, and have lines of as many letters."""

LETTER_INCHES = 0.08
MARGIN = 0.04
"""Share of a range that is left free at both of its ends."""


def best_so_far(trials: pd.DataFrame) -> np.ndarray:
    """Return the highest value of the complete trials up to each row (trials,); NaN before the first one."""
    values = trials["value"].where(trials["state"] == "complete")
    return values.cummax().ffill().to_numpy(dtype=np.float64)


def draw_trials(folder: Path) -> None:
    """Draw `trials.png` in the folder of a search, from its `trials.csv` and `search.json`.

    The first panel has the value of each trial, its standard deviation over the inner folds and the best value so far;
    one panel for each parameter has the value against it. Pruned trials are grey; failed ones have no value.

    Raises
    ------
    StudyError
        If the record of the search cannot be read.
    """
    record = read_json(folder / "search.json")
    trials = read_csv(folder / "trials.csv", keep_default_na=False, na_values={"value": "", "standard_deviation": ""})
    space: dict[str, Any] = record["space"]
    below = [_inches_below(values) for values in space.values()]
    heights = [ROW_INCHES + max(below[place : place + COLUMNS]) for place in range(0, len(below), COLUMNS)]
    with drawing(folder / "trials.png", FIRST_INCHES + sum(heights)) as figure:
        put_title(figure, f"Search {record['search']} of {record['subject']}", record["phantom"])
        grid = figure.add_gridspec(len(heights) + 1, COLUMNS, height_ratios=[FIRST_INCHES, *heights])
        best, label = int(record["best"]["number"]), record["figure"][:1].upper() + record["figure"][1:]
        _draw_order(figure.add_subplot(grid[0, :]), trials, best, label)
        for place, (key, values) in enumerate(space.items()):
            axes = figure.add_subplot(grid[1 + place // COLUMNS, place % COLUMNS])
            _draw_parameter(axes, trials, key, values, best)
            axes.set_ylabel(label)


def _draw_order(axes: Axes, trials: pd.DataFrame, best: int, label: str) -> None:
    """Draw the value of each trial and the best one so far."""
    if trials["value"].isna().all():
        say_nothing_to_draw(axes, "no trial has a value")
        return
    for state, colour in (("complete", COLOURS[0]), ("pruned", GREY)):
        shown = trials[(trials["state"] == state) & trials["value"].notna()]
        if shown.empty:
            continue
        spread = shown["standard_deviation"].astype(float).fillna(0)
        axes.errorbar(
            shown["number"], shown["value"], spread, fmt="o", markersize=4, linewidth=0.8, color=colour, label=state
        )
    axes.step(trials["number"], best_so_far(trials), where="post", color=COLOURS[1], linewidth=1.3, label="best so far")
    _ring(axes, trials.loc[trials["number"] == best, "number"], trials.loc[trials["number"] == best, "value"])
    axes.set(xlabel="Trial", ylabel=f"{label}, inner folds")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3)  # above the panel, where no point lies


def _draw_parameter(axes: Axes, trials: pd.DataFrame, key: str, space: Any, best: int) -> None:
    """Draw values against one parameter: a range on a scale of numbers, a list as words in its order."""
    shown = trials[trials["value"].notna()]
    if isinstance(space, dict):
        places = shown[key].astype(float)
        _show_range(axes, float(space["low"]), float(space["high"]), space["log"])
    else:
        words = [_word(value) for value in space]
        places = shown[key].map(lambda value: words.index(_word(_read(value))))
        turned = _inches_below(space) > 0
        axes.set_xticks(range(len(words)), [wrapped(word, PANEL_LETTERS) for word in words], rotation=90 * turned)
        axes.set_xlim(-0.5, len(words) - 0.5)
    colours = np.where(shown["state"] == "complete", COLOURS[0], GREY)
    axes.scatter(places, shown["value"], s=16, c=colours.tolist())
    _ring(axes, places[shown["number"] == best], shown.loc[shown["number"] == best, "value"])
    axes.set_xlabel(key)


def _inches_below(space: Any) -> float:
    """Return the height that turned words of a list take; 0 for a range and for words that fit side by side."""
    longest = 0 if isinstance(space, dict) else max(len(_word(value)) for value in space)
    return LETTER_INCHES * min(longest, PANEL_LETTERS) if longest * len(space) > PANEL_LETTERS else 0.0


def _show_range(axes: Axes, low: float, high: float, log: bool) -> None:
    """Show a whole range; on a logarithmic scale with its powers of ten, or with its ends where it has fewer than 2."""
    if not log:
        margin = MARGIN * (high - low)
        axes.set_xlim(low - margin, high + margin)
        return
    axes.set_xscale("log")
    margin = (high / low) ** MARGIN
    axes.set_xlim(low / margin, high * margin)
    axes.xaxis.set_minor_formatter(NullFormatter())
    if math.floor(math.log10(high)) - math.ceil(math.log10(low)) < 1:
        axes.set_xticks([low, high], [f"{low:g}", f"{high:g}"])


def _ring(axes: Axes, across: pd.Series, up: pd.Series) -> None:
    """Draw a ring around the best trial."""
    axes.scatter(across, up, s=60, facecolors="none", edgecolors=INK, linewidths=1.1)


def _read(value: Any) -> Any:
    """Return the value that a cell of the table means."""
    try:
        return json.loads(str(value)) if not isinstance(value, bool) else value
    except ValueError:
        return {"True": True, "False": False}.get(str(value), value)


def _word(value: Any) -> str:
    """Return a value as a word; numbers that are equal have the same one."""
    if isinstance(value, bool) or value is None or isinstance(value, list):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, int | float) else str(value)
