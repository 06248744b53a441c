"""Reading a table of another tool's scores, and matching its rows to the lesions of the run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from mammoflow.cohort.numbers import decimal_mark, parse_number
from mammoflow.cohort.table_files import ORIGIN, PROBLEM, TableForm, read_text_table
from mammoflow.cohort.words import parse_side, parse_view
from mammoflow.config.foreign import ForeignPredictions
from mammoflow.errors import StudyError

LISTED = ["model", "side", "key", "value", "row", "problem"]
"""Columns of the list of what did not match."""

EXAMPLES = 3
SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
PATHS = {"image": "image_path", "mask": "mask_path"}


@dataclass(frozen=True)
class Matched:
    """A tool's score of each lesion, and what did not match.

    Attributes
    ----------
    scores
        Indexed by lesion; `nan` where the table has no score.
    notes
        How the scores were matched.
    problems
        Columns `LISTED`: rows of the table (`side` is `table`) and lesions (`side` is `run`) that were left out.
    """

    scores: pd.Series
    notes: tuple[str, ...]
    problems: pd.DataFrame


def match_scores(asked: ForeignPredictions, lesions: pd.DataFrame) -> Matched:
    """Read a tool's table and give each lesion its score.

    Parameters
    ----------
    asked
        Table, key and score.
    lesions
        Usable lesions of the run, indexed by lesion: `finding_id`, `image_id`, `patient_id`, `laterality`, `view`,
        `source`, `image_path`, `mask_path`.

    Raises
    ------
    StudyError
        If the table cannot be read, lacks a column, has no score, has two scores for one key, or matches no lesion.
    """
    path = Path(asked.table)
    form = TableForm(asked.encoding, asked.delimiter, asked.sheet)
    said: list[str] = []
    table = read_text_table(path, form, said)
    missing = [name for name in dict.fromkeys([*asked.key_columns(), asked.score]) if name not in table.columns]
    if missing:
        found = ", ".join(str(name) for name in table.columns if name not in (ORIGIN, PROBLEM))
        raise StudyError(
            f"{path} of {asked.name} lacks the columns {', '.join(missing)}; found {found}; name the key and the score "
            "in comparison.predictions: key, columns and score"
        )
    rows = _rows(asked, table)
    scored = rows[rows["problem"] == ""]
    if scored.empty:
        raise StudyError(
            f"{path} of {asked.name} has no row with a key and a score; the first row: {_first(rows)}; check "
            "comparison.predictions: key and score"
        )
    keys = pd.Series(lesion_keys(asked.key_parts(), lesions), index=lesions.index, dtype="object")
    keys, by_name = _by_file_name(asked, keys, scored)
    scored = scored.assign(key=scored["key"].map(_file_names)) if by_name else scored
    score = _one_score(asked, scored)
    values = keys.map(score).astype("float64")
    _require_match(asked, path, values, keys, scored)
    strangers = scored[~scored["key"].isin(set(keys))].assign(problem="no usable lesion of the run has this key")
    without = pd.DataFrame({"key": keys[values.isna()], "row": "", "problem": "no score in the table"})
    problems = pd.concat(
        [
            pd.concat([rows[rows["problem"] != ""], strangers]).assign(side="table"),
            without.assign(side="run"),
        ],
        ignore_index=True,
    )
    problems = problems.assign(
        model=asked.name, value=problems["key"].map(" / ".join), key=", ".join(asked.key_parts())
    )
    matched = len(scored) - len(strangers)
    notes = [
        _level_note(asked),
        f"{matched} of {len(rows)} rows and {int(values.notna().sum())} of {len(values)} lesions matched",
    ]
    return Matched(values, tuple(note.replace(";", ",") for note in (*notes, *said)), problems[LISTED])


def _rows(asked: ForeignPredictions, table: pd.DataFrame) -> pd.DataFrame:
    """Return key, score, origin and problem of each row; rows of blanks alone do not count."""
    columns = asked.key_columns()
    texts = table[asked.score].astype(str)
    mark = decimal_mark(texts)
    found = []
    for place, row in enumerate(table[[*columns, ORIGIN, PROBLEM]].itertuples(index=False, name=None)):
        *values, origin, problem = (str(value) for value in row)
        text = texts.iloc[place]
        if not text and not any(values):
            continue
        key, score = tuple(map(as_cohort, asked.key_parts(), values)), np.nan
        if not problem:
            try:
                number = parse_number(text, mark=mark)
                score, problem = (np.nan, "no score") if number is None else (number, "")
            except ValueError as error:
                problem = str(error)
        if not all(key):
            problem = problem or "no key"
        found.append((key, score, origin, problem))
    return pd.DataFrame(found, columns=["key", "score", "row", "problem"])


def as_cohort(part: str, value: str) -> str:
    """Write a part of a key as the cohort writes it: sides and views by their short names, paths without `./`."""
    if part == "view":
        return parse_view(value)[0]
    if part == "laterality":
        try:
            return parse_side(value)
        except ValueError:
            return value
    return str(PurePosixPath(value.replace("\\", "/"))) if part in PATHS and value else value


def lesion_keys(parts: Sequence[str], lesions: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the key of each lesion; `lesions` is indexed by lesion."""
    named = lesions.assign(lesion_id=lesions.index)
    values = [named[PATHS.get(part, part)].fillna("").astype(str) for part in parts]
    return list(zip(*values, strict=True))


