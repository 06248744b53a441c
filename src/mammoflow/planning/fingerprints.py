"""Fingerprints of the files that a person gives to a run: of a whole study, of a shard, of tables and weights.

A fingerprint is a parameter of a rule. Snakemake records it when a job has ended well, with the value from before the
job began. So a file that changes later, at any time, makes its job run again, however often runs were interrupted in
between.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii
from pathlib import Path

from mammoflow.config.study import StudyConfig
from mammoflow.planning.known_files import KnownFiles, study_files
from mammoflow.planning.models import run_folder
from mammoflow.planning.workflow import study_folders
from mammoflow.storage.file_states import READ_FILES
from mammoflow.storage.files import text_digest
from mammoflow.weights.seen_patients import RECORD_FILE

GIVEN = ""
"""Name of the study of a file that belongs to none, such as a weights file."""


class Fingerprints:
    """The fingerprints of a run's files.

    Each file of a study is looked at once, when the fingerprint of the cohort needs it: a start of Snakemake would else
    look at millions of files several times. A file that changes later has its old fingerprint until the next start, and
    so its job runs again then.

    Parameters
    ----------
    config
        The configuration of the run.
    remember
        Whether what was read of files is kept for the next start; a dry run writes nothing.
    """

    def __init__(self, config: StudyConfig, remember: bool = True) -> None:
        self.remember = remember
        self.run = run_folder(config)
        self.known = KnownFiles(self.run, config.changed_files == "content")
        names = [dataset.name for dataset in config.cohort.datasets]
        self.folders = dict(zip(names, map(Path, study_folders(config)), strict=True))
        self.marks: dict[str, dict[str, str]] = {}
        self.datasets = config.cohort.datasets
        self.tables = {dataset.name: dataset.every_table() for dataset in self.datasets}

    def of_cohort(self) -> str:
        """Return the fingerprint of all files of all studies, and of the keys of ids: the cohort may depend on each."""
        for study in self.folders:
            self.marks[study] = self._marks(study)
        return self._digest([line for study in self.folders for line in self._lines(study)] + self._keys())

    def of_rows(self) -> str:
        """Return the fingerprint of the files that the rows of the studies come from, which need no image.

        For the reader `table` these are the tables that the configuration names, and the keys of ids. Only the code
        of another reader says which tables and annotations it reads, so all files of its study count. The embedded
        study is left out, because the run makes it.
        """
        lines = []
        for dataset in self.datasets:
            study = dataset.name
            if dataset.reader == "table":
                lines += [_line(study, name, self._mark(study, name, small=True)) for name in self.tables[study]]
            elif dataset.reader != "phantom":
                if study not in self.marks:
                    self.marks[study] = self._marks(study)
                lines += self._lines(study)
        return self._digest(lines + self._keys())

    def of_shard(self, shard: str) -> str:
        """Return the fingerprint of the files that a shard of the cohort names; "" before there is a cohort."""
        try:
            listed = json.loads((self.run / "cohort" / "shards" / shard / READ_FILES).read_text(encoding="utf-8"))
            files = [(study, name) for study, names in listed.items() for name in names]
        except (OSError, ValueError, AttributeError):
            return ""
        return self._digest(
            [_line(study, name, self._mark(study, name)) for study, name in files if study in self.folders]
        )

    def of_given(self, files: Iterable[str]) -> str:
        """Return the fingerprint of the content of files that the run does not make; those that it makes are left out.

        A `record.json` beside any of them belongs to it: for weights it says which patients they were trained on.

        Parameters
        ----------
        files
            Tables or weights, as the rules name them.
        """
        given = [file for file in files if not self.is_made(file)]
        records = {str(Path(file).parent / RECORD_FILE) for file in given}
        given += sorted(record for record in records if Path(record).is_file())
        return self._digest(self._given(dict.fromkeys(given)))

    def digest(self, file: str) -> str:
        """Return the SHA-256 of a file that the run does not make; it is read only where its state is not known."""
        return self.known.mark(GIVEN, file, file, small=True)

    def is_made(self, file: str) -> bool:
        """Tell whether a file lies in the folder of the run."""
        return Path(file).absolute().is_relative_to(self.run.absolute())

    def _marks(self, study: str) -> dict[str, str]:
        """Return the mark of each file of a study, and of each table that the configuration names for it."""
        folder = self.folders[study]
        tables = dict.fromkeys(self.tables[study], True)
        files = {**dict.fromkeys(study_files(folder), False), **tables} if folder.is_dir() else tables
        return {name: self.known.mark(study, name, f"{folder}/{name}", small) for name, small in files.items()}

    def _lines(self, study: str) -> list[str]:
        """Return the lines of all files of a study whose marks are known."""
        return [_line(study, name, mark) for name, mark in sorted(self.marks[study].items())]

    def _given(self, files: Iterable[str]) -> list[str]:
        """Return the lines of files that belong to no study."""
        return [_line(GIVEN, file, self.known.mark(GIVEN, file, file, small=True)) for file in files]

    def _keys(self) -> list[str]:
        """Return the lines of the files with the keys of ids."""
        return self._given(dict.fromkeys(dataset.anonymous_ids for dataset in self.datasets if dataset.anonymous_ids))

    def _mark(self, study: str, name: str, small: bool = False) -> str:
        """Return the mark of a file of a study, as the fingerprint of the cohort has it where there is one."""
        mark = self.marks.get(study, {}).get(name)
        return self.known.mark(study, name, f"{self.folders[study]}/{name}", small) if mark is None else mark

    def _digest(self, lines: list[str]) -> str:
        if self.remember:
            self.known.save()
        return text_digest(*lines)


def _line(study: str, name: str, mark: str) -> str:
    """Return one file of a fingerprint, as a JSON list."""
    return f"[{encode_basestring_ascii(study)}, {encode_basestring_ascii(name)}, {encode_basestring_ascii(mark)}]"
