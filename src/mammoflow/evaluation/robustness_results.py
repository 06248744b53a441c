"""The files of robustness: the table, and the figure of its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.evaluation.drawing import marked_figures
from mammoflow.evaluation.robustness_figure import draw_robustness
from mammoflow.tables.files import write_csv
from mammoflow.tables.robustness import CURVES, ROBUSTNESS
from mammoflow.tables.study import LEAKING, is_leaking, is_phantom, study_note


def write_results(
    output: Path, rows: Sequence[Mapping[str, object]], study: dict[str, Any], titles: Mapping[str, str]
) -> None:
    """Write the table, with what a reader must know of the study in each note, and the figure beside it.

    Parameters
    ----------
    output
        Table to write (CSV).
    rows
        Of the schema ROBUSTNESS, with notes on their models alone.
    study
        Content of `study.json`.
    titles
        Titles of classifiers by name.
    """
    table = pd.DataFrame(rows)
    note = study_note(study)
    table["note"] = ["; ".join(filter(None, [note, of_model])) for of_model in table["note"]]
    table = pd.DataFrame(ROBUSTNESS.validate(table))
    write_csv(output, table)
    with marked_figures(LEAKING if is_leaking(study) else ""):
        draw_robustness(output.with_name(f"{CURVES}.png"), table, is_phantom(study), titles)
