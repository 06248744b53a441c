"""A patient of the official test set stays out of training although the reader leaves out the patient's test rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mammoflow.cohort.reader import open_reader
from mammoflow.cohort.stage import build_cohort
from mammoflow.config.cohort import CohortSettings, DatasetSettings
from mammoflow.config.split import SplitSettings
from mammoflow.errors import StudyError
from mammoflow.reasons.cohort import CohortReason
from mammoflow.tables.cohort import EXCLUDED, IMAGES
from mammoflow.tables.files import read_table
from tests.unit.cohort.small_study import Study, table_of

OFFICIAL = SplitSettings(method="official", validation_fraction=0.3)
TEST_ROW = {"image": "images/b.png", "mask": "masks/b.png", "patient": "P1", "label": "malignant", "split": "test"}
LOST = {
    "unusable": [{"usable": "no"}],
    "unreadable": [{"mask_value": "lesion"}],
    "contradictory": [{"side": "L"}, {"side": "R", "mask": "masks/c.png"}],
    "of two patients": [{}, {"patient": "P2", "split": "train", "mask": "masks/c.png"}],
}


def sides(letter: str) -> pd.DataFrame:
    """Eight patients of the official training set and two of the test set, named by a letter."""
    table = table_of(10).assign(split=["train"] * 8 + ["test"] * 2)
    return table.assign(patient=table["patient"].str.replace("P", letter))


def with_test_rows(*rows: dict[str, str]) -> pd.DataFrame:
    """Return the table of `sides` and test rows of P1."""
    return pd.concat([sides("P"), pd.DataFrame([TEST_ROW | row for row in rows])], ignore_index=True).fillna("")


def write(folder: Path, table: pd.DataFrame, name: str, **values: str) -> DatasetSettings:
    study = Study(folder)
    study.folder.mkdir(exist_ok=True)
    study.write_pictures(table)
    table.to_csv(folder / "cases.csv", index=False)
    options: dict[str, object] = {**values}
    return study.dataset("cases.csv", options).model_copy(update={"name": name})


def build(output: Path, *datasets: DatasetSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    settings = CohortSettings(dataset=datasets[0], more_datasets=list(datasets[1:]), split=OFFICIAL, shards=1)
    build_cohort(settings, Path(datasets[0].folder), output)
    return read_table(output / "images.parquet", IMAGES), read_table(output / "excluded.parquet", EXCLUDED)


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_a_patient_whose_test_rows_are_left_out_is_not_trained_on(lost, tmp_path):
    images, excluded = build(tmp_path / "out", write(tmp_path / "study", with_test_rows(*lost), "mine"))
    assert sorted(images["patient_id"]) == [f"P{number}" for number in (0, *range(2, 10))]
    assert set(images.loc[images["split"] == "test", "patient_id"]) == {"P8", "P9"}
    beside = excluded[excluded["reason"] == str(CohortReason.OFFICIAL_TEST_PATIENT)]
    assert beside[["level", "image_id"]].values.tolist() == [["image", "images_1"], ["lesion", "images_1"]]


def test_a_patient_with_train_rows_that_are_left_out_stays(tmp_path):
    images, _ = build(
        tmp_path / "out", write(tmp_path / "study", with_test_rows({"usable": "no", "split": ""}), "mine")
    )
    assert len(images) == 10


def test_another_spelling_of_a_patient_in_test_rows_that_are_left_out_stops_the_run(tmp_path):
    mine = write(tmp_path / "study", with_test_rows({"usable": "no", "patient": "p-01"}), "mine")
    with pytest.raises(StudyError, match="differ in their spelling only: 'P1' and 'p-01'"):
        build(tmp_path / "out", mine)
    images, _ = build(tmp_path / "out", mine.model_copy(update={"ids_differ": True}))
    assert len(images) == 10


def test_a_test_image_whose_train_lesion_is_left_out_is_not_fully_annotated(tmp_path):
    train_lesion = sides("P").iloc[[8]].assign(mask="masks/c.png", split="train")
    table = pd.concat([sides("P"), train_lesion], ignore_index=True)
    images, excluded = build(tmp_path / "out", write(tmp_path / "study", table, "mine"))
    assert excluded[["level", "image_id"]].values.tolist() == [["lesion", "images_8"]]
    assert images.loc[~images["fully_annotated"], ["image_id", "split"]].values.tolist() == [["images_8", "test"]]


def test_anonymous_patients_stay_out_too(tmp_path):
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    mine = write(tmp_path / "study", with_test_rows({"usable": "no"}), "mine", anonymous_ids=str(key))
    images, excluded = build(tmp_path / "out", mine)
    assert len(images) == 9
    beside = excluded.loc[excluded["reason"] == str(CohortReason.OFFICIAL_TEST_PATIENT), "patient_id"]
    assert beside.nunique() == 1
    assert not set(beside) & set(images["patient_id"])


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_a_patient_of_the_same_id_in_another_study_stays(first, tmp_path):
    lost = write(tmp_path / "A", with_test_rows({"usable": "no"}), "A")
    other = write(tmp_path / "B", sides("P"), "B")
    images, _ = build(tmp_path / "out", *((lost, other) if first else (other, lost)))
    patients = images["patient_id"].str.removeprefix("A_").str.removeprefix("B_")
    assert sorted(patients[images["source"] == "A"]) == [f"P{number}" for number in (0, *range(2, 10))]
    assert sorted(patients[images["source"] == "B"]) == [f"P{number}" for number in range(10)]


def test_a_patient_without_any_other_row_takes_no_id_from_another_study(tmp_path):
    lost = write(tmp_path / "A", with_test_rows({"usable": "no", "patient": "Q1"}), "A")
    other = sides("Q")
    for name in ("image", "mask"):
        other[name] = other[name].str.replace("/", "/q")
    images, _ = build(tmp_path / "out", lost, write(tmp_path / "B", other, "B"))
    assert sorted(images["patient_id"]) == [f"{letter}{number}" for letter in "PQ" for number in range(10)]


def test_the_four_tables_name_test_patients_whose_row_cannot_be_read(download, writer):
    wrong = download.Case(patient="P_09001", official="Test", values={"assessment": "9"})
    folder = writer.write([*download.some_patients(), wrong])
    reader = open_reader(DatasetSettings(reader="cbis-ddsm", folder=str(folder)), folder)
    rows, _ = reader.read_rows()
    assert set(rows["official_split"]) == {"train"}
    assert reader.official_test == {"P_09001"}
