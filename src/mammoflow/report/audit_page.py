"""The page of the audit, with the first rows of its tables, and the section of the report."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from mammoflow.cohort.audit.audit import Audit
from mammoflow.config.split_names import SPLITS
from mammoflow.config.study_modality import StudyModality
from mammoflow.report.audit_diagram import flow_diagrams
from mammoflow.report.page import render
from mammoflow.report.wording import in_words_of, speaks_of_birads

Row = dict[str, Any]


def audit_values(audit: Audit, listed: int, modality: StudyModality = "auto") -> Row:
    """Return the values for the templates of the audit.

    Parameters
    ----------
    audit
        The audit.
    listed
        Number of cases in each list; a list also says how many cases there are.
    modality
        Of the study.
    """
    crossed = audit.tables["birads_by_pathology"]
    pathologies = [name for name in crossed.columns if name not in ("birads", "all", "malignant_share")]
    counts = rows_of(audit.tables["counts"])
    return {
        "study": audit.study,
        "phantom": audit.phantom,
        "published": audit.published,
        "findings": audit.findings,
        "diagrams": flow_diagrams(audit.flow),
        "flow_rows": rows_of(audit.tables["flow"]),
        "groupings": [
            (name, [row for row in counts if row["grouping"] == name])
            for name in dict.fromkeys(row["grouping"] for row in counts)
        ],
        "splits": SPLITS,
        "crossed": rows_of(crossed),
        "pathologies": pathologies,
        "birads_belongs": speaks_of_birads(modality, is_assessed(audit)),
        "spacing": rows_of(audit.tables["spacing"]),
        "flags": rows_of(audit.tables["flags"]),
        "lesion_flags": rows_of(audit.tables["lesion_flags"]),
        "reasons": rows_of(audit.tables["exclusion_reasons"]),
        "excluded": _excluded(audit.tables["excluded"], listed),
        "lists": {
            name: {"rows": rows_of(audit.tables[name].head(listed)), "all": len(audit.tables[name])}
            for name in (
                "films_stored_twice",
                "identical_pixels",
                "patients_in_both_official_splits",
                "similar_patients",
                "several_lesions",
                "conflicting_findings",
                "flagged_images",
                "flagged_lesions",
            )
        },
    }


def is_assessed(audit: Audit) -> bool:
    """Tell whether a lesion of the study has a BI-RADS assessment."""
    return bool(pd.to_numeric(audit.tables["birads_by_pathology"]["birads"], errors="coerce").notna().any())


def render_audit(audit: Audit, title: str, listed: int, modality: StudyModality = "auto") -> str:
    """Return the audit's page: HTML that loads nothing else."""
    page = render({"title": title, **audit_values(audit, listed, modality)}, "audit.html.j2")
    return in_words_of(modality, is_assessed(audit), page)


def render_section(audit: Audit, listed: int, modality: StudyModality = "auto") -> str:
    """Return the part of the page that is also a section of the report."""
    section = render(audit_values(audit, listed, modality), "audit_section.html.j2")
    return in_words_of(modality, is_assessed(audit), section)


def rows_of(table: pd.DataFrame) -> list[Row]:
    """Return the rows of a table, with None for missing values."""
    return [
        {str(name): None if value is pd.NA or _is_nan(value) else value for name, value in row.items()}
        for row in table.astype(object).to_dict("records")
    ]


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _excluded(excluded: pd.DataFrame, listed: int) -> list[Row]:
    """Group the excluded cases by stage, level and reason, each group with its first cases."""
    groups = [
        {"stage": stage, "level": level, "reason": reason, "all": len(cases), "rows": rows_of(cases.head(listed))}
        for (stage, level, reason), cases in excluded.groupby(["stage", "level", "reason"])
    ]
    return sorted(groups, key=lambda group: (group["stage"], -group["all"], group["level"], group["reason"]))
