"""The content of the store of arrays: listing, checking and pruning its entries."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from safetensors import SafetensorError, safe_open

from mammoflow.errors import StudyError
from mammoflow.run.runtime import progress
from mammoflow.storage.arrays import DAY_S, ArrayStore

UNKNOWN = "unknown"
_KEY = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = re.compile(r"\.[0-9a-f]{64}-[a-z0-9_]+\.safetensors")


@dataclass(frozen=True)
class Entry:
    """One entry of the store.

    Attributes
    ----------
    key, path, size
        Its key, its file, and the size of the file in bytes.
    kind, model, image
        What it describes; `unknown` for damaged entries and for those of early versions.
    shapes
        Type and shape of each array, as text.
    created
        When it was written (UTC), or "".
    used
        When it was last read or written, in seconds since 1970, to within a day.
    """

    key: str
    path: Path
    size: int
    kind: str
    model: str
    image: str
    shapes: str
    created: str
    used: float


def check_store(root: Path) -> None:
    """Refuse a folder that does not exist.

    Raises
    ------
    StudyError
        If there is no such folder.
    """
    if not root.is_dir():
        raise StudyError(f"store {root} does not exist; expected the folder that the configuration names under store")


def entries(root: Path) -> Iterator[Entry]:
    """Yield the entries of a store in the order of their keys; only their headers are read."""
    for path in sorted(root.glob("??/*.safetensors")):
        if _KEY.fullmatch(path.stem) and path.stem.startswith(path.parent.name):
            try:
                yield _entry(path)
            except FileNotFoundError:  # another job removed it meanwhile
                continue


def unfinished(root: Path) -> list[Path]:
    """Return files that a killed job left half written: temporary files that are older than a day."""
    old_files = []
    for path in root.glob("??/.*.safetensors"):
        with suppress(FileNotFoundError):  # a job has just renamed it
            if _UNFINISHED.fullmatch(path.name) and time.time() - path.stat().st_mtime > DAY_S:
                old_files.append(path)
    return sorted(old_files)


def _entry(path: Path) -> Entry:
    status = path.stat()
    about: dict[str, str] = {}
    shapes = "unreadable"
    try:
        with safe_open(str(path), framework="numpy") as file:
            about = file.metadata() or {}
            slices = {name: file.get_slice(name) for name in file.keys() if name != "digest"}  # noqa: SIM118
            shapes = ", ".join(
                f"{name} {array.get_dtype()} {'x'.join(map(str, array.get_shape()))}" for name, array in slices.items()
            )
    except (SafetensorError, OSError, ValueError):
        path.stat()  # raises where the file was removed; otherwise the entry is damaged and stays in the list
    return Entry(
        path.stem,
        path,
        status.st_size,
        about.get("kind", UNKNOWN),
        about.get("model", UNKNOWN),
        about.get("image", UNKNOWN),
        shapes,
        about.get("created", ""),
        status.st_mtime,
    )


def summary(stored: Sequence[Entry]) -> pd.DataFrame:
    """Count entries by model, kind and shape: `entries`, `bytes`, `last_used` (UTC)."""
    columns = ["model", "kind", "shapes", "entries", "bytes", "last_used"]
    if not stored:
        return pd.DataFrame(columns=columns)
    table = pd.DataFrame(
        [(entry.model, entry.kind, entry.shapes, entry.size, entry.used) for entry in stored],
        columns=["model", "kind", "shapes", "bytes", "used"],
    )
    groups = table.groupby(["model", "kind", "shapes"])
    counts = groups.agg(entries=("bytes", "size"), bytes=("bytes", "sum"), used=("used", "max")).reset_index()
    return counts.assign(last_used=pd.to_datetime(counts["used"], unit="s").dt.strftime("%Y-%m-%d"))[columns]


def damaged_entries(root: Path) -> tuple[list[Entry], list[tuple[Entry, str]]]:
    """Read every entry; this does not count as a use.

    Returns
    -------
    list of Entry
        The entries whose values are no longer the ones that were written.
    list of tuple
        The entries that cannot be read, such as those of another user, and the reason of each.
    """
    store = ArrayStore(root)
    damaged, unreadable = [], []
    for entry in progress(list(entries(root)), "verify the store"):
        try:
            if store.verified(entry.key) is None:
                damaged.append(entry)
        except FileNotFoundError:  # another job removed it meanwhile
            continue
        except OSError as error:
            unreadable.append((entry, str(error)))
    return damaged, unreadable


def to_prune(
    stored: Sequence[Entry],
    models: Collection[str] = (),
    unused_days: float | None = None,
    most_bytes: int | None = None,
) -> list[Entry]:
    """Choose entries to remove.

    Parameters
    ----------
    stored
        The entries of the store.
    models
        Only entries of these models; empty means all.
    unused_days
        Only entries that were not used for this many days.
    most_bytes
        Of the entries that meet the conditions above, only as many as needed to bring the whole store down to this
        size, the longest unused first.

    Returns
    -------
    list of Entry
        The longest unused first.
    """
    candidates = [entry for entry in stored if not models or entry.model in models]
    candidates.sort(key=lambda entry: (entry.used, entry.key))
    if unused_days is not None:
        before = time.time() - unused_days * DAY_S
        candidates = [entry for entry in candidates if entry.used < before]
    if most_bytes is None:
        return candidates
    excess = sum(entry.size for entry in stored) - most_bytes
    chosen = []
    for entry in candidates:
        if excess <= 0:
            break
        chosen.append(entry)
        excess -= entry.size
    return chosen


def remove(paths: Sequence[Path]) -> None:
    """Remove files of the store. A job that needs one of them computes it again."""
    for path in paths:
        path.unlink(missing_ok=True)
