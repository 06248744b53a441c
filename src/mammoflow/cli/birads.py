"""The command `birads`: the radiologist's assessment as a model, from case tables and without an image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mammoflow.cli.group import main
from mammoflow.cli.options import file, folder, output_folder
from mammoflow.errors import ConfigError

if TYPE_CHECKING:
    from mammoflow.config.birads import BiradsJob


@main.command()
@click.argument("tables", nargs=-1, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--settings",
    type=file(exists=True),
    help="Settings of the stage (YAML), as the workflow writes them; without TABLES.",
)
@click.option("--study", type=folder(exists=True), help="With --settings: folder of the first study.")
@click.option(
    "--reader", default="", help="Reader of the tables; without it cbis-ddsm for tables of that form, else table."
)
@click.option("--name", default="", help="Name of the data set in the tables.")
@click.option(
    "--column", multiple=True, metavar="KEY=COLUMN", help="For the reader table: where a value comes from; repeatable."
)
@output_folder("Folder of the tables.")
def birads(
    tables: tuple[Path, ...],
    settings: Path | None,
    study: Path | None,
    reader: str,
    name: str,
    column: tuple[str, ...],
    output: Path,
) -> None:
    """Score BI-RADS as a model from case tables alone.

    TABLES are the case tables, or one folder of CBIS-DDSM's four. Every threshold, policy for BI-RADS 0, lesion type,
    split, density and view has rows, at the level of rows, findings and patients, each with intervals.
    """
    from mammoflow.config.base import read_settings
    from mammoflow.config.birads import BiradsJob
    from mammoflow.evaluation.birads_console import show
    from mammoflow.evaluation.birads_stage import write_birads

    if bool(tables) == bool(settings):
        raise ConfigError("found both or neither of TABLES and --settings; expected one of them")
    if settings is not None:
        job = read_settings(BiradsJob, settings)
        first = Path(study or job.datasets[0].folder)
        studies = [first, *(Path(dataset.folder) for dataset in job.datasets[1:])]
    else:
        job, where = _job_of_tables(tables, reader, name, column)
        studies = [where]
    show(write_birads(job, studies, output), job.confidence)
    click.echo(f"tables: {output / 'birads.csv'}, birads.parquet")


def _job_of_tables(
    tables: tuple[Path, ...], reader: str, name: str, columns: tuple[str, ...]
) -> tuple[BiradsJob, Path]:
    """Return the settings for some tables, and the folder that contains them."""
    from mammoflow.cohort.case_tables import is_case_table
    from mammoflow.cohort.image_free import columns_without_images, repeated_rows
    from mammoflow.cohort.table_files import ORIGIN
    from mammoflow.config.base import validate_settings
    from mammoflow.config.birads import BiradsJob

    files = [path for path in tables if path.is_file()]
    if len(files) < len(tables) and len(tables) > 1:
        raise ConfigError(f"TABLES: found {', '.join(map(str, tables))}; expected tables, or one folder alone")
    where = Path(os.path.commonpath([path.resolve().parent for path in files])) if files else tables[0]
    names = [str(path.resolve().relative_to(where)) for path in files]
    chosen = reader or ("cbis-ddsm" if all(is_case_table(path) for path in files) else "table")
    dataset: dict[str, object] = {
        "reader": chosen,
        "name": name or ("CBIS-DDSM" if chosen == "cbis-ddsm" else where.resolve().name or "tables"),
        "folder": str(where),
        "tables": names,
    }
    if chosen == "table":
        given = dict(_key_and_column(text) for text in columns)
        mapped = columns_without_images(files[0], given) if files else given
        if mapped.get("lesion") == ORIGIN and (repeated := repeated_rows(files[0])):
            click.echo(
                f"{files[0].name}: {repeated} rows are equal to an earlier row in every column; each row counts as a "
                "lesion of its own, because the table tells lesions apart in no other way"
            )
        dataset["options"] = {"columns": mapped}
    elif columns:
        raise ConfigError(f"--column: found {columns[0]!r} with the reader {chosen!r}; only the reader table has it")
    return validate_settings(BiradsJob, {"datasets": [dataset]}, "the options of mammoflow birads"), where


def _key_and_column(text: str) -> tuple[str, str]:
    key, equals, source = text.partition("=")
    if not equals or not key or not source:
        raise ConfigError(f"--column: found {text!r}; expected KEY=COLUMN, such as birads=assessment")
    return key, source
