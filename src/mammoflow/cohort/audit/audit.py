"""The audit of a study: its tables, the answers to its questions, its flow diagram."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from mammoflow.cohort.audit.counts import assessment_by_pathology, count_groups
from mammoflow.cohort.audit.doubles import (
    conflicting_findings,
    films_stored_twice,
    identical_pixels,
    patients_on_both_sides,
    patients_on_two_sides_of_the_split,
    several_lesions,
)
from mammoflow.cohort.audit.findings import Finding, findings
from mammoflow.cohort.audit.image_tables import flag_counts, flagged_images, flagged_lesions, spacing_by_origin
from mammoflow.cohort.audit.study_flow import StudyFlow, exclusion_reasons, study_flow
from mammoflow.cohort.audit.study_tables import StudyTables
from mammoflow.cohort.id_spellings import spellings_table
from mammoflow.cohort.step_counts import names_lesion
from mammoflow.tables.study import is_phantom


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes
    ----------
    study
        Name, reader, split and notes of the study, and whether it is made of phantoms.
    published
        Counts of the study before anything is left out.
    findings
        Questions and answers.
    flow
        The flow diagram.
    tables
        Tables by name, one CSV each.
    """

    study: dict[str, Any]
    published: dict[str, int]
    findings: list[Finding]
    flow: StudyFlow
    tables: dict[str, pd.DataFrame]

    @property
    def phantom(self) -> bool:
        """Whether the study is made of phantoms."""
        return is_phantom(self.study)

    def record(self) -> dict[str, Any]:
        """Return the audit as a JSON object, without the tables."""
        return {
            "study": self.study,
            "published": self.published,
            "findings": [asdict(finding) for finding in self.findings],
            "flow": {"steps": [asdict(step) for step in self.flow.steps], "splits": self.flow.splits},
        }


def audit_study(tables: StudyTables) -> Audit:
    """Audit a study."""
    flow = study_flow(tables)
    flagged = flagged_images(tables.canonical)
    of_lesions = flagged_lesions(tables.usable)
    audit_tables = {
        "counts": count_groups(tables),
        "birads_by_pathology": assessment_by_pathology(tables.rows),
        "films_stored_twice": films_stored_twice(tables),
        "identical_pixels": identical_pixels(tables),
        "patients_in_both_official_splits": patients_on_both_sides(tables),
        "split_leaks": patients_on_two_sides_of_the_split(tables),
        "several_lesions": several_lesions(tables.rows),
        "conflicting_findings": conflicting_findings(tables.rows),
        "similar_patients": spellings_table(tables.rows),
        "spacing": spacing_by_origin(tables),
        "flags": flag_counts(flagged),
        "flagged_images": flagged,
        "lesion_flags": flag_counts(of_lesions, "lesions"),
        "flagged_lesions": of_lesions,
        "exclusion_reasons": exclusion_reasons(tables.excluded),
        "excluded": tables.excluded,
        "flow": flow.table(),
    }
    study = {name: tables.study.get(name) for name in ("name", "reader", "split", "notes")} | {
        "phantom": tables.phantom
    }
    return Audit(study, published_counts(tables), findings(tables, audit_tables, flow), flow, audit_tables)


def published_counts(tables: StudyTables) -> dict[str, int]:
    """Count rows, patients, stored films and films of the case tables, whatever becomes of them."""
    rows = tables.rows
    files = rows["image_name"].where(rows["image_name"].notna(), rows["image_id"])
    return {
        "rows": int(tables.study.get("counts", {}).get("rows", len(rows))),
        "readable_rows": int(names_lesion(rows).sum()),
        "patients": int(rows["patient_id"].nunique()),
        "stored_films": int(files.nunique()),
        "films": int(rows["image_id"].nunique()),
    }
