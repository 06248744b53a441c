"""The one way to read and write tables: Parquet files with a declared schema, and CSV files for people.

Keys never change meaning: `patient_id`; `image_id`, one film or exposure; `lesion_id`, one annotated abnormality on one
image; `finding_id`, the same abnormality over its views. Columns beyond the declared ones are allowed and kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.engines.pandas_engine import Engine
from pandera.errors import SchemaErrors

from mammoflow.errors import StudyError
from mammoflow.storage.files import writing

_RESTS: dict[tuple[int, tuple[str, ...]], tuple[pa.DataFrameSchema, pa.DataFrameSchema]] = {}
_EMPTY: dict[int, tuple[pa.DataFrameSchema, pd.DataFrame]] = {}
_TYPES: dict[tuple[int, str, Any], tuple[pa.DataFrameSchema, bool]] = {}


def empty_table(schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Return a table of the schema's columns and types without rows."""
    if id(schema) not in _EMPTY:  # the entry keeps the schema, so that its id is not given to another one
        columns = {name: pd.Series(dtype=str(column.dtype)) for name, column in schema.columns.items()}
        _EMPTY[id(schema)] = (schema, pd.DataFrame(columns))
    return _EMPTY[id(schema)][1].copy()


def validate_table(table: pd.DataFrame, schema: pa.DataFrameSchema, origin: str) -> pd.DataFrame:
    """Bring a table to its schema's types and check it.

    Raises
    ------
    StudyError
        If a column is missing, a value does not fit, or a key is repeated; the message shows the first cases.
    """
    if table.empty:
        empty = empty_table(schema)
        table = table.assign(**{name: empty[name] for name in empty.columns if name not in table.columns})
    table = _with_certain_types(table, schema)
    plain = _plain_columns(table, schema)
    if _is_plain(table, schema, plain):
        return pd.DataFrame(table)
    # The key is looked at with its table.
    plain = tuple(name for name in plain if name not in (schema.unique or ()))
    try:
        return pd.DataFrame(_rest(schema, plain).validate(table, lazy=True))
    except SchemaErrors as error:
        cases = error.failure_cases[["column", "check", "failure_case"]].head(5).to_string(index=False)
        raise StudyError(f"{origin} does not fit the {schema.name} table:\n{cases}") from error


