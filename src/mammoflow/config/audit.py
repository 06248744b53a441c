"""Settings of the audit."""

from __future__ import annotations

from pydantic import Field

from mammoflow.config.study_modality import PageSettings


class AuditSettings(PageSettings):
    """Counts, duplicates, leaks, spacing and exclusions of the study, on a separate page."""

    title: str = Field("Audit of the study", description="Title of the page; phantom studies are marked in any case.")
    listed: int = Field(
        40,
        ge=0,
        description="Number of cases in each list of the page, such as films stored twice; the CSV tables have all.",
    )
