"""Rows of a case table that are left out by its reader: the image that each is of, and official test patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from mammoflow.cohort.reader import Exclusion, Row
from mammoflow.cohort.table_files import records

UnreadRow = tuple[Exclusion, Row]
"""The exclusion of a row, and what the row says: columns of a reader's rows, "" where it says nothing."""

NARROWING = ("laterality", "view")


def with_images(
    unread: Sequence[UnreadRow], rows: pd.DataFrame, keys: Sequence[str]
) -> tuple[list[Exclusion], set[str]]:
    """Give the exclusions of unread rows the image that they are of, so that it does not count as fully annotated.

    Parameters
    ----------
    unread
        The rows that could not be read.
    rows
        Those that could, with `image_id`, `laterality`, `view` and the keys.
    keys
        Columns that tell an image, tried in this order.

    Returns
    -------
    tuple
        The exclusions, and the images in doubt. An exclusion names no image where no other row is of its image, and
        where it may be of several images; these are in doubt.
    """
    images: dict[tuple[str, object], dict[str, Row]] = {}
    for row in records(rows) if unread else []:
        for key in keys:
            images.setdefault((key, row[key]), {})[str(row["image_id"])] = row
    excluded, in_doubt = [], set()
    for exclusion, said in unread:
        places = [(key, said[key]) for key in keys if said[key]]
        candidates = next((images[place] for place in places if place in images), {})
        found = [image for image, row in candidates.items() if _may_be_of(said, row)] or list(candidates)
        if len(found) == 1:
            exclusion = replace(exclusion, image_id=found[0])
        else:
            in_doubt.update(found)
        excluded.append(exclusion)
    return excluded, in_doubt


def official_test_patients(rows: pd.DataFrame) -> set[str]:
    """Return the patients with a row of the official test set, of rows with `patient_id` and `official_split`."""
    return set() if rows.empty else set(rows.loc[rows["official_split"] == "test", "patient_id"].astype(str))


def _may_be_of(said: Row, row: Row) -> bool:
    """Tell whether a row says nothing else of side and view than another one."""
    return all(not said.get(name) or said[name] == row[name] for name in NARROWING)
