"""Settings of scores and masks that another tool gave."""

from __future__ import annotations

import math
import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from mammoflow.config.base import Settings
from mammoflow.config.paths import LONGEST_NAME, UserPath

KEYS = ("lesion_id", "finding_id", "image_id", "patient_id", "laterality", "view", "source", "image", "mask")
"""What a table's rows can be matched by: columns of the cohort's lesions, and paths of images and masks."""

BREAST = ("patient_id", "laterality")

PLACE = re.compile(r"\{([^{}]*)\}")
"""A part of a key in the pattern of a file."""

FOREIGN = "foreign predictions, training patients unknown"
"""The mark of a row that another tool's scores are behind."""

CHOSEN_THRESHOLD = "threshold chosen on validation"
NO_THRESHOLD = "no threshold: none is given, and validation does not hold scores of both classes"
"""Notes of such a row on its threshold; without one, the threshold is as given."""


class ForeignSource(Settings):
    """What another tool gave, and how it is matched to the lesions of the study."""

    name: str = Field(min_length=1, max_length=LONGEST_NAME, description="Name of the tool in tables and figures.")
    key: str | list[str] = Field(
        "lesion_id",
        description="What a row is about: lesion_id, finding_id, image_id, patient_id, breast (patient and side), "
        "image or mask (path or name of the file, as the case table has it), or a list such as [patient_id, "
        "laterality, view]. A lesion takes the score of its image, breast or patient.",
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Names of the key columns in the table where they differ, such as {image_id: File}.",
    )
    encoding: str = Field("", description="Encoding of a CSV table; empty: told from its content.")
    delimiter: str = Field("", description="Delimiter of a CSV table; empty: told from its content.")
    sheet: str = Field("", description="Sheet of an Excel workbook; empty: its only sheet.")

    @field_validator("name")
    @classmethod
    def check_name(cls, name: str) -> str:
        """Refuse a name that cannot be in the notes of the tables, or that a figure would read as a formula."""
        if name != name.strip() or ";" in name or "$" in name or not name.isprintable():
            raise ValueError(f"name is {name!r}; expected a name without ; and $, line breaks and outer blanks")
        return name

    @model_validator(mode="after")
    def check_keys(self) -> Self:
        """Refuse keys that the cohort does not have, and names of columns that are no key."""
        parts = self.key_parts()
        unknown = [part for part in parts if part not in KEYS]
        if unknown or not parts or len(set(parts)) < len(parts):
            raise ValueError(f"key is {self.key!r}; expected breast, or different ones of {', '.join(KEYS)}")
        for name in self.columns:
            if name not in parts:
                raise ValueError(f"columns names {name!r}, which is no part of the key {self.key!r}")
        return self

    def key_parts(self) -> tuple[str, ...]:
        """Return the parts of the key, of `KEYS`."""
        if self.key == "breast":
            return BREAST
        return (self.key,) if isinstance(self.key, str) else tuple(self.key)

    def key_columns(self) -> list[str]:
        """Return the table's column of each part of the key."""
        return [self.columns.get(part, part) for part in self.key_parts()]


class ForeignPredictions(ForeignSource):
    """A table of another tool's scores, which the comparison treats as a trained classifier."""

    table: UserPath = Field(
        min_length=1, description="Its table: CSV with any usual delimiter, an Excel workbook, or Parquet."
    )
    score: str = Field("score", min_length=1, description="Column of the score; higher is more suspicious, any range.")
    threshold: float | None = Field(
        None,
        description="Score from which on a lesion is called malignant. null: it is chosen on validation where the "
        "table has scores of malignant and of benign validation lesions; elsewhere there is none, and only the "
        "AUC is given.",
    )
    repeated: Literal["stop", "max", "mean"] = Field(
        "stop",
        description="What several different scores of one key mean: stop the run, or take the highest or the mean.",
    )

    @field_validator("threshold")
    @classmethod
    def check_threshold(cls, threshold: float | None) -> float | None:
        """Refuse a threshold that is no finite number."""
        if threshold is not None and not math.isfinite(threshold):
            raise ValueError(f"threshold is {threshold}; expected a finite number, or null")
        return threshold


class ForeignMasks(ForeignSource):
    """Masks of another tool, one grey picture for each lesion, which are scored as those of a model are."""

    folder: UserPath = Field(min_length=1, description="Folder of the masks.")
    file: str = Field(
        "{lesion_id}.png",
        min_length=1,
        description="File of a lesion's mask in the folder, with parts of a key in braces, such as "
        "{patient_id}_{laterality}_{view}.png; {image} and {mask} are names of files without their ending. With "
        "`table`, the column that holds the file.",
    )
    table: UserPath = Field(
        "", description="A table that names the file of each key: CSV, an Excel workbook, or Parquet. Empty: none."
    )

    @model_validator(mode="after")
    def check_file(self) -> Self:
        """Refuse a pattern without a key or with an unknown one."""
        parts = PLACE.findall(self.file)
        unknown = [part for part in parts if part not in KEYS]
        if not self.table and (not parts or unknown):
            raise ValueError(f"file is {self.file!r}; expected a pattern with one of {', '.join(KEYS)} in braces")
        return self
