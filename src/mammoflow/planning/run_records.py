"""The record of each run of the workflow, and the check of a results folder against what its last run left."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mammoflow.config.cohort import DatasetSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import StudyError
from mammoflow.planning.fingerprints import Fingerprints
from mammoflow.planning.models import run_folder
from mammoflow.planning.network_weights import given_weights
from mammoflow.planning.workflow import CONFIGURATION
from mammoflow.run.provenance import run_record
from mammoflow.storage.files import file_digest, read_json, write_text

RECORD = "run.json"
RECORDS = "runs"
"""Folder with the record of every run; `run.json` is a copy of the latest."""

START_ID = "start_id"
"""Key of the id of a start; see `mammoflow.planning.job_records`."""

DIGESTS = "sha256sums.txt"
"""The SHA-256 of every result, in the format of `sha256sum`, which can check it too."""

KNOWN = ".sha256sums.json"
"""Size, time and digest of each result, so that an unchanged file is read once."""

NOT_RESULTS = frozenset(
    {
        "logs",
        "benchmarks",
        RECORDS,
        RECORD,
        DIGESTS,
        KNOWN,
        CONFIGURATION,
        "files.json",
        "made.json",
        "running.json",
    }
)
"""What says when, where, how long and with what something ran, at the top of a run."""

TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".xls", ".xlsx", ".xlsm", ".parquet"})
"""Ends of the names of tables that a reader may read by their usual names."""

RUNNING, FINISHED, FAILED = "running", "finished", "failed"


@dataclass(frozen=True)
class Verification:
    """What a results folder has against the list of its last run.

    Attributes
    ----------
    run
        The record of that run.
    equal
        Files with the content that the run left.
    changed, missing, added
        Files with another content, files that are no longer there, and files that the run did not leave.
    """

    run: Mapping[str, Any]
    equal: int
    changed: list[str]
    missing: list[str]
    added: list[str]

    def is_good(self) -> bool:
        """Tell whether every file is there with its content; further files do no harm."""
        return not self.changed and not self.missing


def begin_record(
    config: StudyConfig,
    executor: str,
    root: Path,
    command: Sequence[str] = (),
    files: Sequence[Path] = (),
    cores: int | None = None,
    fingerprints: Fingerprints | None = None,
    start: str = "",
) -> None:
    """Write `run.json` at the start of a run that has something to do.

    Parameters
    ----------
    config
        The configuration of the run; the record holds all of it.
    executor
        Name of the Snakemake executor.
    root
        Folder of the project.
    command
        Words of the command line.
    files
        Configuration files.
    cores
        Cores that Snakemake may use on this machine; None on a cluster.
    fingerprints
        The fingerprints of the studies' files and of the given tables and weights.
    start
        The id of the start.
    """
    content = config.model_dump(mode="json")
    record = {
        **run_record(executor, root, command, files),
        "status": RUNNING,
        START_ID: start,
        "host": platform.node(),
        "cores": cores,
        "values": content,
        "seeds": dict(_of_key(content, "seed")) | dict(_of_key(content, "seeds")),
        "devices": dict(_of_key(content, "device")),
        "inputs": {} if fingerprints is None else _inputs(config, fingerprints),
    }
    _write(run_folder(config), record)


def end_record(config: StudyConfig, status: str) -> None:
    """Complete the record at the end of a run: when it ended and how, and the SHA-256 of every result.

    Parameters
    ----------
    config
        The configuration of the run.
    status
        `finished` or `failed`.
    """
    folder = run_folder(config)
    if not (folder / RECORD).is_file():
        return
    digests = result_digests(folder)
    write_text(folder / DIGESTS, "".join(f"{digest}  {name}\n" for name, digest in digests.items()))
    text = "\n".join(f"{digest}  {name}" for name, digest in digests.items())
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    results = {"files": len(digests), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    _write(folder, {**read_json(folder / RECORD), "status": status, "ended": ended, "results": results})


def verify(folder: Path) -> Verification:
    """Compare every file of a run with the list that its last run left.

    Parameters
    ----------
    folder
        Folder of the run, such as `results/phantom`.

    Raises
    ------
    StudyError
        If the folder has no list, or the list is damaged or is not the one of the last run.
    """
    for name in (RECORD, DIGESTS):
        if not (folder / name).is_file():
            raise StudyError(
                f"{folder / name} does not exist; expected the folder of a finished run, such as results/phantom"
            )
    record = read_json(folder / RECORD)
    expected = _read_digests(folder / DIGESTS)
    text = "\n".join(f"{digest}  {name}" for name, digest in expected.items())
    recorded = record.get("results", {}).get("sha256")
    if recorded != hashlib.sha256(text.encode()).hexdigest():
        raise StudyError(
            f"{folder / DIGESTS} is not the list that {RECORD} names: the list was changed, or a run was interrupted; "
            "run the workflow again, which completes the results and lists them"
        )
    found = set(_results(folder))
    missing = sorted(expected.keys() - found)
    changed = sorted(name for name in expected.keys() & found if file_digest(folder / name) != expected[name])
    equal = len(expected) - len(missing) - len(changed)
    return Verification(record, equal, changed, missing, sorted(found - expected.keys()))


def result_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every result of a run by its path; files that did not change since are not read again."""
    known: dict[str, list[Any]] = {}
    if (folder / KNOWN).is_file():
        known = json.loads((folder / KNOWN).read_text(encoding="utf-8"))
    states: dict[str, list[Any]] = {}
    for name in _results(folder):
        status = (folder / name).stat()
        state = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        before = known.get(name)
        digest = before[3] if before is not None and before[:3] == state else file_digest(folder / name)
        states[name] = [*state, digest]
    write_text(folder / KNOWN, json.dumps(states, indent=0) + "\n")
    return {name: state[3] for name, state in states.items()}


