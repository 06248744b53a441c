"""Commands that people call first: write a configuration for a table, and check it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import file, folder
from mammoflow.errors import StudyError

if TYPE_CHECKING:
    import pandas as pd

    from mammoflow.cohort.guessing.columns import Guess
    from mammoflow.cohort.readers._table_options import TableColumn

QUESTIONS: dict[TableColumn, str] = {
    "image": "Which column names the image file?",
    "mask": "Which column names the mask file of the lesion?",
    "patient": "Which column identifies the patient?",
    "label": "Which column says whether the lesion is malignant?",
}
NONE = "none"


@main.command()
@click.argument("configuration", nargs=-1, required=True, type=file(exists=True))
def check(configuration: tuple[Path, ...]) -> None:
    """Say how many rows can be used, and why others cannot.

    CONFIGURATION is your overlay, or several, each of which overlays the one before. The command reads tables and file
    headers, takes seconds, and writes nothing. It exits with 1 if the patients cannot be divided, a film would be on
    two sides of the split, or the configured classifiers cannot be trained.
    """
    from mammoflow.cohort.checking import check_study
    from mammoflow.config.reading import read_config

    study = read_config(list(configuration))
    checked = check_study(study.cohort, study.classification.validation_classes, study.classification.class_sides)
    click.echo("\n".join(checked.lines))
    if not checked.runs:
        raise StudyError("the workflow would stop at the stage cohort; the lines above say what to write")


@main.command()
@click.argument("table", type=file(exists=True))
@click.option("--folder", "study", type=folder(exists=True), help="Study folder; by default that of the table.")
@click.option("--out", type=file(), help="File to write; by default NAME-OF-TABLE.yaml in the current folder.")
@click.option("--sheet", default="", help="Sheet of an Excel workbook; by default the first one with content.")
@click.option("--encoding", default="", help="Encoding of the table, if it is not recognised.")
@click.option("--delimiter", default="", help="Character between values, if it is not recognised.")
@click.option("--yes", is_flag=True, help="Ask nothing; use the best guesses and mark them.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
def init(
    table: Path,
    study: Path | None,
    out: Path | None,
    sheet: str,
    encoding: str,
    delimiter: str,
    yes: bool,
    force: bool,
) -> None:
    """Write a first configuration for the case table TABLE.

    TABLE is a CSV, Excel or Parquet file. The command guesses what each column contains, where the files are, and what
    the words mean. It asks if it is not sure. The table must be inside the study folder, and paths in it are relative
    to that folder.
    """
    from mammoflow.cohort.guessing.columns import guess_columns
    from mammoflow.cohort.guessing.files import list_files
    from mammoflow.cohort.guessing.overlay import Study, overlay_text
    from mammoflow.cohort.plain_text import word_key
    from mammoflow.cohort.table_files import TableForm, columns_of, read_text_table
    from mammoflow.storage.files import write_text
    from mammoflow.storage.names import safe_name

    place = (study or table.parent).absolute()
    place = place.resolve() if ".." in place.parts else place
    inside = _path_inside(table, place)
    name = table.stem
    run = safe_name("-".join(word_key(name).split()))
    target = out or Path(f"{run}.yaml")
    if target.exists() and not force:
        raise StudyError(f"{target} exists; name another file with --out, or overwrite it with --force")
    notes: list[str] = []
    rows = read_text_table(table, TableForm(encoding, delimiter, sheet), notes)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    guess = guess_columns(rows, place, list_files(place))
    _settle(guess, columns_of(rows), yes)
    words, unknown = _settle_words(rows, guess, yes)
    needs_spacing = "spacing" not in guess.columns and not _looks_like_dicom(rows, guess)
    spacing = None
    if needs_spacing and not yes:
        answer = click.prompt("Pixel spacing of the pictures in mm (0 if it is not known)", type=float, default=0.0)
        spacing = answer or None
    near = os.path.relpath(place)
    text = overlay_text(
        Study(
            run,
            name,
            str(place) if near.startswith("..") else near,
            inside,
            words,
            unknown,
            spacing,
            needs_spacing,
            _has_official_test(rows, guess),
            {"encoding": encoding, "delimiter": delimiter, "sheet": sheet},
        ),
        guess,
    )
    write_text(target, text)
    click.echo(text)
    click.echo(f"written to {target}; now run: mammoflow check {target}", err=True)


def _path_inside(table: Path, place: Path) -> str:
    """Return the path of the table relative to the study folder, however the two paths are written.

    Raises
    ------
    StudyError
        If the table is not inside the study folder.
    """
    resolved = table.parent.resolve() / table.name, place.resolve()
    for path, outer in (resolved, (table.absolute(), place)):
        if path.is_relative_to(outer) and ".." not in path.parts:
            return path.relative_to(outer).as_posix()
    raise StudyError(f"the table {table} is not inside the study folder {place}; copy it there, or name --folder")


def _settle(guess: Guess, headers: list[str], yes: bool) -> None:
    """Ask for what is missing or ambiguous; with `yes`, stop where something is missing that the run needs."""
    from mammoflow.cohort.guessing.headers import box_as_size

    boxed = "box_y0" in guess.columns
    for key, question in QUESTIONS.items():
        if key in guess.columns or (key == "mask" and boxed):
            continue
        if yes and key == "label":
            continue
        hint = (
            " The table has boxes as corner, width and height; mammoflow reads two corners."
            if (key == "mask" and box_as_size(headers))
            else ""
        )
        if yes:
            raise StudyError(
                f"no column was recognised for {key!r}; found {', '.join(headers)}.{hint} Run it without --yes to "
                "answer, or rename the column"
            )
        choices = [*headers, NONE] if key == "label" else headers
        answer = click.prompt(f"{question}{hint}", type=click.Choice(choices), show_choices=True)
        if answer != NONE:
            guess.columns[key] = answer
    for key, rivals in [] if yes else list(guess.rivals.items()):
        choices = [guess.columns[key], *rivals]
        guess.columns[key] = click.prompt(f"Which column is {key}?", type=click.Choice(choices), default=choices[0])
        del guess.rivals[key]


def _settle_words(
    rows: pd.DataFrame, guess: Guess, yes: bool
) -> tuple[dict[TableColumn, dict[str, str]], dict[TableColumn, list[str]]]:
    """Ask for the meaning of unknown words; with `yes`, list them. Return the meanings, and the words without one."""
    from mammoflow.cohort.guessing.words import CHOICES, SKIP, unknown_words

    meanings: dict[TableColumn, dict[str, str]] = {}
    unknown: dict[TableColumn, list[str]] = {}
    for key, words in unknown_words(rows, guess.columns).items():
        if yes:
            shown = ", ".join(f"{word!r} ({count} rows)" for word, count in words.items())
            click.echo(f"CHECK {key}: unknown words {shown}", err=True)
            unknown[key] = list(words)
            continue
        for word, count in words.items():
            answer = click.prompt(f"{key} {word!r} ({count} rows) means", type=click.Choice(list(CHOICES[key])))
            if answer != SKIP:
                meanings.setdefault(key, {})[word] = answer
    return meanings, unknown


def _looks_like_dicom(rows: pd.DataFrame, guess: Guess) -> bool:
    source = guess.columns.get("image", "")
    shown = [source] if "{" in source else [text for text in rows[source] if text] if source in rows.columns else []
    return bool(shown) and all(Path(name).suffix.lower() in (".dcm", ".dicom", "") for name in shown)


def _has_official_test(rows: pd.DataFrame, guess: Guess) -> bool:
    from mammoflow.cohort.plain_text import word_key
    from mammoflow.cohort.words import OFFICIAL_SPLITS

    source = guess.columns.get("split", "")
    if source not in rows.columns:
        return False
    return {OFFICIAL_SPLITS.get(word_key(text)) for text in rows[source] if text} == {"train", "test"}
