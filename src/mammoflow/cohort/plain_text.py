"""Text of tables in plain form: without invisible characters, in one Unicode form, comparable as a word or as an id."""

from __future__ import annotations

import re
import unicodedata

IGNORABLE = frozenset(
    (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180E, 0x180F, 0x3164, 0xFFA0)
) | frozenset((*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
"""Code points that show nothing and are not of the category Cf (Unicode's Default_Ignorable_Code_Point)."""
BLANK_PATTERN = "\u2800"  # the empty Braille pattern looks like a blank
LOST_CHARACTER = "\ufffd"
"""What programs write for a character that they could not read."""
DASHES = frozenset("\u02d7\u2043\u2212\u30fc\uff70\u2500\u2501\u23af")
"""Characters that look like a hyphen and are not of the category Pd."""
SEPARATORS = re.compile(r"[\s_-]+")
LIKENESSES = str.maketrans(
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0405\u0406\u0408"
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0455\u0456\u0458"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf\u03b9\u03ba\u03c1\u03c5",
    "ABEKMHOPCTYXSIJ" + "aeopcyxsij" + "ABEZHIKMNOPTYXoikpu",
)
"""Cyrillic and Greek letters that look like Latin ones."""
WRITTEN_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "æ": "ae", "å": "aa"})
"""Letters and how they are written where a program has none of them."""
FAMILY_NAME_FIRST = re.compile(r"([^\d,^]+?)\s*[,^]\s*([^\d,^]+)")
ENDS = " .,;:'\"^"
EXPONENT = re.compile(r"(\d)(?:[.,](\d+))?e\+?(\d{1,2})", re.IGNORECASE)


def visible_text(text: str) -> str:
    """Return a text without invisible characters, in the Unicode form NFC, without blanks around it.

    Removed are format characters (category Cf, such as zero-width blanks, byte order marks, soft hyphens and marks of
    the writing direction), control characters other than white space, and further code points that show nothing.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    kept = "".join(character for character in text if not _is_invisible(character))
    return unicodedata.normalize("NFC", kept.replace(BLANK_PATTERN, " ")).strip()


def plain_text(text: str) -> str:
    """Return the visible text with each run of white space, such as a no-break space, as one blank."""
    return " ".join(visible_text(text).split())


def word_key(text: str) -> str:
    """Return the form in which words of a table are compared: no accents, no case, no separators but one blank."""
    decomposed = unicodedata.normalize("NFKD", plain_text(text).casefold())
    letters = "".join(character for character in decomposed if not unicodedata.combining(character))
    return " ".join(re.sub(r"[\s_./-]+", " ", "".join(map(_hyphen, letters))).split())


def id_key(text: str) -> str:
    """Return the form in which two spellings of one id are equal.

    The form ignores case, leading zeros of every number, an ending ``.0``, compatibility forms (NFKC, such as
    full-width digits), digits of other scripts, dashes and letters that look alike, the kind of a separator and whether
    one is between a letter and a number, the number form of spreadsheets (``1E+05``), UTF-8 that was read as
    Windows-1252, accents and umlauts (``ue`` for ``ü``), punctuation at the ends, and the order of ``Family, Given``.
    """
    repaired = _without_mojibake(plain_text(text))
    folded = unicodedata.normalize("NFKC", repaired).translate(LIKENESSES).casefold().strip(ENDS)
    folded = _without_accents(folded.translate(WRITTEN_OUT))
    if match := FAMILY_NAME_FIRST.fullmatch(folded):
        folded = f"{match[2]} {match[1]}"
    folded = "".join(map(_digit, map(_hyphen, folded)))
    folded = re.sub(r"^([^.,]*\d)[.,]0+$", r"\1", folded)
    if match := EXPONENT.fullmatch(folded):
        whole, part, exponent = match[1], match[2] or "", int(match[3])
        folded = whole + part.ljust(exponent, "0") if exponent >= len(part) else folded
    folded = SEPARATORS.sub("-", folded).strip("-")
    folded = re.sub(r"(?<=[^\W\d_])-(?=\d)", "", folded)
    return re.sub(r"(?<![\d.,])0+(?=\d)", "", folded)


def _is_invisible(character: str) -> bool:
    category = unicodedata.category(character)
    return category == "Cf" or ord(character) in IGNORABLE or (category == "Cc" and not character.isspace())


def _hyphen(character: str) -> str:
    return "-" if unicodedata.category(character) == "Pd" or character in DASHES else character


def _digit(character: str) -> str:
    value = unicodedata.decimal(character, None)
    return character if value is None else str(value)


def _without_accents(text: str) -> str:
    """Take the accents off Latin letters; marks of other scripts make other letters."""
    if text.isascii():
        return text
    letters = (unicodedata.normalize("NFKD", character) for character in text)
    return "".join(letter[0] if letter[0].isascii() else unicodedata.normalize("NFC", letter) for letter in letters)


def _without_mojibake(text: str) -> str:
    """Undo the reading of UTF-8 as Windows-1252, where the text can be its result."""
    if text.isascii():
        return text
    try:
        return unicodedata.normalize("NFC", text.encode("cp1252").decode("utf-8"))
    except UnicodeError:
        return text
