"""A table of 55 rows as a German hospital exports it, through `init`, `check` and the cohort stage without editing."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from mammoflow.cli import main
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.reading import read_config
from mammoflow.storage.files import write_image, write_mask

ROWS = 55
HEADER = ["Patientennummer", "Datei", "Maske", "Seite", "Ansicht", "Befund", "BI-RADS", "Dichte"]
HEADER += ["Pixelgröße (µm)", "auswertbar"]
UNUSABLE, NO_FILE, NO_MASK = (7, 21), 30, 41
BLANK_BIRADS = 12


def values(number: int) -> list[str]:
    """Return a row: five rows for each of eleven patients, who are malignant and benign in turn."""
    patient = number // 5
    assessment = "siehe Brief" if number == BLANK_BIRADS else ["2", "4a", "5"][patient % 2 + number % 2]
    return [
        f"PAT {patient:02d}", f"bilder/a{number:02d}.png", f"masken/a{number:02d}_maske.png",
        ["links", "rechts", "Lt", "re."][number % 4], ["CC", "MLO"][number % 2], ["gutartig", "bösartig"][patient % 2],
        assessment, "ABCD"[patient % 4], "70,5", "nein" if number in UNUSABLE else "ja",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("klinik")
    (folder / "bilder").mkdir()
    (folder / "masken").mkdir()
    for number in range(ROWS):
        picture = np.full((10, 8), 500 + 11 * number, dtype=np.uint16)
        picture[0, : number % 8 + 1] = number + 1  # no two films are equal
        mask = np.zeros((10, 8), dtype=np.bool_)
        mask[2 + number % 3 : 7, 2 : 4 + number % 4] = True
        if number != NO_FILE:
            write_image(folder / f"bilder/a{number:02d}.png", picture)
        if number != NO_MASK:
            write_mask(folder / f"masken/a{number:02d}_maske.png", mask)
    path = folder / "Fälle 2024.csv"
    with path.open("w", encoding="cp1252", newline="") as stream:
        csv.writer(stream, delimiter=";").writerows([HEADER, *map(values, range(ROWS))])
    return path


def test_the_table_goes_to_the_tables_of_the_cohort_without_editing(table: Path, tmp_path: Path) -> None:
    target = tmp_path / "study.yaml"
    made = CliRunner().invoke(main, ["init", str(table), "--out", str(target), "--yes"])
    assert made.exit_code == 0, made.output
    doubts = [line for line in target.read_text(encoding="utf-8").splitlines() if "# CHECK:" in line]
    assert [doubt.partition("# CHECK: ")[2] for doubt in doubts] == [
        "2% of its files are not below the folder",
        "the numbers look like micrometres",
    ]
    assert yaml.safe_load(target.read_text(encoding="utf-8"))["cohort"]["split"] == {"method": "random"}

    checked = CliRunner().invoke(main, ["check", str(target)])
    assert checked.exit_code == 0, checked.output
    assert "51 of 55 lesions usable, on 51 images of 11 patients" in checked.output

    config = read_config([target])
    build_cohort(config.cohort, table.parent, tmp_path / "cohort", config.classification.validation_classes)
    lesions = pd.read_parquet(tmp_path / "cohort" / "lesions.parquet")
    excluded = pd.read_parquet(tmp_path / "cohort" / "excluded.parquet")
    usable = [number for number in range(ROWS) if number not in (*UNUSABLE, NO_FILE, NO_MASK)]
    assert len(lesions) == len(usable) == 51
    assert lesions["patient_id"].nunique() == 11
    assert lesions["malignant"].sum() == sum(number // 5 % 2 for number in usable)
    assert dict(lesions["laterality"].value_counts()) == {
        side: sum((number % 2 == 1) == (side == "R") for number in usable) for side in "LR"
    }
    assert lesions["birads"].isna().sum() == 1, "an optional value that cannot be read blanks the value"
    assert set(lesions["split"]) == {"train", "validation", "test"}
    assert (lesions.groupby("patient_id")["split"].nunique() == 1).all()
    text = " ".join(excluded.astype(str).agg(" ".join, axis=1))
    for number in UNUSABLE:
        assert f"row {number + 2}" in text, "the header is row 1"
    assert f"a{NO_FILE}.png' does not exist" in text
    assert f"a{NO_MASK}_maske.png' does not exist" in text
