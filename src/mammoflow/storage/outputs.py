"""Folders and files that a stage writes: what is there already is replaced only where mammoflow wrote it.

A folder that a stage writes to has a marker, which names the stage and, where the stage removes files of an earlier
run, these files. A folder of a run of the workflow is mammoflow's own: there is its folder of settings.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mammoflow.errors import ConfigError, StudyError
from mammoflow.storage.files import TEMPORARY_BYTES, write_text

MARKER = ".mammoflow.json"
RUN_MARK = "settings/cohort.yaml"
"""File whose presence says that a folder is that of a run."""

# The names of `writing`; those of early versions have eight characters at the end.
_UNFINISHED = re.compile(rf"\.(?P<stem>.+)-(?:[0-9a-f]{{{2 * TEMPORARY_BYTES}}}|[a-z0-9_]{{8}})(?P<suffix>\.\w+)")


def is_same(one: Path, other: Path) -> bool:
    """Tell whether two paths lead to the same place, through links and whatever the case of their letters."""
    with suppress(OSError):
        return one.samefile(other)
    return one.resolve() == other.resolve()


def is_within(place: Path, folder: Path) -> bool:
    """Tell whether a place is a folder or lies inside it; neither has to exist."""
    resolved = place.resolve()
    return any(is_same(above, folder) for above in (resolved, *resolved.parents))


def is_in_run(place: Path) -> bool:
    """Tell whether a place lies in the folder of a run of the workflow."""
    return any((above / RUN_MARK).is_file() for above in place.resolve().parents)


def holds_files(folder: Path) -> bool:
    """Tell whether a folder, or one inside it, holds any file; links count as files."""
    return any(path.is_symlink() or not path.is_dir() for path in folder.rglob("*"))


def claim_folder(folder: Path, stage: str) -> None:
    """Mark a folder as that of a stage; refuse one that holds something else.

    Raises
    ------
    ConfigError
        If the folder holds files and no marker, or the marker of another stage.
    """
    marker = _read_marker(folder)
    if not marker and folder.exists() and not is_in_run(folder) and (not folder.is_dir() or holds_files(folder)):
        raise ConfigError(
            f"--output: found {folder}, which holds files that mammoflow did not write; expected a new or an empty "
            f"folder, or one that `mammoflow {stage}` wrote; nothing was changed: name another folder"
        )
    if marker.get("stage", stage) != stage:
        raise ConfigError(
            f"--output: found {folder}, which holds the results of `mammoflow {marker['stage']}`; expected a folder of "
            f"`mammoflow {stage}`, or a new one; nothing was changed: name another folder"
        )
    if marker.get("stage") != stage:
        write_text(folder / MARKER, json.dumps({**marker, "stage": stage}) + "\n")


def claim_file(file: Path, stage: str, columns: Iterable[str] = ()) -> None:
    """Refuse to replace a file that the stage did not write.

    Parameters
    ----------
    file
        The file to write.
    stage
        Name of the command.
    columns
        Columns by which a table of the stage is known; without them a page is known by the project's name in it, and a
        record of weights by its keys.

    Raises
    ------
    ConfigError
        If there is another file.
    """
    if not file.exists() or is_in_run(file):
        return
    if not (_has_columns(file, set(columns)) if columns else _is_page_or_record(file)):
        raise ConfigError(
            f"--output: found {file}, which exists and was not written by `mammoflow {stage}`; expected a new file, or "
            "one that this command wrote; nothing was changed: name another file, or remove this one"
        )


def begin_files(folder: Path, files: Iterable[str], anything: Iterable[str] = ()) -> None:
    """Remove the files that an earlier run wrote to a folder, and note which ones this run will write.

    Parameters
    ----------
    folder
        The folder of the results.
    files
        Paths of all files that this run may write, relative to the folder; they are removed in this order.
    anything
        Folders inside it whose files all count as written by an earlier run, where a run of the workflow has no note.

    Raises
    ------
    StudyError
        If one of the files is there and no earlier run wrote it; nothing is removed then.
    """
    marker, planned = _read_marker(folder), list(dict.fromkeys(files))
    written = set(marker.get("files", ()))
    if "files" not in marker and is_in_run(folder):
        places = [path for name in anything for path in (folder / name).glob("*") if not path.is_dir()]
        written = {path.relative_to(folder).as_posix() for path in places} | set(planned)
    foreign = [name for name in planned if name not in written and (folder / name).exists()]
    if foreign:
        raise StudyError(
            f"{folder / foreign[0]} exists and was not written by an earlier run, or by one of an earlier version; "
            "expected a folder without files of these names; nothing was changed: remove it or name another folder"
        )
    note = {**marker, "files": sorted({*written, *planned})}
    write_text(folder / MARKER, json.dumps(note) + "\n")
    for name in [*planned, *sorted(written - set(planned))]:
        (folder / name).unlink(missing_ok=True)
    remove_unfinished(folder, note["files"])
    write_text(folder / MARKER, json.dumps({**marker, "files": sorted(planned)}) + "\n")


def remove_unfinished(folder: Path, files: Iterable[str]) -> None:
    """Remove what a killed process left half written of some files of a folder."""
    names = set(files)
    for place in {(folder / name).parent for name in names}:
        for path in place.glob(".*"):
            found = _UNFINISHED.fullmatch(path.name)
            whole = path.with_name(f"{found['stem']}{found['suffix']}") if found else path
            if found and whole.relative_to(folder).as_posix() in names:
                path.unlink(missing_ok=True)


def _read_marker(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's marker; nothing where there is none or it is damaged."""
    try:
        content = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _has_columns(file: Path, columns: set[str]) -> bool:
    """Tell whether a table, Parquet or CSV, has all these columns."""
    import pyarrow.parquet

    try:
        with file.open("rb") as content:
            if content.read(4) == b"PAR1":
                return columns <= set(pyarrow.parquet.read_schema(file).names)
        with file.open(encoding="utf-8-sig", newline="") as text:
            return columns <= set(next(csv.reader([text.readline(2**16)]), []))
    except (OSError, ValueError, csv.Error):
        return False


def _is_page_or_record(file: Path) -> bool:
    try:
        with file.open("rb") as content:
            start = content.read(2**16)
    except OSError:
        return False
    return b'content="mammoflow' in start or (b'"sha256": ' in start and b'"licence": ' in start)