def _by_file_name(asked: ForeignPredictions, keys: pd.Series, scored: pd.DataFrame) -> tuple[pd.Series, bool]:
    """Match paths by file names alone where no whole path matches and no two files share a name."""
    if not set(asked.key_parts()) & set(PATHS) or scored["key"].isin(set(keys)).any():
        return keys, False
    names = keys.map(_file_names)
    return (names, True) if names.nunique() == keys.nunique() else (keys, False)


def _file_names(key: tuple[str, ...]) -> tuple[str, ...]:
    """Return a key with the names of files instead of their paths, without the suffix; UIDs keep all numbers."""
    return tuple(SUFFIX.sub("", PurePosixPath(part).name) for part in key)


def _one_score(asked: ForeignPredictions, scored: pd.DataFrame) -> pd.Series:
    """Return one score for each key."""
    groups = scored.groupby("key", sort=False)["score"]
    several = groups.nunique()
    several = several[several > 1]
    if len(several) and asked.repeated == "stop":
        key = several.index[0]
        rows = scored[scored["key"] == key]
        found = ", ".join(f"{score:g} ({row})" for score, row in zip(rows["score"], rows["row"], strict=True))
        raise StudyError(
            f"{asked.table} of {asked.name} has different scores for {len(several)} keys, for instance "
            f"{' / '.join(key)}: {found}; expected one score for each {', '.join(asked.key_parts())}; correct the "
            "table, name a finer key, or set comparison.predictions: repeated to max or mean"
        )
    return groups.mean() if asked.repeated == "mean" else groups.max()


def _require_match(
    asked: ForeignPredictions, path: Path, values: pd.Series, keys: pd.Series, scored: pd.DataFrame
) -> None:
    """Stop where no lesion has a score."""
    if values.notna().any():
        return
    ours, theirs = (
        ", ".join(repr(" / ".join(key)) for key in list(dict.fromkeys(side))[:EXAMPLES])
        for side in (keys, scored["key"])
    )
    raise StudyError(
        f"no row of {path} of {asked.name} matches a lesion by {', '.join(asked.key_parts())}; the table has {theirs}; "
        f"the run has {ours}; check comparison.predictions: key and columns"
    )


def _level_note(asked: ForeignPredictions) -> str:
    parts = asked.key_parts()
    if "lesion_id" in parts or "mask" in parts:
        return "scores by lesion"
    level = (
        "image" if {"image_id", "image"} & set(parts) or {"patient_id", "laterality", "view"} <= set(parts)
        else "finding" if "finding_id" in parts
        else "breast" if "laterality" in parts
        else "patient"
    )  # fmt: skip
    return f"each lesion has the score of its {level}"


def _first(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "the table has no rows"
    return f"{' / '.join(rows['key'].iloc[0])!r} ({rows['row'].iloc[0]}): {rows['problem'].iloc[0]}"
