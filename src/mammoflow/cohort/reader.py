"""The contract of a study's reader, and how a reader is found by its name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from mammoflow.config.cohort import READERS, DatasetSettings
from mammoflow.errors import ConfigError, ExcludedCase, Reason

Row = Mapping[str, Any]

ROW_COLUMNS = [
    "patient_id",
    "image_id",
    "lesion_id",
    "finding_id",
    "laterality",
    "view",
    "lesion_type",
    "label",
    "pathology",
    "birads",
    "density",
    "subtlety",
    "shape",
    "margins",
    "box_y0",
    "box_x0",
    "box_y1",
    "box_x1",
    "official_split",
]
"""What a reader gives for every row; further columns are its own. `label` is malignant, benign, normal or None.

`lesion_id` is None in the rows of `Reader.unannotated_images` alone: an image of whose lesions nothing is known.
"""


@dataclass(frozen=True)
class Exclusion:
    """One row of the table of excluded cases, from this stage."""

    level: str
    reason: Reason
    detail: str
    patient_id: str = ""
    image_id: str = ""
    lesion_id: str = ""
    path: str = ""

    @classmethod
    def of(cls, level: str, error: ExcludedCase, row: Row, path: str = "") -> Exclusion:
        """Make the exclusion of a row's lesion or image from the error that was raised for it."""
        lesion = str(row["lesion_id"]) if level == "lesion" else ""
        return cls(level, error.reason, error.detail, str(row["patient_id"]), str(row["image_id"]), lesion, path)


@dataclass(frozen=True)
class FoundImage:
    """A film's file, relative to the study folder; its size and its spacing where the reader knows them.

    `further` are columns of the reader's own for the table of images. `passed_over` are the paths of further files of
    the same image, each with why it was not taken; they become exclusions of the level `file`.
    """

    path: str
    rows: int | None = None
    columns: int | None = None
    spacing_mm: float | None = None
    further: Mapping[str, Any] = field(default_factory=dict)
    passed_over: Mapping[str, ExcludedCase] = field(default_factory=dict)


@dataclass(frozen=True)
class FoundLesion:
    """A lesion's files, relative to the study folder; no mask means that the row's box is the reference.

    `mask_item` says which regions of a file of contours the lesion is: their places, from 0, with commas between them;
    None takes all of them. `further` are columns of the reader's own for the table of lesions.
    """

    mask_path: str | None
    further: Mapping[str, Any] = field(default_factory=dict)
    mask_item: str | None = None


class Reader(ABC):
    """Reads one kind of study: first the rows of its tables, then the files of one image and one lesion at a time.

    The stage calls `find_image` and `find_lesion` from several threads.

    Parameters
    ----------
    dataset
        The settings of the study.
    study
        The study folder; it exists.
    """

    has_pathology: ClassVar[bool] = True
    """False where a study has no biopsies at all: then the settings have to say how malignancy follows from BI-RADS."""

    @property
    def label_column(self) -> str:
        """The column that the labels come from, for messages."""
        return "pathology"

    def __init__(self, dataset: DatasetSettings, study: Path) -> None:
        self.dataset = dataset
        self.study = study
        self.notes: list[str] = []
        """What a person should know about how the tables were read; `read_rows` fills it."""
        self.in_doubt: set[str] = set()
        """Images of which a lesion may be lost although no exclusion names them; `read_rows` fills it."""
        self.official_test: set[str] = set()
        """Patients with a row of the official test set, at least those whose row is left out; `read_rows` fills it."""

    @abstractmethod
    def read_rows(self) -> tuple[pd.DataFrame, list[Exclusion]]:
        """Return the rows that can be read, with `ROW_COLUMNS`, and the exclusions of those that cannot.

        Raises
        ------
        StudyError
            If a table or a column is missing.
        """

    def unannotated_images(self) -> list[dict[str, Any]]:
        """Return one row for each image of whose lesions nothing is known, for `cohort.unlabelled: keep`.

        Returns
        -------
        list of dict
            The columns of `read_rows`, which is called before; `lesion_id`, `label` and `birads` are None. `read_rows`
            gives no row for these images; where it excludes them, their exclusions do not count. Empty where a study
            has no such image.
        """
        return []

    @abstractmethod
    def find_image(self, rows: Sequence[Row]) -> FoundImage:
        """Find the film of these rows, which share its `image_id`.

        Raises
        ------
        ExcludedCase
            If there is no usable file.
        """

    @abstractmethod
    def find_lesion(self, row: Row, image: FoundImage) -> FoundLesion:
        """Find the mask of one row.

        Raises
        ------
        ExcludedCase
            If there is none that fits the film.
        """

    def closing_notes(self) -> list[str]:
        """Return what a person should know once all files were looked at; `find_image` is called before."""
        return []

    def is_phantom(self) -> bool:
        """Tell whether the study is made of phantoms, which every table and figure then says."""
        return False

    def audit(self) -> dict[str, int]:
        """Return counts of the study as published, before anything is left out; empty where a reader has none."""
        return {}


def open_reader(dataset: DatasetSettings, study: Path) -> Reader:
    """Return the reader that the settings name, for the study in a folder.

    Raises
    ------
    ConfigError
        If the reader's module has no `StudyReader`, or the study has no biopsies and the settings do not say from which
        BI-RADS assessment on a lesion counts as malignant.
    """
    module = READERS.load(dataset.reader)
    reader = getattr(module, "StudyReader", None)
    if not (isinstance(reader, type) and issubclass(reader, Reader)):
        raise ConfigError(f"{module.__name__} holds no class StudyReader; see docs/datasets/adding-a-data-set.md")
    if not reader.has_pathology and dataset.malignant_from_birads is None:
        raise ConfigError(
            f"the data set {dataset.name!r} has no biopsy results, and malignant_from_birads is null; expected the "
            "BI-RADS assessment from which a lesion counts as malignant, usually 4: set it in cohort.dataset"
        )
    return reader(dataset, study)
