"""The folder of an answer: masks, overlay, `result.json` and DICOM objects; nothing of the user's is overwritten."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mammoflow.errors import ConfigError, StudyError
from mammoflow.prediction.results import PROGRAM
from mammoflow.storage.names import shown_name

RESULT = "result.json"
OVERLAY = "overlay.png"
SEGMENTATION, REPORT = "segmentation.dcm", "report.dcm"
TABLE = "results.csv"
LEFT_OUT = "left_out.csv"
BESIDE_FILMS = (RESULT, TABLE, LEFT_OUT)
"""Files of the answer to a table; the folders of the films are beside them."""


def left_out_row(image: str | Path, reason: str, row: str = "") -> dict[str, str]:
    """Return a row of `left_out.csv`: where it is in the table of the request, the film, and why it is left out."""
    return {"row": row, "image": shown_name(image), "reason": shown_name(reason)}


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; on success its files take the place of an earlier answer, otherwise nothing changes.

    The temporary folder is beside the final one. `result.json` is the last file that is removed and the first that is
    moved, so that even after a crash between two files the folder is known as one of an earlier answer.

    Raises
    ------
    StudyError
        See `check_folder`.
    """
    folder = folder.resolve()
    check_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as name:
        temporary = Path(name)
        yield temporary
        check_folder(folder)
        earlier = written_files(folder) if folder.is_dir() else set()
        for own in sorted(earlier, key=lambda name: (Path(name).name == RESULT, name)):
            (folder / own).unlink(missing_ok=True)
        for emptied in [path for path in folder.rglob("*") if path.is_dir() and not any(path.iterdir())]:
            emptied.rmdir()
        folder.mkdir(exist_ok=True)
        files = [path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file()]
        for file in sorted(files, key=lambda path: (path.name != RESULT, path)):
            (folder / file).parent.mkdir(exist_ok=True)
            (temporary / file).replace(folder / file)


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier answer.

    Raises
    ------
    StudyError
        If the folder is a file, or holds anything that no earlier answer lists.
    """
    if folder.exists() and not folder.is_dir():
        raise StudyError(f"--out {folder} is a file; expected a new folder, an empty one, or one that predict wrote")
    if not folder.exists():
        return
    own = written_files(folder)
    strangers = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())
    strangers = [name for name in strangers if name not in own]
    if strangers:
        shown = ", ".join(strangers[:3]) + (", ..." if len(strangers) > 3 else "")
        raise StudyError(
            f"--out {folder} holds {len(strangers)} files that mammoflow predict did not write ({shown}); expected a "
            "new folder, an empty one, or one that predict wrote; nothing was changed"
        )


def check_store(store: Path | None, folder: Path) -> None:
    """Refuse a store of embeddings inside the folder of an answer, which holds nothing but the answer.

    Raises
    ------
    ConfigError
        If the store is the folder or inside it.
    """
    if store is not None and store.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"--store {store} is inside --out {folder}, which holds the answer alone; expected a store elsewhere, such "
            f"as {folder.resolve().parent / 'store'}"
        )


def written_files(folder: Path) -> set[str]:
    """Return the files of an earlier answer in a folder, relative to it, by the lists in its `result.json` files."""
    names: set[str] = set()
    for record in folder.rglob(RESULT):
        try:
            content = json.loads(record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if not isinstance(content, dict) or content.get("program") != PROGRAM:
            continue
        names.add(str(record.relative_to(folder)))
        names |= {str((record.parent / name).relative_to(folder)) for name in _names(content) if _is_plain(name)}
    return names


def _is_plain(name: str) -> bool:
    """Tell whether a name of a list stays in its folder."""
    return Path(name).name == name and name not in ("", ".", "..")


def _names(content: dict[str, Any]) -> list[str]:
    files = content.get("files", {})
    listed: list[str] = []
    for value in files.values() if isinstance(files, dict) else ():
        listed += (
            [value] if isinstance(value, str) else [str(name) for name in value] if isinstance(value, list) else []
        )
    return listed
