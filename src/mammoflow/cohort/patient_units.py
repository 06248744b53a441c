"""Traces that a patient column names something smaller than a patient: a breast, a view, a film."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mammoflow.cohort.numbers import quoted

SHOWN = 3
LONGEST = 200
"""Letters of an id that can end in a side or view; the search takes the square of its length."""
SUFFIX = re.compile(r"\.(?:png|jpe?g|tiff?|dcm|dicom)$", re.IGNORECASE)
PART = r"(?:[LR](?:CC|MLO|ML|LM)?|LEFT|RIGHT|LT|RT|LINKS|RECHTS|GAUCHE|DROITE|IZQ(?:UIERDA)?|DER(?:ECHA)?|CC|MLO|ML|LM)"
ENDING = re.compile(rf"^(.*?\w)(?:[\s_.-]+{PART})+$|^(.*\d)[LR]$", re.IGNORECASE)


def unit_hints(ids: Iterable[str]) -> list[str]:
    """Tell where patient ids differ in a side or view at their end only, such as P90_L and P90_R.

    Returns
    -------
    list of str
        One sentence with examples, or nothing.
    """
    stems: dict[str, list[str]] = {}
    for name in dict.fromkeys(ids):
        plain = SUFFIX.sub("", name)
        match = ENDING.match(plain) if len(plain) <= LONGEST else None
        stems.setdefault((match[1] or match[2]) if match else plain, []).append(name)
    shared = [names for names in stems.values() if len(names) > 1]
    if not shared:
        return []
    examples = "; ".join(" and ".join(map(quoted, names[:2])) for names in shared[:SHOWN])
    return [
        f"{sum(map(len, shared))} ids differ from another one in a side or view only ({examples}): the column may name "
        "breasts or films. One patient would be on both sides of the split: name the column of the patient in "
        "cohort.dataset.options.columns.patient"
    ]
