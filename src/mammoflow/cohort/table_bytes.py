"""What the bytes of a table are: which kind of file, and for text in which encoding."""

from __future__ import annotations

import re
import zipfile
from io import BytesIO
from typing import Literal

from mammoflow.errors import StudyError

Kind = Literal["text", "xlsx", "parquet"]

SAVE_AS = "save the table as CSV (UTF-8), .xlsx or Parquet"
FOREIGN = {
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls), or a workbook with a password",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"7z\xbc\xaf": "a 7-Zip archive; unpack it",
    b"\xfd7zXZ": "an xz archive; unpack it",
    b"BZh91AY&SY": "a bzip2 archive; unpack it",
    b"\x28\xb5\x2f\xfd": "a zstd archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
    b"SQLite format 3": "an SQLite database",
    b"$FL2": "an SPSS file",
    b"$FL3": "an SPSS file",
    b"<stata_dta>": "a Stata file",
    b"HEADER RECORD*****": "a SAS transport file",
    b"{\\rtf": "a text document (RTF)",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc2\xea": "a SAS file",
}
MARKUP = re.compile(rb"\s*<(?:!doctype html|html|head|table|meta|\?xml|!--)", re.IGNORECASE)
JSON_TEXT = re.compile(rb'\s*(?:\[\s*[\[{]|\{\s*")')
MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
SEQUENCE = re.compile(
    rb"[\xc3-\xc9\xcc\xcd][\x80-\xbf]|(?:[\xce-\xd4][\x80-\xbf]){2}|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
"""Letters outside ASCII in UTF-8 that are hardly ever Windows-1252 too: Latin ones and accents, pairs of Greek or
Cyrillic ones, and all of three and four bytes."""
SPREADSHEET = "cp1252"
"""Encoding of text that is no UTF-8, as spreadsheets save it."""
WRONG_INSIDE = re.compile(
    "[A-Za-z]+[\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u2039\u201c\u201d\u2022\u02dc\u2122\u203a\u00a1-\u00a9\u00ab\u00ac"
    "\u00ae-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u0178]+[a-z]+"
)
"""Signs between letters, which show that text of another encoding was read as Windows-1252."""


def kind_of_table(content: bytes, origin: str) -> Kind:
    """Tell by its content what a file is.

    Raises
    ------
    StudyError
        If it is empty, or of a kind that is no table or cannot be read.
    """
    if not content.strip():
        raise StudyError(f"{origin} is empty; expected a header and one row per lesion")
    if content.startswith(b"PAR1"):
        return "parquet"
    if content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _kind_of_archive(content, origin)
    for start, name in FOREIGN.items():
        if content.startswith(start):
            raise StudyError(f"{origin} is {name}, no table that can be read; {SAVE_AS}")
    if MARKUP.match(content.removeprefix(b"\xef\xbb\xbf")):
        raise StudyError(
            f"{origin} is a web page or XML (it begins with {content.strip()[:20]!r}), as some programs export tables "
            f"under the name .xls or .csv; open it in a spreadsheet and {SAVE_AS}"
        )
    if JSON_TEXT.match(content):
        raise StudyError(f"{origin} is JSON, no table; {SAVE_AS}")
    return "text"


def decode_table(content: bytes, origin: str, encoding: str = "") -> tuple[str, str]:
    """Decode a table's text.

    Parameters
    ----------
    content
        Bytes of the file.
    origin
        The file, for messages.
    encoding
        The encoding that the settings name; "" recognises UTF-8, UTF-16 and UTF-32, and takes Windows-1252 otherwise.

    Returns
    -------
    tuple
        The text, and a note where the encoding is a guess, else "".

    Raises
    ------
    StudyError
        If bytes are not in the encoding, or the file mixes UTF-8 with another one.
    """
    if encoding:
        try:
            text = content.decode("utf-8-sig" if encoding.lower() in ("utf8", "utf-8") else encoding)
        except LookupError as error:
            raise StudyError(
                f"options.encoding is {encoding!r}, which is no encoding; expected a name such as utf-8, windows-1252, "
                "windows-1250, cp850 or mac-roman"
            ) from error
        except UnicodeError as error:
            raise StudyError(
                f"{origin} is not {encoding}, as options.encoding says: {_place(content, error)}"
            ) from error
        return text.lstrip("\ufeff"), ""
    known = next((name for mark, name in MARKS.items() if content.startswith(mark)), _unmarked(content))
    try:
        text = content.decode(known)
    except UnicodeDecodeError as error:
        if known != "utf-8":
            raise StudyError(
                f"{origin} begins like {known.removesuffix('-sig').upper()}, but {_place(content, error)} is not; the "
                "file is damaged or mixes encodings: save it again as UTF-8"
            ) from error
        return _single_bytes(content, origin, error)
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        raise StudyError(f"{origin} holds NUL characters (line {line}): it is binary or damaged; {SAVE_AS}")
    return text, ""


def _unmarked(content: bytes) -> str:
    """Recognise UTF-16 without a byte order mark by the zero half of its characters."""
    start = content[:4000]
    for place, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        half, other = start[place::2], start[1 - place :: 2]
        if half and half.count(0) > 0.7 * len(half) and other.count(0) < 0.1 * len(other):
            return name
    return "utf-8"


def _single_bytes(content: bytes, origin: str, error: UnicodeDecodeError) -> tuple[str, str]:
    """Read text that is no UTF-8 as Windows-1252."""
    advice = "save it again as UTF-8, or name its encoding in cohort.dataset.options.encoding"
    if letter := SEQUENCE.search(content):
        line = content[: letter.start()].count(b"\n") + 1
        raise StudyError(
            f"{origin} mixes encodings: line {line} has {letter.group().decode('utf-8', 'replace')!r} in UTF-8, and "
            f"{_place(content, error)} is no UTF-8; one name may be spelled in two ways: {advice}"
        )
    try:
        text = content.decode(SPREADSHEET)
    except UnicodeDecodeError as lacking:
        raise StudyError(
            f"{origin} is neither UTF-8 nor Windows-1252: {_place(content, lacking)} is in neither of them; {advice}, "
            "such as windows-1250 or cp850"
        ) from lacking
    if wrong := WRONG_INSIDE.search(text):
        raise StudyError(
            f"{origin} is no UTF-8, and read as Windows-1252 it has {wrong.group()[:40]!r} in line "
            f"{text[: wrong.start()].count(chr(10)) + 1}; it is of another encoding: {advice}, such as windows-1250, "
            "cp850 or mac-roman"
        )
    return text, f"{origin} is no UTF-8; it was read as Windows-1252"


def _place(content: bytes, error: UnicodeError) -> str:
    """Name the byte that cannot be decoded and its line."""
    start = error.start if isinstance(error, UnicodeDecodeError) else 0
    return f"byte 0x{content[start]:02X} in line {content[:start].count(10) + 1}"


def _kind_of_archive(content: bytes, origin: str) -> Kind:
    try:
        names = zipfile.ZipFile(BytesIO(content)).namelist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise StudyError(f"{origin} begins like a workbook or a ZIP archive, but it is damaged: {error}") from error
    if "xl/workbook.xml" in names:
        return "xlsx"
    if "xl/workbook.bin" in names:
        found = "a binary Excel workbook (.xlsb)"
    elif "mimetype" in names or "content.xml" in names:
        found = "an OpenDocument file (.ods)"
    else:
        found = "a ZIP archive or a document, no workbook"
    raise StudyError(f"{origin} is {found}, which cannot be read; {SAVE_AS}")
