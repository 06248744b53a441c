"""Made-up films with headers as they occur, and two lesions on each."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from mammoflow.cohort.phantom.dicom import phantom_uid, write_dicom
from mammoflow.dicom_output.findings import Algorithm, Finding

SIZE = (60, 40)


@pytest.fixture
def write_film(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a film; a keyword sets an element of its header, None deletes it."""
    return film_writer(tmp_path)


def film_writer(folder: Path) -> Callable[..., Path]:
    """Return the function that writes films into a folder."""

    def write(name: str = "film.dcm", **elements: Any) -> Path:
        path = folder / name
        pixels = np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).reshape(SIZE)
        uids = {"study_uid": phantom_uid("study"), "series_uid": phantom_uid("series")}
        write_dicom(path, pixels, folder="DOE^JANE", description="film", laterality="R", view="MLO", instance=1, **uids)
        if elements:
            dataset = pydicom.dcmread(path)
            for keyword, value in elements.items():
                if value is None:
                    delattr(dataset, keyword)
                else:
                    with pytest.MonkeyPatch.context() as patch:
                        patch.setattr(pydicom.config.settings, "writing_validation_mode", pydicom.config.IGNORE)
                        setattr(dataset, keyword, value)
            if "SOPClassUID" in elements:
                dataset.file_meta.MediaStorageSOPClassUID = elements["SOPClassUID"]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(pydicom.config.settings, "writing_validation_mode", pydicom.config.IGNORE)
                dataset.save_as(path)
        return path

    return write


@pytest.fixture(scope="session")
def write_films_into() -> Callable[[Path], Callable[..., Path]]:
    """Return the function that makes `write_film` for a folder."""
    return film_writer


@pytest.fixture(scope="session")
def findings() -> list[Finding]:
    """Two lesions whose masks overlap."""
    first, second = np.zeros(SIZE, dtype=np.bool_), np.zeros(SIZE, dtype=np.bool_)
    first[10:20, 5:17] = True
    second[15:30, 12:30] = True
    return [
        Finding("Doe-Jane-1", first, "mass", 7.5, 3.90512345678, 0.3125),
        Finding("Doe-Jane-2", second, "calcification", 16.875, 5.857, None),
    ]


@pytest.fixture(scope="session")
def algorithm() -> Algorithm:
    """The model of the masks."""
    return Algorithm("small", {"weights_sha256": "de0fde65", "box_margin_mm": "0"})


@pytest.fixture(scope="session")
def classifier() -> Algorithm:
    """The classifier of the probabilities."""
    return Algorithm("context_crop", {"calibration": "temperature"})


def errors_of(path: Path) -> list[str]:
    """Return the errors that dicom3tools' dciodvfy finds in a file."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if line.startswith(("Error", "Abort"))]


@pytest.fixture
def dciodvfy() -> Callable[[Path], list[str]]:
    """Return the function that checks a file with dciodvfy; the test is skipped where it is not installed."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    return errors_of


@pytest.fixture
def dsrdump() -> Callable[[Path], str]:
    """Return the function that prints a report with dcmtk's dsrdump, which must find no error and give no warning."""
    if shutil.which("dsrdump") is None:
        pytest.skip("dsrdump is not installed (Debian: dcmtk)")

    def dump(path: Path) -> str:
        done = subprocess.run(["dsrdump", "+Pc", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "E:" not in done.stderr
        assert "F:" not in done.stderr
        return done.stdout

    return dump
