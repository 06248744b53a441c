"""What each model says of each case of the gallery."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from mammoflow.config.foreign import FOREIGN
from mammoflow.errors import StudyError
from mammoflow.evaluation.candidates import CEILING, FLOOR, display_name
from mammoflow.evaluation.seen_patients import SEEN_MARK
from mammoflow.report.content import read_results

COLUMNS = [
    "lesion_id", "model", "family", "seed", "malignant", "score", "threshold", "predicted", "oracle", "foreign",
    "seen_patient",
]  # fmt: skip
NONE = "-"


@dataclass(frozen=True)
class CaseCalls:
    """Calls of the reader and of each model, for the filters and the view of a case.

    Attributes
    ----------
    models
        Name, title and marks of each; the reader is the first where the study has one.
    calls
        Case number to one character for each model: 1 malignant, 0 benign, - no call.
    scores
        Case number to score and threshold of each model, None where it has none.
    """

    models: list[dict[str, Any]]
    calls: dict[int, str]
    scores: dict[int, list[list[float | None] | None]]

    @classmethod
    def read(cls, path: Path, numbers: Mapping[str, int], titles: Mapping[str, str]) -> CaseCalls:
        """Read the calls of cases from `predictions.csv`; of several seeds, those of the first.

        Parameters
        ----------
        path
            The table.
        numbers
            Case number by lesion.
        titles
            Titles of classifiers by name.

        Raises
        ------
        StudyError
            If the table cannot be read.
        """
        try:
            table = read_results(path, usecols=COLUMNS)
        except (OSError, ValueError) as error:
            raise StudyError(f"table {path} cannot be read ({error}); run the comparison again") from error
        table = table[table["lesion_id"].isin(list(numbers)) & ~table["family"].isin([FLOOR, CEILING])]
        table = table[table["seed"] == table.groupby("model")["seed"].transform("first")]
        models: list[dict[str, Any]] = []
        by_model: list[dict[Any, dict[Any, Any]]] = []
        for name, rows in table.groupby("model", sort=False):
            by_model.append(rows.drop_duplicates("lesion_id").set_index("lesion_id").to_dict("index"))
            models.append({"name": str(name), "title": display_name(str(name), titles), "marks": _marks(rows)})
        calls: dict[int, str] = {}
        scores: dict[int, list[list[float | None] | None]] = {}
        for lesion, case in numbers.items():
            said = [part.get(lesion) for part in by_model]
            calls[case] = "".join(
                NONE if row is None or pd.isna(row["predicted"]) else str(int(row["predicted"])) for row in said
            )
            scores[case] = [
                None if row is None else [_rounded(row["score"]), _rounded(row["threshold"])] for row in said
            ]
        return cls(models, calls, scores)

    @property
    def has_reader(self) -> bool:
        """Whether the first model is the radiologist."""
        return bool(self.models) and bool(self.models[0]["name"].startswith("BI-RADS"))

    @property
    def record(self) -> Markup:
        """The record as JSON for a script element of the page."""
        record = {"models": self.models, "scores": self.scores, "reader": self.has_reader}
        return Markup(json.dumps(record, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))


def _rounded(value: float) -> float | None:
    return None if pd.isna(value) else float(f"{value:.4g}")


def _marks(rows: pd.DataFrame) -> list[str]:
    marks = (("oracle", "oracle"), ("foreign", FOREIGN.split(",")[0]), ("seen_patient", SEEN_MARK))
    return [mark for column, mark in marks if (rows[column] == 1).any()]