def _results(folder: Path) -> Iterator[str]:
    """Give the paths of the results of a run, sorted, without hidden files."""
    for place, inside, names in os.walk(folder):
        top = Path(place) == folder
        inside[:] = sorted(name for name in inside if not name.startswith(".") and not (top and name in NOT_RESULTS))
        for name in sorted(names):
            if not name.startswith(".") and not (top and name in NOT_RESULTS):
                yield (Path(place) / name).relative_to(folder).as_posix()


def _read_digests(path: Path) -> dict[str, str]:
    """Return the digests of a list in the format of `sha256sum`."""
    digests = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        entry = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if entry is None:
            raise StudyError(f"{path}, line {number}: found {line[:80]!r}; expected a SHA-256, two blanks and a path")
        digests[entry[2]] = entry[1]
    return digests


def _inputs(config: StudyConfig, fingerprints: Fingerprints) -> dict[str, Any]:
    """Return the digests of what a person gave to the run."""
    studies = fingerprints.of_cohort()
    tables = {
        dataset.name: {
            name: file_digest(folder / name) for name in _tables(dataset, fingerprints) if (folder / name).is_file()
        }
        for dataset in config.cohort.datasets
        if (folder := fingerprints.folders[dataset.name]).is_dir()
    }
    named = [file for _, file in _of_key(config.model_dump(mode="json"), "weights") if isinstance(file, str)]
    files = dict.fromkeys([*named, *given_weights(config)])
    weights = {file: fingerprints.digest(file) for file in files if Path(file).is_file()}
    return {"studies": studies, "tables": tables, "weights": weights}


def _tables(dataset: DatasetSettings, fingerprints: Fingerprints) -> list[str]:
    """Return the tables of a study: those that the configuration names, and those that its reader may read unnamed.

    Only the code of a reader says which tables it reads by their usual names, so every table of the study is taken. The
    reader `table` reads none, and the tables of a study that the run makes are results.
    """
    named = dataset.every_table()
    if dataset.reader == "table" or fingerprints.is_made(str(fingerprints.folders[dataset.name])):
        return named
    files = sorted(fingerprints.marks[dataset.name])
    return list(dict.fromkeys([*named, *(name for name in files if Path(name).suffix.lower() in TABLE_SUFFIXES)]))


def _of_key(values: Any, key: str, place: str = "") -> Iterator[tuple[str, Any]]:
    """Give every value of a key in nested settings, with its place, such as `comparison.seed`."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            inside = f"{place}.{name}" if place else str(name)
            if name == key and not isinstance(value, Mapping):
                yield inside, value
            else:
                yield from _of_key(value, key, inside)


def _write(folder: Path, record: Mapping[str, Any]) -> None:
    """Write a record as the latest one and as one of all."""
    text = json.dumps(record, indent=2) + "\n"
    moment = re.sub(r"[^0-9T]", "-", str(record["started"]).partition("+")[0])
    (folder / RECORDS).mkdir(parents=True, exist_ok=True)
    write_text(folder / RECORDS / f"{moment}.json", text)
    write_text(folder / RECORD, text)
