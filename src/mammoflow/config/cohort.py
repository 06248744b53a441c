"""Settings of the cohort stage: which study, how to read it, how to split it."""

from __future__ import annotations

import pkgutil
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mammoflow.config.base import Settings

READERS_FOLDER = Path(__file__).parent.parent / "cohort" / "readers"

TableColumn = Literal[
    "image",
    "mask",
    "box_y0",
    "box_x0",
    "box_y1",
    "box_x1",
    "patient",
    "side",
    "view",
    "label",
    "birads",
    "density",
    "subtlety",
    "type",
    "shape",
    "margins",
    "spacing",
    "usable",
    "split",
    "image_id",
    "lesion",
    "finding",
]

LabelMeaning = Literal["malignant", "benign", "normal"]


def reader_names() -> list[str]:
    """Return the names of the readers: one module each in the readers' folder, underscores written as hyphens."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules([str(READERS_FOLDER)]))


def _known_reader(name: str) -> str:
    if name not in reader_names():
        raise ValueError(f"unknown data set reader; the readers are {', '.join(reader_names())}")
    return name


ReaderName = Annotated[str, AfterValidator(_known_reader), Field(json_schema_extra={"enum": [*reader_names()]})]


class JoinSettings(Settings):
    """A second table whose columns are added to the case table's rows."""

    table: str = Field(min_length=1, description="The table to add, relative to the study folder.")
    column: str = Field(min_length=1, description="The column that both tables have; unique in the added one.")


class DatasetSettings(Settings):
    """Where the study lies and which reader understands it."""

    reader: ReaderName = Field(
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
    joins: list[JoinSettings] = Field(
        default_factory=list, description="For the reader `table`: further tables, each joined on one column."
    )
    columns: dict[TableColumn, str] = Field(
        default_factory=dict,
        description="For the reader `table`: what mammoflow looks for -> the column of your table, a pattern such as "
        "'{label}/{image}.png', or a constant such as '=mass'. What is not named is taken from a column of its own "
        "name, where there is one.",
    )
    labels: dict[str, LabelMeaning] = Field(
        default_factory=dict,
        description="For the reader `table`: words of the label column -> malignant, benign or normal, beside the "
        "usual words.",
    )
    spacing_factor: float = Field(
        1.0, gt=0, description="For the reader `table`: the spacing column times this is millimetres per pixel."
    )
    spacing_mm: float | None = Field(
        None, gt=0, description="Pixel spacing in millimetres where neither table nor header gives one; null excludes."
    )

    @model_validator(mode="after")
    def check_table_settings(self) -> Self:
        """Refuse settings that the chosen reader would not look at, and a study without a folder."""
        if self.reader != "table":
            for key in ("joins", "columns", "labels"):
                if getattr(self, key):
                    raise ValueError(
                        f"{key} is set, but only the reader 'table' uses it; the reader is {self.reader!r}"
                    )
        if self.reader == "table" and len(self.tables) != 1:
            raise ValueError(f"the reader 'table' needs exactly one entry in tables, found {self.tables}")
        if self.reader != "phantom" and not self.folder:
            raise ValueError(f"the reader {self.reader!r} needs the study's folder, found an empty one")
        return self


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
