"""The report's section on classifiers of several classes: rows of the table, and a sentence for each classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mammoflow.evaluation.candidates import display_name
from mammoflow.evaluation.class_scores import LARGEST_CLASS
from mammoflow.evaluation.class_tables import ranked_models
from mammoflow.report.content import Row, Tables
from mammoflow.report.page import number

MALIGNANT = "malignant"


def class_values(tables: Tables, settings: Mapping[str, Any], titles: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of the section; without classifiers of classes the page has no such section.

    Parameters
    ----------
    tables
        Of the comparison.
    settings
        Of the comparison.
    titles
        Titles of classifiers by name.
    """
    if not (tables.folder / "classes.csv").is_file():
        return {"classes": [], "class_sentences": [], "class_differences": []}
    rows = tables.rows("classes")
    differences = [row for row in tables.rows("class_differences") if row["accuracy_difference"] is not None]
    return {
        "classes": [(model, [row for row in rows if row["model"] == model]) for model in _models(rows)],
        "class_sentences": sentences(rows, float(settings["confidence"]), titles),
        "class_differences": differences,
    }


def _models(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(str(row["model"]) for row in rows))


def sentences(rows: Sequence[Row], confidence: float, titles: Mapping[str, str]) -> list[str]:
    """Return one sentence for each classifier: how often it is right, against the largest class, and its mean AUC.

    Parameters
    ----------
    rows
        Of `classes.csv`.
    confidence
        Coverage of the intervals.
    titles
        Titles of classifiers by name.
    """
    floor = next((row for row in rows if row["model"] == LARGEST_CLASS and not row["class"]), None)
    malignant = {str(row["model"]): row for row in rows if row["class"] == MALIGNANT}
    said = []
    for row in ranked_models(rows):
        name = display_name(str(row["model"]), titles)
        if not row["n"]:
            said.append(f"{name} has no test image of known class.")
            continue
        said.append(
            f"{name} gives {_percent(row['accuracy'])} of {row['n']} test images of {row['patients']} patients their "
            f"class{_bounds(row, 'accuracy', confidence)}{_always(floor)}."
            + _areas(row, malignant.get(str(row["model"])), confidence)
        )
    return said


def _always(floor: Row | None) -> str:
    if floor is None or floor["accuracy"] is None:
        return ""
    return f"; the largest class alone is right for {_percent(floor['accuracy'])}"


def _areas(row: Mapping[str, Any], malignant: Row | None, confidence: float) -> str:
    """Say the mean AUC, and that of malignant images against all others where this is a class."""
    if row["auc"] is None:
        return ""
    said = f" The mean AUC of each class against the rest is {number(row['auc'])}{_bounds(row, 'auc', confidence)}"
    if malignant is None or malignant["auc"] is None:
        return f"{said}."
    bounds = _bounds(malignant, "auc", confidence)
    return f"{said}, and malignant images against all others {number(malignant['auc'])}{bounds}."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _bounds(row: Mapping[str, Any], metric: str, confidence: float) -> str:
    low, high = row[f"{metric}_low"], row[f"{metric}_high"]
    if low is None or high is None:
        return " (no interval)"
    return f" ({100 * confidence:g} % interval {number(low, 2)} to {number(high, 2)})"
