"""A table for many films: one row for each lesion, with the file and the box."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mammoflow.cohort.numbers import parse_number, quoted
from mammoflow.cohort.table_files import ORIGIN, PROBLEM, read_text_table, records, require_columns
from mammoflow.errors import ConfigError, ExcludedCase, StudyError
from mammoflow.prediction.output import BESIDE_FILMS, left_out_row
from mammoflow.prediction.requests import KINDS, FilmRequest, LesionRequest, check_spacing, film_size, lesion_requests
from mammoflow.storage.names import safe_name

TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".xlsx")
BOX = ("x0", "y0", "x1", "y1")
COLUMNS = ("image", *BOX)
"""Columns that a table must have; `spacing`, `id` and `finding` are optional."""


@dataclass(frozen=True)
class TableRow:
    """A row of the table, as results name it.

    Attributes
    ----------
    origin
        Table and number of the row.
    image
        The file as the table names it.
    identity
        The id in the table; the name of the file without its suffix where the table gives none.
    """

    origin: str
    image: str
    identity: str


@dataclass
class TableRequest:
    """What a table asks.

    Attributes
    ----------
    films
        Films with at least one row that can be used, in the order of the table.
    rows
        By the name of a film: the row of each of its lesions.
    left_out
        For each other row: where it is, its image, and why.
    """

    films: list[FilmRequest] = field(default_factory=list)
    rows: dict[str, list[TableRow]] = field(default_factory=dict)
    left_out: list[dict[str, str]] = field(default_factory=list)


def is_table(path: Path) -> bool:
    """Tell by its name whether a file is a table and not a film."""
    return path.suffix.lower() in TABLES


def read_requests(path: Path, spacing_mm: float | None, finding: str) -> TableRequest:
    """Read a table with the columns image, x0, y0, x1, y1 and, where it has them, spacing, id and finding.

    Rows with the same image and id are lesions of one film. A row that cannot be used is left out with its reason.

    Parameters
    ----------
    path
        CSV, Parquet or xlsx. Paths of images are relative to its folder.
    spacing_mm, finding
        Of rows that name none.

    Raises
    ------
    StudyError
        If the table cannot be read or lacks a column, two films have the same id, an id is the name of a file of the
        answer, or no row can be used.
    """
    table = read_text_table(path)
    require_columns(table, list(COLUMNS), f"table {path}")
    request = TableRequest()
    found: dict[tuple[str, Path], list[tuple[LesionRequest, float | None, tuple[int, int]]]] = {}
    for row in records(table):
        try:
            lesion, spacing, size, image = _read_row(row, path.parent, spacing_mm, finding)
        except (ConfigError, ExcludedCase, ValueError) as problem:
            request.left_out.append(left_out_row(str(row["image"]), str(problem), str(row[ORIGIN])))
            continue
        identity = str(row.get("id", "") or image.stem)
        name = safe_name(identity)
        found.setdefault((name, image), []).append((lesion, spacing, size))
        request.rows.setdefault(name, []).append(TableRow(str(row[ORIGIN]), str(row["image"]), identity))
    _check_names(list(found), path)
    for (name, image), rows in found.items():
        spacings = {spacing for _, spacing, _ in rows}
        if len(spacings) > 1:
            shown = sorted(str(spacing) for spacing in spacings)
            raise StudyError(f"table {path}: the rows of {image.name} have the spacings {shown}; expected one")
        lesions = tuple(lesion for lesion, _, _ in rows)
        request.films.append(FilmRequest(image, name, lesions, rows[0][1], rows[0][2]))
    if not request.films:
        first = request.left_out[0]["reason"] if request.left_out else "the table has no row"
        raise StudyError(f"table {path}: none of {len(table)} rows can be used; the first one: {first}")
    return request


def _read_row(
    row: Mapping[str, Any], folder: Path, spacing_mm: float | None, finding: str
) -> tuple[LesionRequest, float | None, tuple[int, int], Path]:
    """Return the lesion of a row, its spacing, and the size and file of its film."""
    if row[PROBLEM]:
        raise ValueError(str(row[PROBLEM]))
    if not str(row["image"]):
        raise ValueError("the column image is blank; expected the file of a film")
    image = folder / str(row["image"])
    numbers = []
    for name in BOX:
        value = parse_number(str(row[name]))
        if value is None:
            raise ValueError(f"the column {name} is blank; expected a number of film pixels")
        numbers.append(value)
    kind = str(row.get("finding", "") or finding).lower()
    if kind not in KINDS:
        raise ValueError(f"finding: found {quoted(kind)}; expected one of {', '.join(KINDS)}")
    spacing = parse_number(str(row.get("spacing", "")), above=0)
    check_spacing(spacing)
    size = film_size(image)
    (lesion,) = lesion_requests([numbers], [], size, kind)
    return lesion, spacing_mm if spacing is None else spacing, size, image


def _check_names(films: list[tuple[str, Path]], path: Path) -> None:
    """Refuse a film whose folder would be that of another film, or would have the name of a file beside it."""
    images: dict[str, Path] = {}
    for name, image in films:
        if name.lower() in BESIDE_FILMS:
            raise StudyError(
                f"table {path}: {image} would be answered in the folder {name!r}, and the answer has a file of this "
                "name; expected a column `id` with another name for this film"
            )
        other = images.setdefault(name.lower(), image)
        if other != image:
            raise StudyError(
                f"table {path}: {other} and {image} would both be answered in the folder {name!r}; expected a column "
                "`id` with a name of its own for each film"
            )
