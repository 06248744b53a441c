"""The four case tables: quirks one by one, and the counts of the real ones."""

from __future__ import annotations

import pandas as pd
import pytest

from mammoflow.cohort.case_tables import COLUMNS, count_case_tables, read_case_tables
from mammoflow.errors import StudyError


def test_newlines_line_ends_and_both_density_columns_are_read(download, writer):
    writer.write([download.Case(), download.Case(kind="Calc", official="Test", pathology="MALIGNANT")])
    table = read_case_tables(writer.root)
    assert list(table["breast_density"]) == ["2", "2"]
    assert not table["roi_mask_file_path"].str.contains(r"[\r\n]").any()
    assert list(table["official_split"]) == ["train", "test"]
    assert list(table["abnormality_type"]) == ["mass", "calcification"]
    assert list(table["shape"]) == ["OVAL", "OVAL"]
    assert list(table["margins"]) == ["", ""]
    assert (table["row_problem"] == "").all()


def joined_table(folder, *rows):
    """Write the tables of masses and calcifications as one, with all columns of both."""
    shared = dict.fromkeys(COLUMNS, "x") | {"abnormality_type": "mass"}
    del shared["breast_density"]
    names = ("breast_density", "breast density", "mass shape", "calc type", "mass margins", "calc distribution")
    table = pd.DataFrame([{**shared, **dict(zip(names, row, strict=True))} for row in rows])
    table.to_csv(folder / "all.csv", index=False)
    return read_case_tables(folder, ["all.csv"])


@pytest.mark.parametrize("blank", ["", "NA", "nan"])
def test_the_tables_joined_to_one_keep_density_and_descriptions(tmp_path, blank):
    mass = ("3", blank, "OVAL", blank, "SPICULATED", blank)
    table = joined_table(tmp_path, mass, (blank, "2", blank, "PLEOMORPHIC", blank, "CLUSTERED"))
    assert table["breast_density"].tolist() == ["3", "2"]
    assert table["shape"].tolist() == ["OVAL", "PLEOMORPHIC"]
    assert table["margins"].tolist() == ["SPICULATED", "CLUSTERED"]
    assert (table["row_problem"] == "").all()


def test_columns_of_one_name_with_different_values_cost_the_row(tmp_path):
    table = joined_table(tmp_path, ("3", "2", *[""] * 4), ("2", "2", *[""] * 4))
    assert table["breast_density"].tolist() == ["3", "2"]
    assert table["row_problem"].tolist() == [
        "the columns that are called breast_density have the values '3' and '2'; expected one value",
        "",
    ]


@pytest.mark.parametrize(
    ("name", "side"),
    [("latest_masses.csv", ""), ("contest.csv", ""), ("mass-test.csv", "test"), ("Mass Testset.csv", "test")],
)
def test_the_name_of_a_table_tells_its_official_side(download, writer, name, side):
    writer.write([download.Case()])
    path = writer.root / "mass_case_description_train_set.csv"
    (writer.root / name).write_bytes(path.read_bytes().replace(b"Mass-Training_", b"film_"))
    assert list(read_case_tables(writer.root, [name])["official_split"]) == [side]


def test_a_folder_with_masses_only_is_a_study(download, writer):
    writer.write([download.Case()])
    assert len(read_case_tables(writer.root)) == 1


def test_no_table_at_all_names_what_was_expected_and_found(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(StudyError, match=r"mass_case_description_train_set\.csv.*other\.csv"):
        read_case_tables(tmp_path)


def test_a_missing_column_is_named(download, writer):
    writer.write([download.Case()])
    path = writer.root / "mass_case_description_train_set.csv"
    path.write_bytes(path.read_bytes().replace(b"pathology", b"verdict"))
    with pytest.raises(StudyError, match="lacks the columns pathology"):
        read_case_tables(writer.root)


def test_a_ragged_row_is_marked_and_the_others_are_read(download, writer):
    writer.write([download.Case(), download.Case(patient="P_00002")])
    path = writer.root / "mass_case_description_train_set.csv"
    path.write_bytes(path.read_bytes() + b"P_00003,2,LEFT\r\n")
    table = read_case_tables(writer.root)
    assert list(table["row_problem"] != "") == [False, False, True]


def test_counts_of_the_real_tables(real_data):
    # The facts that every result on these tables has to survive; they are in docs/datasets/cbis-ddsm.md.
    table = read_case_tables(real_data / "cbis-ddsm")
    assert (table["row_problem"] == "").all()
    assert count_case_tables(table) == {
        "rows": 3568,
        "patients": 1566,
        "image_folders": 3103,
        "films": 3032,
        "films_stored_twice": 71,
        "patients_in_both_official_splits": 31,
        "image_folders_with_several_abnormalities": 293,
        "image_folders_mixing_malignant_and_benign": 17,
        "malignant": 1457,
        "benign_without_callback": 682,
        "birads_zero": 238,
    }


def test_birads_above_three_on_the_real_tables(real_data):
    # Figures of the assessment itself, computed here from the counts: accuracy .739 for masses, .697 for all rows.
    table = read_case_tables(real_data / "cbis-ddsm")
    malignant = table["pathology"] == "MALIGNANT"
    positive = table["assessment"].astype(int) > 3
    mass = table["abnormality_type"] == "mass"
    assert round((malignant == positive)[mass].mean(), 3) == 0.739
    assert round((malignant == positive).mean(), 3) == 0.697
