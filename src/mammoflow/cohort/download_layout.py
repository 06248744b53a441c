"""Where the files of a CBIS-DDSM download lie, whichever tool made it.

Two layouts are known below a folder named for a film or a lesion: the paths of the case tables
(`<study UID>/<series UID>/000000.dcm`) and the download tool's (`<date>-DDSM-NNNNN/<n>-<description>-NNNNN/1-1.dcm`,
also `00000001.dcm` or `000000.dcm`). The named folders may stand in the study folder or up to three levels below it
(`CBIS-DDSM/`, `manifest-NNN/CBIS-DDSM/`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mammoflow.dicomfile import safe_path
from mammoflow.errors import ExcludedCase, Reason

CASE_FOLDER = re.compile(r"(Mass|Calc)-(Training|Test)_.+")
DEEPEST_CASE_FOLDER = 3
DICOM_SUFFIXES = (".dcm", ".dicom", "")


class DownloadLayout:
    """The folders of a download by name.

    Parameters
    ----------
    study
        The study folder.
    """

    def __init__(self, study: Path) -> None:
        self.study = study
        self._folders: dict[str, str] = {}
        for path in _case_folders(study, DEEPEST_CASE_FOLDER):
            self._folders.setdefault(path.name, path.relative_to(study).as_posix())

    def locate(self, name: str) -> str:
        """Return a table's path relative to the study folder, wherever its first folder lies; it may not exist."""
        parts = PurePosixPath(name.replace("\\", "/")).parts
        folder = self._folders.get(parts[0]) if parts else None
        return "/".join((folder, *parts[1:])) if folder else name

    def files(self, folder: str) -> list[str]:
        """Return all files below a named folder that may be DICOM, relative to the study folder, sorted by path."""
        found = self._folders.get(folder)
        if found is None:
            return []
        return sorted(
            (Path(parent) / name).relative_to(self.study).as_posix()
            for parent, _, names in os.walk(self.study / found)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in DICOM_SUFFIXES
        )

    def candidates(self, names: list[str]) -> dict[str, Path]:
        """Return the existing files that the table's paths may mean: those named, then all in the same folders.

        Raises
        ------
        ExcludedCase
            OUTSIDE_STUDY where a path leaves the study folder; MISSING_FILE where there is no file at all.
        """
        folders = dict.fromkeys(PurePosixPath(name).parts[0] for name in names if name)
        relative = [self.locate(name) for name in names if name]
        relative += [path for folder in folders for path in self.files(folder)]
        found: dict[str, Path] = {}
        missing: ExcludedCase | None = None
        for path in dict.fromkeys(relative):
            try:
                found[path] = safe_path(self.study, path)
            except ExcludedCase as error:
                if error.reason is not Reason.MISSING_FILE:
                    raise
                missing = missing or error
        if not found:
            raise missing or ExcludedCase(Reason.MISSING_FILE, "the case table names no file")
        return found


def _case_folders(folder: Path, depth: int) -> Iterator[Path]:
    """Walk down to the folders named for a film or a lesion, and not into them."""
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            continue
        if CASE_FOLDER.fullmatch(path.name):
            yield path
        elif depth > 1 and not path.is_symlink() and os.access(path, os.R_OK | os.X_OK):
            yield from _case_folders(path, depth - 1)
