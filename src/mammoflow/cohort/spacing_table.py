"""The optional table of film spacings in a CBIS-DDSM download, whose headers have none.

`film_spacing.csv` names a film's folder and either its pixel spacing or the scanner.
"""

from __future__ import annotations

from pathlib import Path

from mammoflow.cohort.film_scanners import SCANNER_SPACING_MM
from mammoflow.cohort.numbers import parse_number
from mammoflow.cohort.table_files import ORIGIN, read_text_table, require_columns
from mammoflow.errors import StudyError

SPACING_TABLE = "film_spacing.csv"


def read_spacing_table(path: Path) -> dict[str, float]:
    """Return millimetres per pixel of each film's folder; empty where there is no table.

    Raises
    ------
    StudyError
        If the table lacks its columns, or a value is no spacing or no known scanner.
    """
    if not path.is_file():
        return {}
    table = read_text_table(path)
    column = "spacing_mm" if "spacing_mm" in table.columns else "scanner"
    require_columns(table, ["folder", column], f"spacing table {path}")
    spacings: dict[str, float] = {}
    for folder, text, origin in zip(table["folder"], table[column], table[ORIGIN], strict=True):
        try:
            spacing = parse_number(text, above=0) if column == "spacing_mm" else SCANNER_SPACING_MM[text.upper()]
        except (ValueError, KeyError) as error:
            scanners = ", ".join(SCANNER_SPACING_MM)
            raise StudyError(
                f"spacing table {origin}: {column} is {text!r}; expected millimetres above 0, or a scanner: {scanners}"
            ) from error
        if spacing is not None:
            spacings[folder] = spacing
    return spacings
