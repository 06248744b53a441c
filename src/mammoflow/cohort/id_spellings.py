"""Ids that are one id in two spellings, as far as anybody can tell, and traces that spreadsheets leave in ids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from mammoflow.cohort.numbers import quoted
from mammoflow.cohort.plain_text import id_key
from mammoflow.errors import StudyError

SHOWN = 5
POWER = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d+")
DATE = re.compile(
    r"(?:19|20)\d\d-\d\d-\d\d(?: 00:00:00)?"
    r"|\d{1,2}[-. ]\s?(?:jan|feb|m[aä]r|apr|ma[iyj]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z]*\.?(?:[- ]\d{2,4})?"
    r"|(?:jan|feb|m[aä]r|apr|ma[iyj]|jun|jul|aug|sep|o[ck]t|nov|de[cz])[a-z]*\.?[- ]\d{2,4}",
    re.IGNORECASE,
)


def similar_ids(ids: Iterable[str]) -> list[list[str]]:
    """Return the groups of ids that differ in their spelling only, as `id_key` compares them.

    Returns
    -------
    list of list
        Each group has at least two different ids, sorted; the groups are in the order of their first id.
    """
    groups: dict[str, set[str]] = {}
    for name in dict.fromkeys(ids):
        groups.setdefault(id_key(name), set()).add(name)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def refuse_similar_patients(patients: Iterable[str], differ: bool, study: str) -> None:
    """Stop where two patients of a study may be one patient, unless the settings say that they differ.

    Parameters
    ----------
    patients
        Patient ids of the study.
    differ
        `ids_differ` of the data set.
    study
        Its name, for the message.

    Raises
    ------
    StudyError
        With the spellings.
    """
    groups = [] if differ else similar_ids(patients)
    if groups:
        raise StudyError(
            f"the study {study!r} has patient ids that differ in their spelling only: {_listed(groups)}. One patient "
            "under two ids would be on both sides of the split: correct the table, or set cohort.dataset.ids_differ to "
            "true if they are different patients"
        )


def refuse_similar_parts(table: pd.DataFrame, column: str, within: Sequence[str], differ: bool) -> None:
    """Stop where one image, lesion or finding of the table may be named in two spellings.

    Parameters
    ----------
    table
        The rows; a blank names nothing.
    column
        Column of the ids.
    within
        Columns whose equal values are one thing that the ids are parts of, such as the image of a lesion.
    differ
        `ids_differ` of the data set.

    Raises
    ------
    StudyError
        With the spellings.
    """
    named = table[table[column] != ""]
    if differ or named.empty:
        return
    keys = named[column].map(id_key)
    several = named.groupby([*(named[name] for name in within), keys])[column].agg(lambda ids: sorted(set(ids)))
    groups = [ids for ids in several if len(ids) > 1]
    if groups:
        raise StudyError(
            f"the column {column} has ids of one {within[-1].removesuffix('_id')} that differ in their spelling only: "
            f"{_listed(groups)}. One {column} under two ids would count twice: correct the table, or set "
            "cohort.dataset.ids_differ to true"
        )


def spellings_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each patient whose id is another one's in another spelling, for the audit.

    Parameters
    ----------
    rows
        With `source` and `patient_id`.

    Returns
    -------
    DataFrame
        `source`, `spelling` (the form in which the ids are equal), `patient_id`, and `ascii`, the id with every
        character outside ASCII as its code.
    """
    found = [
        {"source": source, "spelling": id_key(name), "patient_id": name, "ascii": ascii(name)[1:-1]}
        for source, of_source in rows.groupby("source")
        for group in similar_ids(of_source["patient_id"].dropna().astype(str))
        for name in group
    ]
    return pd.DataFrame(found, columns=["source", "spelling", "patient_id", "ascii"])


def spreadsheet_hints(ids: Iterable[str]) -> list[str]:
    """Tell where ids look as if a spreadsheet had changed them: powers of ten, dates, lost leading zeros.

    Returns
    -------
    list of str
        One sentence for each kind of trace, with examples.
    """
    different = list(dict.fromkeys(ids))
    hints = []
    powers = [name for name in different if POWER.fullmatch(name)]
    if powers:
        hints.append(
            f"{_count(powers, 'id')} like a number that a spreadsheet shortened ({_examples(powers)}): digits may be "
            "lost, and different patients may have become one; format the column as text and export again"
        )
    dates = [name for name in different if DATE.fullmatch(name)]
    if dates and len(dates) < len(different):
        hints.append(
            f"{_count(dates, 'id')} like a date ({_examples(dates)}): spreadsheets turn ids such as 2-1 into dates; "
            "format the column as text and export again"
        )
    digits = [name for name in different if name.isdecimal()]
    short = [name for name in digits if len(name) < max(map(len, digits))]
    zeros = [name for name in digits if name.startswith("0") and len(name) > 1]
    if zeros and short and len(digits) == len(different):
        hints.append(
            f"some ids have leading zeros ({_examples(zeros)}), others fewer digits ({_examples(short)}): a "
            "spreadsheet may have removed leading zeros"
        )
    return hints


def _count(names: Sequence[str], noun: str) -> str:
    return f"1 {noun} looks" if len(names) == 1 else f"{len(names)} {noun}s look"


def _examples(names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names[: SHOWN - 2])


def _listed(groups: Sequence[Sequence[str]]) -> str:
    """List groups; where letters only look alike, their codes tell them apart."""
    shown = []
    for group in groups[:SHOWN]:
        text = " and ".join(quoted(name) for name in group)
        codes = "" if all(name.isascii() for name in group) else f" ({' and '.join(map(ascii, group))})"
        shown.append(text + codes)
    return "; ".join(shown) + (f"; and {len(groups) - SHOWN} more" if len(groups) > SHOWN else "")
