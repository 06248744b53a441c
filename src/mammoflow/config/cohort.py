"""Settings of the cohort stage: which study, how to read it, how to split it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.config.base import Settings


class DatasetSettings(Settings):
    """Where the study lies and which reader understands it."""

    reader: Literal["phantom", "cbis-ddsm", "table"] = Field(
        "phantom",
        description="Reader of the study: phantom (embedded), cbis-ddsm (a download and its case tables), "
        "table (one CSV or Parquet that names images, masks or boxes).",
    )
    name: str = Field("phantom", min_length=1, description="Name of the data set, shown in tables and figures.")
    folder: str = Field(
        "", description="Folder of the study; image and mask paths are relative to it. Empty for the phantom study."
    )
    tables: list[str] = Field(
        default_factory=list,
        description="Case tables, relative to the folder; empty takes the reader's usual file names.",
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="For the reader `table`: column of mammoflow -> column (or expression of constants) in your table.",
    )
    spacing_mm: float | None = Field(
        None, gt=0, description="Pixel spacing in millimetres where neither table nor header gives one; null excludes."
    )


class SplitSettings(Settings):
    """How patients are divided; no patient ever stands on two sides."""

    method: Literal["official", "random"] = Field(
        "random",
        description="official keeps the data set's own train/test split (patients in both go to test); "
        "random draws patients, stratified by malignancy.",
    )
    test_fraction: float = Field(0.3, gt=0, lt=1, description="Share of patients held out for test (method random).")
    validation_fraction: float = Field(
        0.2, gt=0, lt=1, description="Share of the training patients on which thresholds and epochs are chosen."
    )
    seed: int = Field(0, ge=0, description="Seed of the draw.")


class CohortSettings(Settings):
    """The cohort stage."""

    dataset: DatasetSettings = Field(default_factory=DatasetSettings, description="The study to read.")
    split: SplitSettings = Field(
        default_factory=SplitSettings, description="The division into train, validation, test."
    )
    shards: int = Field(
        2,
        ge=1,
        le=1024,
        description="Number of jobs that a per-image stage is cut into; patients fall into a shard by hash.",
    )
