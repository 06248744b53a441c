"""From the words of a case table to the values of mammoflow's tables."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mammoflow.cohort import word_lists
from mammoflow.cohort.numbers import parse_integer, quoted
from mammoflow.cohort.plain_text import plain_text, word_key
from mammoflow.cohort.word_lists import Label, by_word

USUAL_LABELS: dict[str, Label] = {
    word.strip(): label for label, words in word_lists.LABELS.items() for word in words.split(",")
}
SIDES = by_word(word_lists.SIDES)
VIEWS = by_word(word_lists.VIEWS)
USABLE = by_word({"yes": word_lists.YES, "no": word_lists.NO})
LESION_TYPES = by_word(word_lists.LESION_TYPES)
OFFICIAL_SPLITS = by_word(word_lists.OFFICIAL_SPLITS)
BIRADS_PATTERN = re.compile(r"(?:(?:bi[\s_-]?rads?|acr)[\s:=_-]*)?([0-6])(?:[.,]0+)?\s*([abc])?", re.IGNORECASE)
ROMAN_PATTERN = re.compile(r"(?:(?:bi[\s_-]?rads?|acr)[\s:=_-]*)?(iv|v?i{0,3})\s*([abc])?", re.IGNORECASE)
ROMAN = {"i": 1, "ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6}
DENSITY_PREFIX = re.compile(r"(?:(?:breast\s*)?density|bi[\s_-]?rads?|acr|type|typ|grade)[\s:=_-]*", re.IGNORECASE)
DENSITY_LETTERS = {"a": 1, "b": 2, "c": 3, "d": 4}
AGE_PATTERN = re.compile(
    r"(\d{1,3}(?:[.,]\d{1,2})?)\s*(?:y|yo|y/o|yrs?|years?|j|jahre?|jaar|a|ans?|años?|anos?|anni)?\.?", re.IGNORECASE
)
NUMBER_PATTERN = re.compile(r"([+-]?\d+)(?:[.,](\d+))?")
IDENTICAL, DIFFERENT = "identical pixels", "different pixels"  # of two files that a study gives for one film
BLANKS = frozenset(("na", "n/a", "n.a.", "#n/a", "<na>", "nan", "nat", "null", "#nv"))
"""What programs write, in any case, where there is no value."""
SHEET_ERRORS = frozenset(("#ref!", "#name?", "#value!", "#div/0!", "#num!", "#null!", "#bezug!", "#wert!"))
"""What spreadsheets write, in any case, where a formula failed."""


def parse_birads(text: str) -> int | None:
    """Read a BI-RADS assessment: 4, 4.0, 4B, BI-RADS 4, ACR4, IV; 0 stays 0 (incomplete); None for a blank.

    Raises
    ------
    ValueError
        If the text is no assessment from 0 to 6.
    """
    if not text:
        return None
    if match := BIRADS_PATTERN.fullmatch(text.strip()):
        return int(match.group(1))
    roman = ROMAN_PATTERN.fullmatch(text.strip())
    if roman is None or roman[1].lower() not in ROMAN:
        raise ValueError(f"BI-RADS assessment is {quoted(text)}, expected 0 to 6")
    return ROMAN[roman[1].lower()]


def parse_birads_category(text: str) -> str | None:
    """Read the subcategory of a BI-RADS assessment of 4: 4A, 4B or 4C; None for every other text."""
    found = BIRADS_PATTERN.fullmatch(text.strip()) or ROMAN_PATTERN.fullmatch(text.strip())
    if found is None or found[2] is None or found[1].lower() not in ("4", "iv"):
        return None
    return f"4{found[2].upper()}"


def parse_age(text: str) -> float | None:
    """Read an age in years: 54, 54.5, 54,5, 54 years, 054Y as in DICOM; None for a blank.

    Raises
    ------
    ValueError
        If the text is no age above 0 and up to 120.
    """
    if not text.strip():
        return None
    found = AGE_PATTERN.fullmatch(text.strip())
    age = float(found[1].replace(",", ".")) if found else 0.0
    if not 0 < age <= 120:
        raise ValueError(f"age is {quoted(text)}, expected years up to 120")
    return age


def parse_density(text: str) -> int | None:
    """Read a BI-RADS breast density: 1 to 4 or A to D; 0 where the table has it; None for a blank.

    Raises
    ------
    ValueError
        If the text is no density.
    """
    value = DENSITY_PREFIX.sub("", text, count=1) if DENSITY_PREFIX.match(text) else text
    letter = DENSITY_LETTERS.get(value.lower(), ROMAN.get(value.lower()))
    try:
        return letter if letter is not None and letter <= 4 else parse_integer(value, 0, 4)
    except ValueError as error:
        raise ValueError(
            f"found {quoted(text)}, expected a whole number from 0 to 4 or a letter from A to D"
        ) from error


def parse_side(text: str, further: Mapping[str, str] | None = None) -> str:
    """Read a laterality as L, R or "" for a blank, in the words of several languages.

    Parameters
    ----------
    text
        The table's word.
    further
        Words of the study to L or R, before the usual ones.

    Raises
    ------
    ValueError
        If the text is no side.
    """
    side = _meaning(text, SIDES, further)
    if side is None and text.strip():
        raise ValueError(f"side is {quoted(text)}, expected left or right")
    return side or ""


def parse_view(text: str, further: Mapping[str, str] | None = None) -> tuple[str, str]:
    """Read a view, which may have a side before or behind it: CC, cranio-caudal, L-CC, RMLO, MLO links.

    Parameters
    ----------
    text
        The table's word.
    further
        Words of the study to views, before the usual ones.

    Returns
    -------
    tuple
        The view, and the side that the text names: L, R or "". A view that is not known stays as it is, in capitals.
    """
    named = _meaning(text, VIEWS, further)
    if named is not None:
        return named, ""
    words = word_key(text).split()
    for side_words, view_words in ((words[:1], words[1:]), (words[-1:], words[:-1])):
        side = SIDES.get(" ".join(side_words))
        view = _meaning(" ".join(view_words), VIEWS, further)
        if side and view:
            return view, side
    glued = "".join(words).upper()
    for view in word_lists.GLUED_VIEWS:
        for side in ("L", "R"):
            if glued in (side + view, view + side):
                return view, side
    return plain_text(text).upper(), ""


def is_known_view(view: str) -> bool:
    """Tell whether a view is one of the usual ones, which are those of DICOM."""
    return view in word_lists.VIEWS


def parse_usable(text: str, further: Mapping[str, str] | None = None) -> bool | None:
    """Read yes or no in several languages; None for a blank.

    Raises
    ------
    ValueError
        If the word is neither.
    """
    key = coded_key(text)
    own = {coded_key(word): meaning for word, meaning in (further or {}).items()}
    meaning = own.get(key, USABLE.get(key))
    if meaning is None and text.strip():
        raise ValueError(f"found {quoted(text)}, expected yes or no")
    return None if meaning is None else meaning == "yes"


def parse_label(text: str, further: Mapping[str, Label | str] | None = None) -> Label | None:
    """Read what a word says about malignancy; None where the word is not known, or means that it is unknown.

    Parameters
    ----------
    text
        The table's word.
    further
        Words of the study, before the usual ones. Where one of them is a number, 0 and 1 have no usual meaning.
    """
    key = coded_key(text)
    own = {coded_key(word): label for word, label in (further or {}).items()}
    if key in own:
        meaning = own[key]
        return None if meaning == "unknown" else _label(meaning)
    coded = any(is_number(word) for word in own)
    return None if coded and is_number(key) else USUAL_LABELS.get(key)


def is_number(text: str) -> bool:
    """Tell whether a word of a table is a number."""
    return NUMBER_PATTERN.fullmatch(text.strip()) is not None


def means_nothing(key: str, labels: Mapping[str, str]) -> bool:
    """Tell whether a word is a number that neither the study nor custom gives a meaning as a label."""
    known = {coded_key(word) for word in labels}
    coded = any(is_number(word) for word in known)
    number = coded_key(key)
    return is_number(number) and number not in known and (coded or number not in USUAL_LABELS)


def _label(meaning: str) -> Label | None:
    return next((label for label in word_lists.LABELS if label == meaning), None)


def coded_key(text: str) -> str:
    """Return the form in which words that may be codes are compared: 1, 01, 1.0 and 1,0 are one word."""
    match = NUMBER_PATTERN.fullmatch(text.strip())
    if match is None:
        return word_key(text)
    part = (match[2] or "").rstrip("0")
    return str(int(match[1])) + (f".{part}" if part else "")


def _meaning(text: str, usual: Mapping[str, str], further: Mapping[str, str] | None) -> str | None:
    key = word_key(text)
    own = {word_key(word): meaning for word, meaning in (further or {}).items()}
    return own.get(key, usual.get(key))
