"""A table that fits is taken as it is; one wrong value anywhere in it is an error that names its column."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pandera.pandas as pa
import pytest

from mammoflow.errors import StudyError
from mammoflow.tables import files
from mammoflow.tables.columns import flag, integer, number, text
from mammoflow.tables.files import validate_table

SCHEMA = pa.DataFrameSchema(
    {
        "id": text(),
        "side": text(choices=("L", "R"), nullable=True),
        "birads": integer(0, 6),
        "spacing_mm": number(above=0),
        "count": pa.Column("Int64", checks=[pa.Check.ge(0)], coerce=True),
        "seen": flag(),
        "detail": text(required=False),
    },
    unique=["id"],
    name="tests",
)


def table(**changes: Any) -> pd.DataFrame:
    values: dict[str, Any] = {
        "id": ["a", "b"],
        "side": ["L", None],
        "birads": pd.array([6, None], "Int64"),
        "spacing_mm": [0.1, None],
        "count": pd.array([0, 3], "Int64"),
        "seen": [True, False],
    }
    return pd.DataFrame(values | changes)


def test_a_table_that_fits_comes_back_with_its_values_and_types_as_the_schema_gives_them() -> None:
    pd.testing.assert_frame_equal(validate_table(table(), SCHEMA, "x"), pd.DataFrame(SCHEMA.validate(table())))


def test_a_table_that_fits_at_a_glance_does_not_reach_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = SCHEMA.remove_columns(["count"])  # of a check that only the schema knows
    monkeypatch.setattr(files, "_rest", None)
    pd.testing.assert_frame_equal(validate_table(table(), schema, "x"), table())
    with pytest.raises(TypeError):
        validate_table(table(), SCHEMA, "x")


@pytest.mark.parametrize(
    ("column", "values"),
    [("birads", [6, 0]), ("birads", [6.0, None]), ("birads", [None, None]), ("spacing_mm", [None, None])],
)
def test_certain_types_do_not_reach_the_schema(monkeypatch: pytest.MonkeyPatch, column: str, values: Any) -> None:
    schema = SCHEMA.remove_columns(["count"])
    given = table(**{column: values})
    expected = pd.DataFrame(schema.validate(given))
    monkeypatch.setattr(files, "_rest", None)
    assert given[column].dtype != expected[column].dtype
    pd.testing.assert_frame_equal(validate_table(given, schema, "x"), expected)


def test_what_is_returned_can_be_changed_alone() -> None:
    schema, given = SCHEMA.remove_columns(["count"]), table()
    valid = validate_table(given, schema, "x")
    valid.loc[0, "id"] = "z"
    assert given["id"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("id", ["a", "a"]),
        ("id", ["a", None]),
        ("side", ["L", "X"]),
        ("birads", pd.array([7, None], "Int64")),
        ("birads", pd.array([-1, 3], "Int64")),
        ("spacing_mm", [0.0, 0.1]),
        ("spacing_mm", ["wide", "0.1"]),
        ("count", pd.array([-1, 3], "Int64")),
    ],
)
def test_one_wrong_value_is_an_error_that_names_its_column(column: str, values: Any) -> None:
    with pytest.raises(StudyError, match=rf"(?s)tests table:.*{column}"):
        validate_table(table(**{column: values}), SCHEMA, "x")


def test_a_missing_column_is_an_error_unless_it_need_not_be_there() -> None:
    with pytest.raises(StudyError, match="birads"):
        validate_table(table().drop(columns="birads"), SCHEMA, "x")
    assert "detail" not in validate_table(table(), SCHEMA, "x")


def test_other_types_are_brought_to_those_of_the_schema() -> None:
    given = table(birads=[6.0, None], spacing_mm=[1, 2], id=[1, 2])
    assert validate_table(table(birads=[6, 0]), SCHEMA, "x")["birads"].dtype == "Int64"
    assert validate_table(given, SCHEMA, "x").dtypes.astype(str).to_dict() == table().dtypes.astype(str).to_dict()


@pytest.mark.parametrize(
    ("column", "values"),
    [("birads", [1e30, 1.0]), ("spacing_mm", pd.to_datetime([None, None])), ("count", pd.to_datetime([None, None]))],
)
def test_a_type_that_cannot_be_converted_is_an_error_that_names_its_column(column: str, values: Any) -> None:
    with pytest.raises(StudyError, match=column):
        validate_table(table(**{column: values}), SCHEMA, "x")
