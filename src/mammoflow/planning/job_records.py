"""Tells whether the records that Snakemake keeps of its jobs are those of the results of a run.

Snakemake records the parameters of a job when it has made its outputs, and compares them at each start: the digest of
the code, the fingerprints of the study and of weights. The records are in `.snakemake` of its working folder, by the
paths of the outputs. Results that were moved, or made from another working folder, have no record there, or an old one.
Snakemake then compares only the times of files, and says nothing.

So each start that has something to do has an id. It is in `run.json`, and beside the records of Snakemake.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from mammoflow.planning.run_records import RECORD, START_ID
from mammoflow.storage.files import text_digest, write_text

SNAKEMAKE = Path(".snakemake")
FOLDER = "mammoflow"
"""Folder with the ids of starts, beside Snakemake's records; it has one file for each run."""


def missing_records(run: Path, snakemake: Path = SNAKEMAKE) -> str:
    """Return what to tell a person where Snakemake has no records of a run's results; "" where it has.

    Parameters
    ----------
    run
        Folder of the run, as the rules name it.
    snakemake
        Folder with Snakemake's records.
    """
    if _has_records(run, snakemake):
        return ""
    return (
        f"Snakemake in this folder has no complete record of how the results in {run} were made: they were moved, or "
        "made from another folder. It notices changed settings, missing results, and results that are older than what "
        "they read. It does not notice code, files of the study and weights that have changed since the results were "
        "made. Make all results anew with --forceall "
        "and no target, or copy the folder .snakemake from where the last run was started, and set results and run as "
        "there"
    )


def begin_start(run: Path, snakemake: Path = SNAKEMAKE) -> str:
    """Return the id of a start, and keep it beside Snakemake's records if these are the records of the run's results.

    The id before it is kept too: a start may be killed before `run.json` has the new one.

    Parameters
    ----------
    run, snakemake
        As for `missing_records`.
    """
    start = secrets.token_hex(8)
    if _has_records(run, snakemake):
        _write(run, snakemake, [start, _last_start(run)])
    return start


def keep_start(run: Path, snakemake: Path = SNAKEMAKE) -> None:
    """Keep the id of the last start, which made all results anew: Snakemake has the records of all of them.

    Parameters
    ----------
    run, snakemake
        As for `missing_records`.
    """
    _write(run, snakemake, [_last_start(run)])


def _has_records(run: Path, snakemake: Path) -> bool:
    """Tell whether the last start of a run was one of this folder; True where the run tells no start."""
    last = _last_start(run)
    return not last or last in _known_starts(run, snakemake)


def _last_start(run: Path) -> str:
    """Return the id of the last start of a run; "" where its record is absent, damaged or has none."""
    try:
        return str(json.loads((run / RECORD).read_text(encoding="utf-8"))[START_ID])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _known_starts(run: Path, snakemake: Path) -> list[str]:
    """Return the ids beside Snakemake's records; none where the file is absent or damaged."""
    try:
        ids = json.loads(_file(run, snakemake).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return ids if isinstance(ids, list) else []


def _write(run: Path, snakemake: Path, ids: list[str]) -> None:
    write_text(_file(run, snakemake), json.dumps(ids) + "\n")


def _file(run: Path, snakemake: Path) -> Path:
    """Return the file of a run, which Snakemake knows by its path as the rules name it."""
    return snakemake / FOLDER / f"{text_digest(str(run))}.json"
