"""The how-to is true: the reader and the configuration that it prints run to the cohort table and to images."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import pandas as pd
import pytest
import yaml

from mammoflow.cohort.stage import build_cohort
from mammoflow.config.base import validate_settings
from mammoflow.config.cohort import READERS
from mammoflow.config.images import ImagesSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError
from mammoflow.imaging.stage import prepare_images
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.files import FileReason
from mammoflow.reasons.labels import LabelReason
from mammoflow.reasons.lesions import LesionReason
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_LESIONS

PAGE = Path(__file__).parents[3] / "docs" / "datasets" / "adding-a-data-set.md"


def block(language: str) -> str:
    """The only block of code in a language on the page."""
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


@pytest.fixture
def readers_folder(add_member):
    """The page's module among the readers, and nothing else changed."""
    add_member(READERS, "hospital-x", block("python"))


@pytest.fixture
def export(download, tmp_path) -> Path:
    """A study as the page describes it: twelve breasts, of which some are bad in one way each."""
    study = tmp_path / "export"
    rows = []
    for number in range(12):
        patient, side = f"X{number}", "LR"[number % 2]
        verdict = ["malignant", "benign", "normal", "benign"][number % 4]
        rows.append({"patient": patient, "side": ["left", "right"][number % 2], "verdict": verdict})
        download.write_dicom(study / f"{patient}-{side}.dcm", download.film_pixels())
        if verdict != "normal":
            assert cv2.imwrite(str(study / f"{patient}-{side}.mask.png"), download.mask_pixels())
    (study / "X8-L.mask.png").unlink()
    (study / "X9-R.dcm").write_bytes(b"nothing")
    rows[10]["verdict"] = "perhaps"
    rows[11]["side"] = "middle"
    pd.DataFrame(rows).to_csv(study / "report.csv", index=False)
    return study


def test_the_printed_reader_and_configuration_run(readers_folder, export, tmp_path):
    values = yaml.safe_load(block("yaml"))
    values["cohort"]["dataset"]["folder"] = str(export)
    values["cohort"]["shards"] = 1
    config = validate_settings(StudyConfig, values, "the page's configuration")
    assert config.cohort.dataset.reader == "hospital-x"
    build_cohort(config.cohort, export, tmp_path / "cohort")
    images = read_table(tmp_path / "cohort" / "images.parquet", IMAGES)
    lesions = read_table(tmp_path / "cohort" / "lesions.parquet", LESIONS)
    excluded = read_table(tmp_path / "cohort" / "excluded.parquet", EXCLUDED)
    assert sorted(images["image_id"]) == [f"X{number}-{'LR'[number % 2]}" for number in range(8)]
    assert sorted(lesions["lesion_id"]) == [f"X{number}-{'LR'[number % 2]}_1" for number in (0, 1, 3, 4, 5, 7)]
    reasons = excluded.loc[excluded["level"] != "image", ["patient_id", "reason"]].itertuples(index=False)
    assert sorted(tuple(row) for row in reasons) == [
        ("X10", str(LabelReason.NO_LABEL)),
        ("X11", str(CohortReason.BAD_ROW)),
        ("X8", str(LesionReason.MASK_NOT_FOUND)),
        ("X9", str(FileReason.NOT_DICOM)),
    ]
    settings = ImagesSettings(breast_region="whole", patch_mm=10)
    prepare_images(settings, export, tmp_path / "cohort" / "shards" / "00", tmp_path / "images", 1)
    assert len(read_table(tmp_path / "images" / "lesions.parquet", CANONICAL_LESIONS)) == 6


def test_without_the_module_the_name_is_unknown(export):
    values = yaml.safe_load(block("yaml"))
    with pytest.raises(ConfigError, match="is no data set reader"):
        validate_settings(StudyConfig, values, "the page's configuration")


def test_every_reader_has_a_page_that_the_overview_names():
    folder = PAGE.parent
    overview = (folder / "README.md").read_text(encoding="utf-8")
    for name in READERS.names():
        row = next(line for line in overview.splitlines() if f"`{name}`" in line)
        page = re.search(r"\]\(([^)#]+)", row)
        assert name == "phantom" or (page is not None and (folder / page[1]).is_file())
