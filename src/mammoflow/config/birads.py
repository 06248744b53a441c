"""Settings of the tables of BI-RADS alone, which need case tables and no images."""

from __future__ import annotations

from pydantic import Field

from mammoflow.config.cohort import DatasetSettings
from mammoflow.config.evaluation import IntervalSettings


class BiradsJob(IntervalSettings):
    """The studies whose BI-RADS assessments are scored, and how intervals are computed."""

    datasets: list[DatasetSettings] = Field(
        min_length=1, description="The studies; each has rows of its own in the tables."
    )
