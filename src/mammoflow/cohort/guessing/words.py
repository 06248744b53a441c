"""Words of a table's coded columns that mammoflow does not know, and what they may mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import pandas as pd

from mammoflow.cohort.guessing.columns import can_be_read
from mammoflow.cohort.readers._table_options import TableColumn
from mammoflow.cohort.words import is_number, parse_label, parse_side, parse_usable

MOST_WORDS = 20  # a column with more different unknown words is not coded

SKIP = "skip"
CHOICES: dict[TableColumn, tuple[str, ...]] = {
    "label": ("malignant", "benign", "normal", "unknown"),
    "side": ("L", "R", SKIP),
    "usable": ("yes", "no"),
}
"""What a person may answer for an unknown word of each column."""


def unknown_words(table: pd.DataFrame, columns: Mapping[TableColumn, str]) -> dict[TableColumn, dict[str, int]]:
    """Return the words of label, side and usable that are not known, each with how many rows have it.

    Numbers of a label are known only where they are all 0 and 1.
    """
    found: dict[TableColumn, dict[str, int]] = {}
    for key in CHOICES:
        source = columns.get(key)
        if source not in table.columns:
            continue
        counts = Counter(text for text in map(str, table[source]) if text)
        known = KNOWN[key]
        coded = key == "label" and any(is_number(text) and parse_label(text) is None for text in counts)
        words = {text: number for text, number in counts.items() if not known(text) or (coded and is_number(text))}
        if 0 < len(words) <= MOST_WORDS:
            found[key] = words
    return found


KNOWN: dict[TableColumn, Callable[[str], bool]] = {
    "label": can_be_read(parse_label),
    "side": can_be_read(parse_side),
    "usable": can_be_read(parse_usable),
}
