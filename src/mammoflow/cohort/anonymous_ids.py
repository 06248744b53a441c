"""Ids in place of names: what the tables of a study call its patients, films and lesions, and what they say of files.

An id is a digest with a key (HMAC-SHA-256, RFC 2104). Without the key nobody can find out by trying names which patient
an id is. The same key gives the same ids in every run.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from mammoflow.cohort.birads_convention import PATHOLOGY
from mammoflow.cohort.losses import WITH_ROW
from mammoflow.cohort.reader import Exclusion, Reader
from mammoflow.cohort.selection import Selection
from mammoflow.errors import StudyError

OLDEST = 90.0
"""Ages from this one on are written as this one, because few people are so old."""
LETTERS = {"patient_id": "P", "image_id": "I", "lesion_id": "L", "finding_id": "F"}
DIGITS = 12
"""Of an id, in hexadecimal. Among a million ids two are equal with a probability of 0.2 %, which stops the run."""
SHORTEST_KEY = 16
NOT_SHOWN = "{} notes are not shown, because they may have names in them; `mammoflow check` shows them"


class IdMaker:
    """Makes the ids of one study.

    Parameters
    ----------
    key
        The secret.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._made: dict[str, tuple[str, str]] = {}

    @classmethod
    def from_file(cls, path: Path) -> IdMaker:
        """Read the key.

        Raises
        ------
        StudyError
            If the file is missing or too short to be a secret.
        """
        try:
            key = path.read_bytes()
        except OSError as error:
            raise StudyError(
                f"cohort.dataset.anonymous_ids: key file {path} cannot be read ({error.strerror}); expected a file of "
                f"at least {SHORTEST_KEY} random bytes; make one once: head -c 32 /dev/urandom >{path}"
            ) from error
        if len(key) < SHORTEST_KEY:
            raise StudyError(
                f"cohort.dataset.anonymous_ids: key file {path} has {len(key)} bytes; expected at least {SHORTEST_KEY} "
                f"random bytes; make one: head -c 32 /dev/urandom >{path}"
            )
        return cls(key)

    def __call__(self, column: str, value: str) -> str:
        """Return the id for a value of a column of ids; nothing stays nothing.

        Raises
        ------
        StudyError
            If two values would get one id.
        """
        if not value:
            return value
        digest = hmac.digest(self._key, f"{column}\x1f{value}".encode(), "sha256").hex()
        made = f"{LETTERS[column]}_{digest[:DIGITS]}"
        if self._made.setdefault(made, (column, value)) != (column, value):
            raise StudyError(f"two values of {column} get the anonymous id {made}; use another key file")
        return made


def anonymous(selection: Selection, make: IdMaker) -> Selection:
    """Return a selection whose ids are digests, and whose exclusions name rows of the case table only.

    The tables of images and lesions keep the paths of their files, because the films are found by them. A pathology
    that gave the lesion no label is left out.

    Parameters
    ----------
    selection
        What is left of a study.
    make
        Makes its ids.
    """
    resolved = selection.resolved
    lists = {"images": [_renamed(row, make) for row in resolved.images]}
    lists["lesions"] = [
        {**_renamed(row, make), "pathology": row["pathology"] if row["label_origin"] == PATHOLOGY else None}
        for row in resolved.lesions
    ]
    excluded = [anonymous_exclusion(exclusion, make) for exclusion in resolved.excluded]
    rows = _renamed_table(selection.rows, make)
    known = rows["label_origin"] == PATHOLOGY  # any other word may be anything, a name too
    rows = rows.assign(image_name=None, pathology=rows["pathology"].where(known, None))
    if "age" in rows.columns:
        rows = rows.assign(age=rows["age"].map(_coarse_age, na_action="ignore"))
    official_test = frozenset(make("patient_id", patient) for patient in selection.official_test)
    resolved = replace(resolved, **lists, excluded=excluded)
    return replace(selection, rows=rows, resolved=resolved, official_test=official_test)


def anonymous_exclusion(exclusion: Exclusion, make: IdMaker) -> Exclusion:
    """Return an exclusion without file and value: its reason, its ids and its row in the case table stay."""
    match = WITH_ROW.fullmatch(exclusion.detail)
    return replace(
        exclusion,
        patient_id=make("patient_id", exclusion.patient_id),
        image_id=make("image_id", exclusion.image_id),
        lesion_id=make("lesion_id", exclusion.lesion_id),
        path="",
        detail=match["origin"] if match else "",
    )


def hide_notes(reader: Reader) -> None:
    """Replace the notes of a reader, which quote values of the case table, by their number."""
    if reader.notes:
        reader.notes[:] = [NOT_SHOWN.format(len(reader.notes))]


def _renamed(row: Mapping[str, Any], make: IdMaker) -> dict[str, Any]:
    ids = {name: make(name, str(row[name])) for name in LETTERS if row.get(name) is not None}
    return {**row, **ids, **({"age": _coarse_age(row["age"])} if "age" in row else {})}


def _coarse_age(age: float | None) -> float | None:
    """Return an age in whole years, at least 1 and at most `OLDEST`."""
    return None if age is None or math.isnan(age) else min(max(float(math.floor(age)), 1.0), OLDEST)


def _renamed_table(table: pd.DataFrame, make: IdMaker) -> pd.DataFrame:
    def of(column: str) -> Callable[[Any], str]:
        return lambda value: make(column, str(value))

    columns = [name for name in LETTERS if name in table.columns]
    return table.assign(**{name: table[name].map(of(name), na_action="ignore") for name in columns})
