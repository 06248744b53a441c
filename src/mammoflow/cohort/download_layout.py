"""Where the files of a CBIS-DDSM download lie, whichever tool made it.

Three layouts are known. A folder named for a film or a lesion contains the paths of the case tables (`<study
UID>/<series UID>/000000.dcm`) or the download tool's (`<date>-DDSM-NNNNN/<n>-<description>-NNNNN/1-1.dcm`, also
`00000001.dcm` or `000000.dcm`); a download series by series has one folder for each series, named by its UID. The named
folders may be in the study folder or up to three levels below it (`CBIS-DDSM/`, `manifest-NNN/CBIS-DDSM/`), and a
download in several parts may have the same folder in several places.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from mammoflow.errors import ExcludedCase
from mammoflow.formats.listing import subfolders, walk
from mammoflow.formats.study_paths import safe_path
from mammoflow.reasons.files import FileReason

CASE_FOLDER = re.compile(r"(Mass|Calc)-(Training|Test)_.+")
SERIES_FOLDER = re.compile(r"[0-9]+(\.[0-9]+){5,}")
DEEPEST_NAMED_FOLDER = 3
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
        self._folders: dict[str, list[str]] = {}
        for name, relative in _named_folders(study, "", DEEPEST_NAMED_FOLDER, (study.resolve(),)):
            self._folders.setdefault(name, []).append(relative)

    def locate(self, name: str) -> list[str]:
        """Return where a table's path may lie, relative to the study folder; the files may not exist."""
        folders_and_file = _parts(name)
        folders = self._folders.get(folders_and_file[0], []) if folders_and_file else []
        return ["/".join((folder, *folders_and_file[1:])) for folder in folders] or [name]

    def files(self, folder: str) -> list[str]:
        """Return all files below a named folder that may be DICOM, relative to the study folder, sorted by path."""
        return [path for place in self._folders.get(folder, []) for path in sorted(self._files_below(place))]

    def candidates(self, names: Sequence[str]) -> dict[str, Path]:
        """Return the existing files that the table's paths may mean: those named, then all in the same folders.

        Raises
        ------
        ExcludedCase
            OUTSIDE_STUDY where a path leaves the study folder; MISSING_FILE where there is no file at all.
        """
        given_names = [name for name in names if name]
        relative = [path for name in given_names for path in self.locate(name)]
        relative += [path for folder in _folders_of(given_names) for path in self.files(folder)]
        found: dict[str, Path] = {}
        missing: ExcludedCase | None = None
        for path in dict.fromkeys(relative):
            try:
                found[path] = safe_path(self.study, path)
            except ExcludedCase as error:
                if error.reason is not FileReason.MISSING_FILE:
                    raise
                missing = missing or error
        if not found:
            raise missing or ExcludedCase(FileReason.MISSING_FILE, "the case table names no file")
        return found

    def _files_below(self, place: str) -> Iterator[str]:
        for parent, _, names in walk(self.study / place):
            for name in names:
                if not name.startswith(".") and os.path.splitext(name)[1].lower() in DICOM_SUFFIXES:  # noqa: PTH122
                    yield (parent / name).relative_to(self.study).as_posix()


def _parts(name: str) -> tuple[str, ...]:
    return PurePosixPath(name.replace("\\", "/")).parts


def _folders_of(names: Iterable[str]) -> list[str]:
    """Return the names of the folders that may hold the files of some paths: case folders first, then series."""
    places = [_parts(name) for name in names]
    series = [place[-2] for place in places if len(place) > 2 and SERIES_FOLDER.fullmatch(place[-2])]
    return list(dict.fromkeys([*(place[0] for place in places if place), *series]))


def _named_folders(folder: Path, relative: str, depth: int, above: tuple[Path, ...] = ()) -> Iterator[tuple[str, str]]:
    """Walk down to the folders named for a film, a lesion or a series; give their names and places."""
    for inner in subfolders(folder):
        place = f"{relative}{inner.name}"
        if CASE_FOLDER.fullmatch(inner.name):
            yield inner.name, place
            continue
        if SERIES_FOLDER.fullmatch(inner.name):
            yield inner.name, place
        real = inner.resolve() if inner.is_symlink() else inner
        if depth > 1 and real not in above:  # a link may lead back to a folder above it
            yield from _named_folders(inner, f"{place}/", depth - 1, (*above, real))
