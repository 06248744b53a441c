"""The tables of BI-RADS alone on the console: the headline rows and the sentences."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from mammoflow.evaluation.birads_stage import BiradsResult, headline_rows

WIDTH = 150
"""Columns of the table where the output is no terminal, such as a log."""


def show(result: BiradsResult, confidence: float) -> None:
    """Print the rows of BI-RADS > 3 as a table, and what a reader must know.

    Parameters
    ----------
    result
        The tables.
    confidence
        Coverage of their intervals.
    """
    console = Console(width=None if Console().is_terminal else WIDTH)
    title = f"BI-RADS > 3 (BI-RADS 4 and above), 0 as written; value and {confidence:.0%} interval over patients"
    shown = Table(title=title, title_justify="left", padding=(0, 1, 0, 0), box=None)
    keys = {"source": "Study", "level": "Level", "lesion_type": "Type", "split": "Split"}
    if result.table["source"].nunique() == 1:
        del keys["source"]
    for heading in (*keys.values(), "n", "Malignant", "Patients"):
        shown.add_column(heading, justify="right" if heading[0] in "nMP" else "left", overflow="fold")
    names = {"accuracy": "Accuracy", "precision": "Precision", "recall": "Recall", "specificity": "Specificity"}
    for heading in (*names.values(), "F1", "AUC"):
        shown.add_column(heading, justify="right", overflow="fold", min_width=9)
    for row in headline_rows(result.table).to_dict("records"):
        counts = [f"{row[name]:,}" for name in ("n", "n_malignant", "patients")]
        shown.add_row(
            *(str(row[key]) for key in keys), *counts, *(_figure(row, metric) for metric in (*names, "f1", "auc"))
        )
    console.print(shown)
    for sentence in result.sentences:
        console.print(sentence, highlight=False)


def _figure(row: Mapping[Hashable, Any], metric: str) -> str:
    value, low, high = (float(row[f"{metric}{end}"]) for end in ("", "_low", "_high"))
    if math.isnan(value):
        return "n/a"
    return f"{value:.3f}" if math.isnan(low) else f"{value:.3f}\n{low:.2f}-{high:.2f}"
