"""Tables of the comparison as files: CSV inside the page, and LaTeX and Parquet beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.errors import StudyError
from mammoflow.evaluation.candidates import display_name
from mammoflow.report.content import read_results
from mammoflow.report.figures import LARGEST_IN_PAGE, File, data_file
from mammoflow.report.first_screen import model_marks
from mammoflow.storage.files import write_text, writing
from mammoflow.tables.study import MARKS

LONGEST_LATEX = 120
"""Rows of the longest table that is written as LaTeX; a longer one is no table of a paper."""

WORDS = {
    "model_a": "Model",
    "model_b": "Against",
    "auc": "AUC",
    "auc_difference": "AUC difference",
    "recall": "Sensitivity (recall)",
    "precision": "PPV (precision)",
    "npv": "NPV",
    "f1": "F1",
    "n_malignant": "Malignant",
    "p": "p",
    "p_holm": "p (Holm)",
    "n": "n",
    "iou": "IoU",
    "froc": "FROC",
}
"""Headings of columns whose name is no heading."""

NAMED = ("model", "model_a", "model_b")
DROPPED = ("note", "seen_test_patients", "leaking")
"""Columns that the marks and the caption of a LaTeX table replace."""


@dataclass(frozen=True)
class TableFile:
    """A CSV of the comparison: where it is in the results, and its content, None where it is too large."""

    name: str
    path: str
    uri: str | None


def table_file(comparison: Path, name: str) -> TableFile | None:
    """Return the CSV of a table for the link below it; None where there is no such file.

    Parameters
    ----------
    comparison
        Folder of the comparison.
    name
        Of the table, without the suffix; a table of another stage starts with `../`.
    """
    path = comparison / f"{name}.csv"
    if not path.is_file():
        return None
    file: File | None = data_file(path) if path.stat().st_size <= LARGEST_IN_PAGE else None
    shown = name.removeprefix("../") if name.startswith("../") else f"{comparison.name}/{name}"
    return TableFile(path.name, f"{shown}.csv", file.uri if file else None)


def write_tables(comparison: Path, output: Path, titles: Mapping[str, str]) -> None:
    """Write each CSV of the comparison as Parquet, and each that fits into a paper as LaTeX.

    Parameters
    ----------
    comparison
        Folder of the comparison.
    output
        Folder for the files.
    titles
        Titles of classifiers by name.

    Raises
    ------
    StudyError
        If a table cannot be read.
    """
    output.mkdir(parents=True, exist_ok=True)
    for path in sorted(comparison.glob("*.csv")):
        try:
            table = read_results(path)
        except pd.errors.EmptyDataError:
            continue
        except (OSError, ValueError) as error:
            raise StudyError(f"table {path} cannot be read ({error}); run the comparison again") from error
        with writing(output / f"{path.stem}.parquet") as temporary:
            table.to_parquet(temporary, index=False)
        if 0 < len(table) <= LONGEST_LATEX:
            write_text(output / f"{path.stem}.tex", latex(path.stem, table, titles))


def latex(name: str, table: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """Return a table as LaTeX for the packages booktabs and longtable, each value with its interval in one cell.

    The marks of the study are in the caption, and those of a row in its own column.

    Parameters
    ----------
    name
        Of the table.
    table
        Its rows, not empty.
    titles
        Titles of classifiers by name.
    """
    bounds = {f"{column}_{end}" for column in table.columns for end in ("low", "high")} & set(table.columns)
    columns = [column for column in table.columns if column not in DROPPED and column not in bounds]
    columns = [column for column in columns if table[column].notna().any()]
    shown = pd.DataFrame({column: _cells(table, column, titles) for column in columns})
    marks = [", ".join(row_marks(row)) for row in table.to_dict("records")]
    if any(marks):
        shown.insert(1, "marks", marks)
    study = study_marks(table)
    caption = f"{_heading(name)}{f' ({study})' if study else ''}. Values with their intervals over patients."
    renamed = shown.rename(columns={column: _heading(column) for column in shown.columns})
    styler = renamed.style.hide(axis="index").format(escape="latex").format_index(escape="latex", axis="columns")
    text = styler.to_latex(
        environment="longtable",
        hrules=True,
        caption=_escaped(caption),
        label=f"tab:{name}",
        column_format="l" + "r" * (len(shown.columns) - 1),
    )
    notes = list(dict.fromkeys(str(note) for note in table["note"].dropna())) if "note" in table.columns else []
    head = [
        f"% {name}.csv of mammoflow; needs \\usepackage{{booktabs,longtable}}",
        *(f"% note: {note}" for note in notes),
    ]
    return "\n".join(head).replace("\r", " ") + "\n" + text


def study_marks(table: pd.DataFrame) -> str:
    """Return the marks of the whole study that every note of a table repeats."""
    notes = table["note"].fillna("").astype(str) if "note" in table.columns else pd.Series(dtype=str)
    return ", ".join(mark for mark in MARKS if notes.str.contains(mark, regex=False).any())


def row_marks(row: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return what limits one row of any table: an oracle, test patients that were seen, scores of another tool."""
    found = list(model_marks({"note": _text(row.get("note"))}))
    if _text(row.get("mark")):
        found.append(_text(row.get("mark")))
    counts = (row.get("seen_test_patients"), row.get("patients_seen"))
    of_test = _text(row.get("split")) in ("", "test")  # rows of all lesions count training patients, too
    if of_test and any(count is not None and not pd.isna(count) and float(count) > 0 for count in counts):
        found.append("test patients seen")
    return tuple(dict.fromkeys(found))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _cells(table: pd.DataFrame, column: str, titles: Mapping[str, str]) -> list[str]:
    values = table[column].tolist()
    if column in NAMED:
        return [display_name(str(value), titles) for value in values]
    low, high = (
        table[f"{column}_{end}"].tolist() if f"{column}_{end}" in table.columns else None for end in ("low", "high")
    )
    if low is None or high is None:
        return [_written(value) for value in values]
    return [
        _written(value) + (f" ({_written(start)} to {_written(end)})" if pd.notna(start) and pd.notna(end) else "")
        for value, start, end in zip(values, low, high, strict=True)
    ]


def _written(value: object) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else (f"{value:.3f}" if abs(value) >= 0.001 else f"{value:.2g}")
    return str(value)


def _heading(column: str) -> str:
    words = column.replace("_", " ")
    return WORDS.get(column, words[:1].upper() + words[1:])


def _escaped(text: str) -> str:
    for letter in "&%$#_{}":
        text = text.replace(letter, f"\\{letter}")
    return text
