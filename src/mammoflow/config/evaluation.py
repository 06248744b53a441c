"""Settings of the comparison and the report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.config.base import Settings


class ComparisonSettings(Settings):
    """The table of every model against BI-RADS."""

    birads_zero: Literal["as_written", "positive", "left_out"] = Field(
        "as_written",
        description="BI-RADS 0 means incomplete: count it as written (not above 3), as positive, or leave the row out.",
    )
    bootstrap: int = Field(1000, ge=100, description="Resamples of patients behind each interval.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Coverage of the intervals.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap.")


class ReportSettings(Settings):
    """The HTML report."""

    title: str = Field("mammoflow report", description="Title of the report; phantom studies are marked in any case.")
    overlays: int = Field(
        6, ge=0, le=60, description="Number of lesions shown for each model with outlines and prompt."
    )
