"""The rows of BI-RADS alone on the page: those that the target birads wrote, if they are of this configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mammoflow.config.mapping import read_mapping
from mammoflow.errors import MammoflowError
from mammoflow.evaluation.birads_table import ALL
from mammoflow.report.content import Row, Tables
from mammoflow.run.console import say
from mammoflow.storage.files import file_digest, read_json

AGAIN = "make it again with `snakemake --cores 1 birads --forcerun birads` and the run's --configfile, then the report"


def birads_rows(run: Path) -> list[Row]:
    """Return the rows of BI-RADS alone on all splits, densities and views, if the target birads was run.

    The page has nothing of a table that other settings or other case tables gave; the console says so.

    Parameters
    ----------
    run
        Folder of the run.
    """
    folder = run / "birads"
    if not (folder / "birads.csv").is_file():
        return []
    change = why_out_of_date(folder / "birads.json", run / "settings" / "birads.yaml")
    if change:
        say(f"report: {folder / 'birads.csv'} is out of date, so the page leaves it out: {change}; {AGAIN}")
        return []
    everything = {"split": ALL, "density": ALL, "view": ALL}
    return [row for row in Tables(folder, "target birads").rows("birads") if everything.items() <= row.items()]


def why_out_of_date(record: Path, settings: Path) -> str:
    """Return what differs between a table of BI-RADS and the run, or "".

    Parameters
    ----------
    record
        `birads.json`, which the stage writes beside the table.
    settings
        The settings file of the stage, as the workflow last wrote it.
    """
    try:
        written, wanted = read_json(record), read_mapping(settings)
    except MammoflowError as error:
        return str(error)
    made_with, tables = written.get("settings"), written.get("tables")
    if not isinstance(made_with, Mapping) or not isinstance(tables, Mapping):
        return f"{record.name} does not say which case tables it was made of"
    changed = [name for name in dict.fromkeys([*made_with, *wanted]) if made_with.get(name) != wanted.get(name)]
    if changed:
        return f"it was made with other settings ({', '.join(changed)})"
    other = [str(path) for path, digest in tables.items() if _digest(path) != digest]
    return f"{', '.join(other)} has changed or cannot be read" if other else ""


def _digest(path: Any) -> str:
    """Return the digest of a case table, "" where it cannot be read."""
    try:
        return file_digest(Path(path))
    except OSError:
        return ""
