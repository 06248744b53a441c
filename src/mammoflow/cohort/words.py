"""From the words of a case table to the values of mammoflow's tables."""

from __future__ import annotations

import re
from typing import Literal

from mammoflow.cohort.numbers import parse_integer, quoted

Label = Literal["malignant", "benign", "normal"]

USUAL_LABELS: dict[str, Label] = {
    "malignant": "malignant",
    "cancer": "malignant",
    "1": "malignant",
    "true": "malignant",
    "benign": "benign",
    "benign_without_callback": "benign",
    "0": "benign",
    "false": "benign",
    "normal": "normal",
}
SIDES = {"l": "L", "left": "L", "r": "R", "right": "R", "": ""}
LESION_TYPES = {"mass": "mass", "calcification": "calcification", "calc": "calcification"}
OFFICIAL_SPLITS = {"train": "train", "training": "train", "validation": "train", "val": "train", "test": "test"}
NEGATIVE_WORDS = frozenset({"false", "no", "n", "f", "0", "0.0"})
BIRADS_PATTERN = re.compile(r"(?:bi-?rads)?\s*([0-6])(?:\.0+)?\s*[abc]?", re.IGNORECASE)
DENSITY_LETTERS = {"a": 1, "b": 2, "c": 3, "d": 4}
IDENTICAL, DIFFERENT = "identical pixels", "different pixels"  # of two files that a study gives for one film
BLANKS = frozenset({"na", "n/a", "#n/a", "<na>", "nan", "nat", "null"})
"""What programs write, in any case, where there is no value."""


def parse_birads(text: str) -> int | None:
    """Read a BI-RADS assessment: 4, 4.0, 4B, BI-RADS 4; 0 stays 0 (incomplete); None for a blank.

    Raises
    ------
    ValueError
        If the text is no assessment from 0 to 6.
    """
    if not text:
        return None
    match = BIRADS_PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"BI-RADS assessment is {quoted(text)}, expected 0 to 6")
    return int(match.group(1))


def parse_density(text: str) -> int | None:
    """Read a BI-RADS breast density: 1 to 4 or A to D; 0 where the table has it; None for a blank.

    Raises
    ------
    ValueError
        If the text is no density.
    """
    letter = DENSITY_LETTERS.get(text.lower())
    try:
        return letter if letter is not None else parse_integer(text, 0, 4)
    except ValueError as error:
        raise ValueError(f"{error} or a letter from A to D") from error


def parse_side(text: str) -> str:
    """Read a laterality as L, R or "" for a blank.

    Raises
    ------
    ValueError
        If the text is no side.
    """
    if text.lower() not in SIDES:
        raise ValueError(f"side is {quoted(text)}, expected left or right")
    return SIDES[text.lower()]


def parse_label(text: str, further: dict[str, Label] | None = None) -> Label | None:
    """Read what a word says about malignancy; None where the word is not known."""
    words = USUAL_LABELS | {word.strip().lower(): label for word, label in (further or {}).items()}
    meaning = words.get(text.lower())
    return meaning if meaning is not None else words.get(text.removesuffix(".0").lower())
