"""Options of the reader `table`, apart from the reader so that the configuration is read without pandas."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.config.base import Settings
from mammoflow.config.cohort import ReaderOptions
from mammoflow.config.paths import StudyPath

TableColumn = Literal[
    "image",
    "mask",
    "mask_value",
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


class JoinSettings(Settings):
    """A second table whose columns are added to the case table's rows."""

    table: StudyPath = Field(min_length=1, description="The table to add, relative to the study folder.")
    column: str = Field(min_length=1, description="The column that both tables have; unique in the added one.")


class Options(ReaderOptions):
    """How the columns of one table of any study are read."""

    joins: list[JoinSettings] = Field(default_factory=list, description="Further tables, each joined on one column.")
    columns: dict[TableColumn, str] = Field(
        default_factory=dict,
        description="What mammoflow looks for -> the column of your table, a pattern such as '{label}/{image}.png', or "
        "a constant such as '=mass'. What is not named is taken from the column of the same name, where there is one.",
    )
    labels: dict[str, LabelMeaning] = Field(
        default_factory=dict,
        description="Words of the label column -> malignant, benign or normal, in addition to the usual words.",
    )
    spacing_factor: float = Field(1.0, gt=0, description="The spacing column times this is millimetres per pixel.")

    def further_tables(self) -> list[str]:
        """Return the tables that are joined to the case table."""
        return [join.table for join in self.joins]

    def check_tables(self, tables: list[str]) -> None:
        """Require one case table.

        Raises
        ------
        ValueError
            If there is none or more than one.
        """
        if len(tables) != 1:
            raise ValueError(f"the reader 'table' needs exactly one entry in tables, found {tables}")
