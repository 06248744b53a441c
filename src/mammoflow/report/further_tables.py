"""Rows of the tables behind the headline: tests, operating points, calibration, use, subgroups, levels, protocols."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mammoflow.config.evaluation import PROTOCOL_TABLE, ReportSettings
from mammoflow.report.content import Row, Tables

SHOWN = (
    "decision_tests",
    "operating_points",
    "thresholds",
    "calibration",
    "reliability",
    "decision_curve",
    "reclassification",
    "fusion",
    "subgroups",
    "comparison_by_level",
    "foreign_unmatched",
)
"""Tables of the comparison of which the page has every row that it shows under the name of the table."""

FURTHER_FILES = {
    "predictions": "every score of every model on every lesion, for R, Stata and other programs",
    "predictions_by_level": "probabilities of images, findings, breasts and patients",
    "exclusions": "every case that was left out, with the reason and the file",
    "dice_by_diameter": "Dice and longest diameter of each lesion",
    "segmentation_heads": "the three heads of the first iteration of promptable models",
    "segmentation_empty": "masks on images without a lesion",
    "froc": "points of the FROC curves of automatic models",
    "discordant": "lesions that a model and BI-RADS call differently",
}
"""Tables that no section shows whole, with what they contain. Most have ids, so the page names them and has no copy."""


def further_values(settings: ReportSettings, tables: Tables, headline: Iterable[Row]) -> dict[str, Any]:
    """Return the values of the sections behind the headline.

    Parameters
    ----------
    settings
        `protocols` names the folder of a comparison of two protocols.
    tables
        Of the comparison.
    headline
        Rows of `comparison.csv`.
    """
    found: dict[str, Any] = {name: tables.rows(name) for name in SHOWN}
    return found | {
        "interactions": interaction_rows(found["subgroups"]),
        "within_folds": [row for row in headline if row.get("auc_within_folds") is not None],
        "protocols": Tables(Path(settings.protocols)).rows(Path(PROTOCOL_TABLE).stem) if settings.protocols else [],
        "protocol_file": f"{settings.protocols}/{PROTOCOL_TABLE}",
        "further_files": {
            name: text for name, text in FURTHER_FILES.items() if (tables.folder / f"{name}.csv").is_file()
        },
    }


def interaction_rows(subgroups: Iterable[Row]) -> list[Row]:
    """Return the test of each grouping and model whether its AUC differs between the groups, with their lesions.

    Parameters
    ----------
    subgroups
        Rows of `subgroups.csv`, each of which repeats the test of its grouping and model.
    """
    tests: dict[tuple[str, str], Row] = {}
    for row in subgroups:
        if row["interaction_p"] is None:
            continue
        test = tests.setdefault((row["grouping"], row["model"]), {**row, "n": 0, "n_malignant": 0})
        test["n"] += row["n"]
        test["n_malignant"] += row["n_malignant"]
    return list(tests.values())
