"""The audit stage: writes counts, checks and a flow diagram of a study as JSON, CSV and one HTML page."""

from __future__ import annotations

import json
from pathlib import Path

from mammoflow.cohort.audit.audit import Audit, audit_study
from mammoflow.cohort.audit.study_tables import read_study
from mammoflow.config.audit import AuditSettings
from mammoflow.report.audit_page import render_audit, render_section
from mammoflow.storage.files import read_json, write_text
from mammoflow.tables.files import write_csv
from mammoflow.tables.study import noted


def write_audit(settings: AuditSettings, cohort: Path, images: list[Path], output: Path) -> Audit:
    """Audit a study and write the findings.

    Parameters
    ----------
    settings
        Title of the page and length of its lists.
    cohort
        Folder of the cohort stage.
    images
        Folders of the image stage, one for each shard. Without them, the audit leaves out pixels, header spacing and
        flags.
    output
        Folder for `audit.json`, one CSV for each table, `audit.html`, and `section.html`, the section of the report.

    Raises
    ------
    StudyError
        If a table is missing or does not fit its schema.
    """
    audit = audit_study(read_study(read_json(cohort / "study.json"), cohort, images))
    for name, table in audit.tables.items():
        write_csv(output / f"{name}.csv", noted(table, audit.study))
    write_text(output / "audit.json", json.dumps(audit.record(), indent=2, ensure_ascii=False, default=str) + "\n")
    write_text(output / "section.html", render_section(audit, settings.listed, settings.modality))
    write_text(output / "audit.html", render_audit(audit, settings.title, settings.listed, settings.modality))
    return audit