def _with_certain_types(table: pd.DataFrame, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Bring whole numbers, and numbers that are all null, to the declared type; no value can be lost.

    Most tables differ from their schema in nothing else, and the schema takes milliseconds for each of its columns.
    """
    certain = {
        name: str(column.dtype)
        for name, column in schema.columns.items()
        if column.coerce and name in table.columns and _is_certain(table[name], str(column.dtype))
    }
    try:
        return table.astype(certain) if certain else table
    except (TypeError, ValueError):
        # such as 1e30 as a whole number: the schema says which column it is
        return table


def _is_certain(values: pd.Series, declared: str) -> bool:
    if str(values.dtype) == declared or declared not in ("Int64", "float64"):
        return False
    if declared == "Int64" and values.dtype == "float64":
        return bool((values.dropna() % 1 == 0).all())
    return (declared == "Int64" and values.dtype == "int64") or bool(values.isna().all())


def _plain_columns(table: pd.DataFrame, schema: pa.DataFrameSchema) -> tuple[str, ...]:
    """Return the columns that fit at a glance: of the declared type, without a forbidden null, all checks passed.

    The schema needs a millisecond for each column that it checks, and nearly all columns of nearly all tables fit.
    """
    return tuple(
        name
        for name, column in schema.columns.items()
        if name in table.columns
        and not column.unique
        and _has_type(schema, name, table[name].dtype)
        and (column.nullable or not table[name].hasnans)
        and all(_passes(check, table[name]) for check in column.checks)
    )


def _is_plain(table: pd.DataFrame, schema: pa.DataFrameSchema, plain: tuple[str, ...]) -> bool:
    """Tell whether a whole table fits at a glance, its key included, so that the schema need not look at it."""
    present = {name for name, column in schema.columns.items() if column.required or name in table.columns}
    return present == {*plain} and not (schema.unique and table.duplicated([*schema.unique]).any())


def _has_type(schema: pa.DataFrameSchema, name: str, dtype: Any) -> bool:
    """Tell whether a type is the one that a schema declares for a column; each type is looked up once."""
    key = (id(schema), name, dtype)
    if key not in _TYPES:
        column = schema.columns[name]
        # A key, and what has checks, must be of the very type: the schema brings int64 to Int64 and objects to text.
        is_exact = bool(column.checks) or name in (schema.unique or ())
        is_same = isinstance(dtype, pd.StringDtype) or str(dtype) == str(column.dtype)
        fits = bool(column.dtype.check(Engine.dtype(dtype))) and (is_same or not is_exact)
        _TYPES[key] = (schema, fits)
    return _TYPES[key][1]


def _passes(check: pa.Check, values: pd.Series) -> bool:
    """Tell whether all values that are not null pass a check; False where only the schema can say it."""
    if values.dtype == object:
        return False
    bounds = check.statistics or {}
    if check.name == "isin":
        return {value for value in values.unique() if not pd.isna(value)} <= {*bounds["allowed_values"]}
    if check.name not in ("in_range", "greater_than"):
        return False
    low, high = values.min(), values.max()  # null where all values are
    if check.name == "in_range" and bounds["include_min"] and bounds["include_max"]:
        return bool(pd.isna(low) or (bounds["min_value"] <= low and high <= bounds["max_value"]))
    return check.name == "greater_than" and bool(pd.isna(low) or low > bounds["min_value"])


def _rest(schema: pa.DataFrameSchema, columns: tuple[str, ...]) -> pa.DataFrameSchema:
    """Return a schema without some of its columns; it is made once."""
    key = (id(schema), columns)
    if key not in _RESTS:  # the entry keeps the schema, so that its id is not given to another one
        _RESTS[key] = (schema, schema.remove_columns([*columns]))
    return _RESTS[key][1]


def write_table(table: pd.DataFrame, schema: pa.DataFrameSchema, path: Path) -> pd.DataFrame:
    """Validate a table and write it as Parquet in one step, never half; return what was written."""
    valid = validate_table(table, schema, f"table for {path}")
    with writing(path) as temporary:
        valid.reset_index(drop=True).to_parquet(temporary, index=False)
    return valid


def write_csv(path: Path, table: pd.DataFrame, digits: int = 6) -> None:
    """Write a table as CSV in one step; what is not defined is an empty field.

    Parameters
    ----------
    path
        The file.
    table
        Its rows.
    digits
        Significant digits of its numbers; 17 keep them exactly.
    """
    with writing(path) as temporary:
        table.to_csv(temporary, index=False, float_format=f"%.{digits}g")


def read_table(path: Path, schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Read a Parquet table and check it against its schema.

    Raises
    ------
    StudyError
        If the file is missing, damaged, or does not fit.
    """
    return validate_table(read_parquet(path), schema, f"table {path}")


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet table that a stage wrote, without checking its columns.

    Raises
    ------
    StudyError
        If the file is missing or damaged.
    """
    if not path.is_file():
        raise StudyError(f"table {path} does not exist; run the stage that writes it first")
    try:
        return pd.read_parquet(path)
    except Exception as error:  # pyarrow has many kinds of errors for damaged files, and pandas for odd metadata
        raise _damaged(path, error) from error


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """Read a CSV table that a stage wrote.

    Parameters
    ----------
    path
        The file.
    options
        Of `pandas.read_csv`.

    Raises
    ------
    StudyError
        If the file is missing or damaged. A table that lacks its last rows is not noticed.
    """
    if not path.is_file():
        raise StudyError(f"table {path} does not exist; run the stage that writes it first")
    try:
        return pd.DataFrame(pd.read_csv(path, **options))
    except (OSError, ValueError) as error:  # the errors of pandas and of decoding are ValueErrors
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> StudyError:
    said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return StudyError(f"table {path} is damaged ({said}); remove it, and run the stage that writes it again")


def read_tables(paths: list[Path], schema: pa.DataFrameSchema) -> pd.DataFrame:
    """Read the shards of a table and join them in the order given."""
    tables = [read_table(path, schema) for path in paths]
    filled = [table for table in tables if not table.empty] or tables[:1]
    return pd.concat(filled, ignore_index=True)
