"""Columns of further tables, added to the case table by a common key, and what that leaves blank."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mammoflow.cohort.id_spellings import similar_ids
from mammoflow.cohort.numbers import quoted
from mammoflow.cohort.plain_text import id_key, plain_text
from mammoflow.cohort.readers._table_options import JoinSettings
from mammoflow.cohort.table_files import ORIGIN, PROBLEM, TableForm, columns_of, read_text_table, require_columns
from mammoflow.errors import StudyError

JOINED_PROBLEM = f"{PROBLEM} of the joined table"
KEY = "key of the join"
SHOWN = 3


@dataclass(frozen=True)
class UsedColumns:
    """The columns that the settings read.

    Attributes
    ----------
    names
        All of them.
    usable
        The one that says which rows are usable; None where there is none.
    denies
        Tells whether a value of that column says that a row is not usable.
    """

    names: Collection[str]
    usable: str | None
    denies: Callable[[str], bool]


def read_joined(
    name: str, joins: Sequence[JoinSettings], study: Path, form: TableForm, used: UsedColumns, notes: list[str]
) -> pd.DataFrame:
    """Read a table and add the columns of the joined ones, which have one row per key; a blank key joins nothing.

    A row that takes over values from one that cannot be read cannot be read either.

    Parameters
    ----------
    name
        The table, relative to the study folder.
    joins
        The tables to add.
    study
        The study folder.
    form
        What the settings say about the form of the tables.
    used
        The columns that the settings read.
    notes
        Takes up how many rows a join left blank, with examples of keys.

    Raises
    ------
    StudyError
        If a table or its column is missing, a key occurs twice, no key is common, a key has another spelling in the
        added table, the added table would leave open which rows are usable, or both tables have a column that is read
        and differ in it.
    """
    table = read_text_table(study / name, form, notes)
    for join in joins:
        require_columns(table, [join.column], f"table {name}")
        added = read_text_table(study / join.table, form, notes)
        require_columns(added, [join.column], f"joined table {join.table}")
        table = _joined(table, added, name, join, used, notes)
    return table


def _joined(
    table: pd.DataFrame, added: pd.DataFrame, name: str, join: JoinSettings, used: UsedColumns, notes: list[str]
) -> pd.DataFrame:
    table[KEY], added[KEY] = table[join.column].map(plain_text), added[join.column].map(plain_text)
    added = added[added[KEY] != ""].rename(
        columns={column: join.prefix + column for column in columns_of(added) if column not in (KEY, join.column)}
    )
    repeated = added.loc[added[KEY].duplicated(), KEY]
    if len(repeated):
        raise StudyError(
            f"joined table {join.table} has several rows for {join.column} {repeated.iloc[0]!r}; expected one: "
            "remove the others, or join by another column"
        )
    keyed = table[KEY] != ""
    if len(table) and not table[KEY].isin(added[KEY]).any():
        examples = ", ".join(repr(part[join.column].iloc[0]) for part in (table[keyed], added) if len(part))
        near = similar_ids([*table.loc[keyed, KEY], *added[KEY]])
        hint = f" ({' and '.join(map(quoted, near[0]))} differ in their spelling only)" if near else ""
        raise StudyError(
            f"joined table {join.table} shares no {join.column} with table {name}: found {examples}{hint}; "
            "expected the same spelling in both; mend one, or correct cohort.dataset.options.joins"
        )
    shared = [column for column in columns_of(added) if column in table.columns and column not in (KEY, join.column)]
    new = [column for column in columns_of(added) if column not in table.columns]
    _check_unmatched(table, added, name, join, used.usable in new, notes)
    theirs = added[[KEY, *new, *shared]].rename(columns={column: f"{column} of {join.table}" for column in shared})
    table = table.merge(theirs.assign(**{JOINED_PROBLEM: added[PROBLEM]}), on=KEY, how="left").fillna("")
    for column in shared:
        _settle(table, column, f"{column} of {join.table}", join, used)
    problem = table.pop(JOINED_PROBLEM)
    problem = problem.where(problem == "", f"joined table {join.table}: " + problem)
    table[PROBLEM] = table[PROBLEM].where(table[PROBLEM] != "", problem)
    return table.drop(columns=KEY)


def _check_unmatched(
    table: pd.DataFrame, added: pd.DataFrame, name: str, join: JoinSettings, needed: bool, notes: list[str]
) -> None:
    """Say which keys have no partner; stop where that may be a matter of spelling or decides what is usable."""
    blank = table[KEY] == ""
    alone = table.loc[~table[KEY].isin(added[KEY]) & ~blank, KEY]
    spare = added.loc[~added[KEY].isin(table[KEY]), KEY]
    if not len(alone) and not blank.any():
        return
    said = f"of {len(table)} rows of {name}, {len(alone)} have no row in {join.table}"
    said += f" ({join.column} {_examples(alone)})" if len(alone) else ""
    said += f" and {int(blank.sum())} have a blank {join.column}" if blank.any() else ""
    said += f"; rows of {join.table} without a partner: {len(spare)} ({_examples(spare)})" if len(spare) else ""
    spellings = similar_ids([*alone, *spare])
    both = [group for group in spellings if set(group) & set(alone) and set(group) & set(spare)]
    way_out = "correct the keys, or set allow_unmatched in cohort.dataset.options.joins to give these rows blanks"
    if both and not join.allow_unmatched:
        raise StudyError(f"{said}. {' and '.join(map(quoted, both[0]))} may be one key in two spellings: {way_out}")
    if needed and not join.allow_unmatched:
        raise StudyError(f"{said}. {join.table} says which rows are usable, and for these it says nothing: {way_out}")
    notes.append(f"{said}; their values from {join.table} are blank")


def _settle(table: pd.DataFrame, column: str, theirs: str, join: JoinSettings, used: UsedColumns) -> None:
    """Keep one of two columns of the same name: blanks take the added table's value; differences stop.

    A row that one of the tables calls unusable is unusable.
    """
    other = table.pop(theirs)
    if column not in used.names:
        return
    if column == used.usable:
        denied = other.map(used.denies)
        table[column] = table[column].where(~denied & (table[column] != "") | table[column].map(used.denies), other)
        return
    differing = (table[column] != "") & (other != "") & (table[column].map(id_key) != other.map(id_key))
    if differing.any():
        origin, ours, added = next(
            zip(table.loc[differing, ORIGIN], table.loc[differing, column], other[differing], strict=True)
        )
        raise StudyError(
            f"both tables have the column {column!r} and differ in it in {int(differing.sum())} rows, such as "
            f"{origin}: {quoted(str(ours))}, {join.table}: {quoted(str(added))}; set a prefix for {join.table} in "
            "cohort.dataset.options.joins, and name the column that is right in columns"
        )
    table[column] = table[column].where(table[column] != "", other)


def _examples(keys: pd.Series) -> str:
    different = list(dict.fromkeys(keys))
    return ", ".join(map(quoted, different[:SHOWN])) + (", ..." if len(different) > SHOWN else "")
