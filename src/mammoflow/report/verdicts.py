"""What the tests say, in sentences: the primary comparison, non-inferiority, and adjusted p values of all models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mammoflow.evaluation.candidates import BIRADS, display_name
from mammoflow.evaluation.hypotheses import AGAINST_READER, PRIMARY, probability_value
from mammoflow.report.content import Row
from mammoflow.report.first_screen import model_marks
from mammoflow.report.page import number, signed


def verdicts(
    tests: Sequence[Row], settings: Mapping[str, Any], titles: Mapping[str, str], assessed: bool = True
) -> list[str]:
    """Return the sentences below the finding.

    Parameters
    ----------
    tests
        Rows of `auc_tests.csv`.
    settings
        Of the comparison.
    titles
        Titles of classifiers by name.
    assessed
        Whether test lesions have a BI-RADS assessment. Without one no test against BI-RADS exists, so no sentence is
        about one.
    """
    confidence = f"{100 * float(settings['confidence']):g} %"
    if not assessed:
        tests = [row for row in tests if BIRADS not in (row["model_a"], row["model_b"])]
    primary = [row for row in tests if row["hypothesis"] == PRIMARY]
    if not assessed and not primary:
        return []
    return [
        _primary(primary, confidence, titles),
        *_non_inferiority(tests, settings, titles),
        *_family([row for row in tests if row["hypothesis"] == AGAINST_READER], confidence, titles),
    ]


def against_reader(tests: Sequence[Row]) -> dict[str, Row]:
    """Return the test of each model against BI-RADS by the name of the model."""
    wanted = (PRIMARY, AGAINST_READER)
    return {str(row["model_a"]): row for row in tests if row["model_b"] == BIRADS and row["hypothesis"] in wanted}


def _primary(rows: Sequence[Row], confidence: str, titles: Mapping[str, str]) -> str:
    if not rows:
        return (
            "Primary comparison: none was named beforehand (comparison.primary), so the p value of every model "
            "against BI-RADS is adjusted."
        )
    row = rows[0]
    names = " against ".join(_name(row[key], titles) for key in ("model_a", "model_b"))
    if row["p"] is None:
        return f"Primary comparison, named beforehand: {names}. There are too few patients for a test."
    return (
        f"Primary comparison, named beforehand: {names}{_marks(row)}, {_difference(row, confidence)}, "
        f"{probability_value(row['p'])}, not adjusted (DeLong over patients)."
    )


def _non_inferiority(tests: Sequence[Row], settings: Mapping[str, Any], titles: Mapping[str, str]) -> list[str]:
    margin = settings.get("non_inferiority_margin")
    if margin is None:
        return []
    wanted = [row for row in tests if row["hypothesis"] == PRIMARY] or [*against_reader(tests).values()]
    tested = [row for row in wanted if row.get("not_inferior") is not None]
    if not tested:
        return [f"Non-inferiority with the margin {margin:g} in AUC: there are too few patients for a test."]
    shown = [row for row in tested if bool(row["not_inferior"])]
    level = f"{(1 - float(settings['confidence'])) / 2:.3g}"
    if len(tested) == 1:
        row = tested[0]
        said = "is shown" if shown else "is not shown"
        return [
            f"Non-inferiority of {_name(row['model_a'], titles)} to {_name(row['model_b'], titles)}{_marks(row)} "
            f"{said} with the margin {margin:g} in AUC, named beforehand (one-sided "
            f"{probability_value(row['non_inferiority_p'])}, level {level})."
        ]
    names = ", ".join(f"{_name(row['model_a'], titles)}{_marks(row)}" for row in shown)
    return [
        f"Non-inferiority to BI-RADS with the margin {margin:g} in AUC, named beforehand, is shown for {len(shown)} of "
        f"{len(tested)} models{f': {names}' if shown else ''}. Each test is one-sided at the level {level}; they are "
        "not adjusted for the number of models."
    ]


def _family(rows: Sequence[Row], confidence: str, titles: Mapping[str, str]) -> list[str]:
    tested = [row for row in rows if row["p_holm"] is not None]
    if not tested:
        return []
    level = 1 - float(confidence.split()[0]) / 100
    found = [row for row in tested if row["p_holm"] <= level]
    others = len(tested) - len(found)
    listed = "; ".join(
        f"{_name(row['model_a'], titles)}{_marks(row)} {_difference(row, confidence)}, "
        f"Holm-adjusted {probability_value(row['p_holm'])}"
        for row in sorted(found, key=lambda row: row["p_holm"])[:4]
    )
    smallest = min(tested, key=lambda row: row["p_holm"])
    if not found:
        return [
            f"All models against BI-RADS, adjusted by Holm: none of {len(tested)} differs at {level:.2g}; the smallest "
            f"adjusted p value is that of {_name(smallest['model_a'], titles)}{_marks(smallest)}, "
            f"{probability_value(smallest['p_holm'])}."
        ]
    more = f"; and {len(found) - 4} more" if len(found) > 4 else ""
    return [
        f"All models against BI-RADS, adjusted by Holm: {len(found)} of {len(tested)} "
        f"{'differs' if len(found) == 1 else 'differ'} at {level:.2g}: {listed}{more}; "
        f"{others} {'does' if others == 1 else 'do'} not."
    ]


def _difference(row: Row, confidence: str) -> str:
    low, high = row.get("low"), row.get("high")
    bounds = (
        "no interval" if low is None or high is None else f"{confidence} interval {signed(low, 2)} to {signed(high, 2)}"
    )
    counted = f"n = {number(row['n'], 0)} lesions of {number(row['patients'], 0)} patients"
    return f"difference in AUC {signed(row['difference'])} ({bounds}, {counted})"


def _marks(row: Row) -> str:
    """Return what limits the models of a row, behind their names: an oracle, another tool, test patients seen."""
    marks = model_marks(row)
    return f" ({'; '.join(marks)})" if marks else ""


def _name(model: object, titles: Mapping[str, str]) -> str:
    return display_name(str(model), titles).replace(BIRADS, "BI-RADS")
