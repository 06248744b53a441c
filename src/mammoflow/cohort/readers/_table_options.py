"""Options of the reader `table`, apart from the reader so that the configuration is read without pandas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from mammoflow.cohort.word_meanings import MEANINGS, WordColumn
from mammoflow.cohort.words import coded_key
from mammoflow.config.base import Settings
from mammoflow.config.cohort import ReaderOptions
from mammoflow.config.paths import StudyPath
from mammoflow.config.yaml_text import text_keys

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
    "image_height",
    "image_width",
    "birth_date",
    "sex",
    "age",
    "class",
]

LabelMeaning = Literal["malignant", "benign", "normal", "unknown"]


class JoinSettings(Settings):
    """A second table whose columns are added to the case table's rows."""

    table: StudyPath = Field(min_length=1, description="The table to add, relative to the study folder.")
    column: str = Field(min_length=1, description="The column that both tables have; unique in the added one.")
    prefix: str = Field(
        "", description="Prefix for the name of each added column, if both tables have columns of one name."
    )
    allow_unmatched: bool = Field(
        False,
        description="Rows whose key is not in the added table get blanks. Without this setting they stop the run if "
        "the added table says which rows are usable, or has the key in another spelling.",
    )


class Options(ReaderOptions):
    """How the columns of one table of any study are read."""

    joins: list[JoinSettings] = Field(default_factory=list, description="Additional tables, each joined on one column.")
    columns: dict[TableColumn, str] = Field(
        default_factory=dict,
        description="Maps each value that mammoflow needs to the column of your table, a pattern such as "
        "'{label}/{image}.png', or a constant such as '=mass'. A value without an entry comes from the "
        "column of the same name, if there is one.",
    )
    labels: dict[str, LabelMeaning] = Field(
        default_factory=dict,
        description="Maps words of the label column to malignant, benign, normal or unknown, in addition to the "
        "usual words. Numbers other than 0 and 1 need it.",
    )
    words: dict[WordColumn, dict[str, str]] = Field(
        default_factory=dict,
        description="For usable, side, view, type, density, birads or split: maps words of that column to yes or no, "
        "L or R, CC or MLO or another view, mass or calcification or unknown, 1 to 4, 0 to 6, train or "
        "test.",
    )
    spacing_factor: float = Field(
        1.0, gt=0, description="The spacing column times this number is millimetres per pixel."
    )
    encoding: str = Field(
        "", description="Encoding of the tables, such as windows-1250; empty detects UTF-8, UTF-16, Windows-1252."
    )
    delimiter: str = Field(
        "", max_length=1, description="The character between values; empty detects comma, semicolon, tab or |."
    )
    sheet: str = Field("", description="Sheet of an Excel workbook; empty uses the first one with content.")

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

    @field_validator("labels", mode="before")
    @classmethod
    def read_labels(cls, values: Any) -> Any:
        """Take numbers and the words that YAML reads as booleans as words of the table."""
        return text_keys(values)

    @field_validator("words", mode="before")
    @classmethod
    def read_words(cls, values: Any) -> Any:
        """Take numbers and the words that YAML reads as booleans as words, also where they are the meaning."""
        if not isinstance(values, dict):
            return values
        booleans: dict[object, str] = {True: "yes", False: "no"}
        return {column: text_keys(words, booleans) for column, words in values.items()}

    @field_validator("labels")
    @classmethod
    def check_labels(cls, labels: dict[str, LabelMeaning]) -> dict[str, LabelMeaning]:
        """Refuse two spellings of one word that mean different things."""
        _refuse_torn_words(labels)
        return labels

    @field_validator("words")
    @classmethod
    def check_words(cls, words: dict[WordColumn, dict[str, str]]) -> dict[WordColumn, dict[str, str]]:
        """Refuse meanings that a column cannot have."""
        for column, meanings in words.items():
            allowed = MEANINGS[column]
            _refuse_torn_words(meanings)
            for word, meaning in meanings.items():
                if allowed and meaning not in allowed:
                    expected = ", ".join(filter(None, allowed)) + (" or a blank" if "" in allowed else "")
                    raise ValueError(f"{column}.{word} is {meaning!r}; expected one of {expected}")
        return words


def _refuse_torn_words(meanings: Mapping[str, str]) -> None:
    first: dict[str, str] = {}
    for word, meaning in meanings.items():
        other = first.setdefault(coded_key(word), word)
        if meanings[other] != meaning:
            raise ValueError(
                f"{other!r} means {meanings[other]!r} and {word!r} means {meaning!r}, but they are one word, as case, "
                "accents and separators do not count; remove one"
            )
