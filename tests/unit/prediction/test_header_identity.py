"""What a film's header says of a person is in no file and no message, except in DICOM objects, which belong to it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest

from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings
from mammoflow.prediction.api import predict

MARKS = {
    "PatientName": "QZXNAME^JANE",
    "PatientID": "QZXPATIENT",
    "PatientBirthDate": "19470311",
    "AccessionNumber": "QZXACCESSION",
    "InstitutionName": "QZX HOSPITAL",
    "InstitutionAddress": "QZX STREET",
    "ReferringPhysicianName": "QZXDOCTOR^ANN",
    "OperatorsName": "QZXOPERATOR",
    "StationName": "QZXSTATION",
    "OtherPatientIDs": "QZXOTHER",
    "PatientComments": "QZX comment",
}
HIDDEN = ("QZX", "19470311", "1947-03-11")


@pytest.fixture
def marked_film(made_up: ModuleType, tmp_path: Path) -> Path:
    """A film whose header names a person and an institution in every way."""
    path: Path = made_up.write_film(tmp_path / "film.dcm")
    dataset = pydicom.dcmread(path)
    for keyword, value in MARKS.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    assert path.read_bytes().count(b"QZX") == len(MARKS) - 1
    return path


def leaks(folder: Path, said: str, ours: set[str]) -> list[str]:
    """Return the files with a mark, and "console"; the values of Parquet files are looked at as text."""
    found = {"console": said.encode()}
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in ours:
            found[path.name] = path.read_bytes()
            if path.suffix == ".parquet":
                found[path.name] += pd.read_parquet(path).to_csv().encode()
    assert len(found) > 3
    return [name for name, content in found.items() if any(word.encode() in content for word in HIDDEN)]


def test_an_answer_names_nobody(
    marked_film: Path, made_up: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    predict(marked_film, [made_up.BOX], out=tmp_path / "out", spacing_mm=0.25, threads=1)
    said = capfd.readouterr()
    objects = {path.name for path in (tmp_path / "out").glob("*.dcm")}
    assert len(objects) == 2
    assert leaks(tmp_path / "out", said.out + said.err, objects) == []
    for name in objects:  # these belong to the film's patient, and take over nothing else
        written = pydicom.dcmread(tmp_path / "out" / name)
        assert written.PatientID == MARKS["PatientID"]
        assert not {"InstitutionName", "InstitutionAddress", "OperatorsName", "PatientComments"} & set(written.dir())


def test_a_cohort_names_nobody(marked_film: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    study, output = tmp_path / "study", tmp_path / "cohort"
    study.mkdir()
    rows = pd.DataFrame({"image": [f"{n}.dcm" for n in range(8)], "mask": [f"{n}.png" for n in range(8)]})
    rows["patient"], rows["label"] = [f"P{n}" for n in range(8)], ["benign", "malignant"] * 4
    rows.to_csv(study / "cases.csv", index=False)
    content = marked_film.read_bytes()
    for number in range(8):
        (study / f"{number}.dcm").write_bytes(content if number else content[:2000])
        cv2.imwrite(str(study / f"{number}.png"), np.eye(320, 200, dtype=np.uint8) * 255)
    dataset = {"reader": "table", "name": "mine", "folder": str(study), "tables": ["cases.csv"]}
    build_cohort(CohortSettings.model_validate({"dataset": dataset}), study, output)
    said = capfd.readouterr()
    assert leaks(output, said.out + said.err, set()) == []
    assert len(pd.read_parquet(output / "excluded.parquet")) > 0
