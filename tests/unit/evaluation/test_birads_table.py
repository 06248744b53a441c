"""BI-RADS from case tables alone: thresholds, policies, parts and levels, by hand and on the real tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from sklearn import metrics as reference

from mammoflow.cli import main
from mammoflow.config.birads import BiradsJob
from mammoflow.config.cohort import DatasetSettings
from mammoflow.errors import StudyError
from mammoflow.evaluation.birads import CASE_TABLES, PUBLISHED
from mammoflow.evaluation.birads_stage import BiradsResult, write_birads
from mammoflow.evaluation.birads_table import birads_table, nearest_row, rule_of, scorable_rows, units_of
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.tables.birads import BIRADS
from mammoflow.tables.files import read_table

RULE = PatientBootstrap(100, 0.95, 0, fewest_patients=2)
METRICS = ("accuracy", "precision", "recall", "f1", "auc")

# Patient A: one mass on two views, assessed 0 and 4; a benign mass. B: a calcification. C: a malignant mass missed.
ROWS = pd.DataFrame(
    [
        ("A", "A_1", "A_CC_1", "mass", "malignant", 0, 2, "CC", "train"),
        ("A", "A_1", "A_MLO_1", "mass", "malignant", 4, 2, "MLO", "train"),
        ("A", "A_2", "A_CC_2", "mass", "benign", 3, 2, "CC", "train"),
        ("B", "B_1", "B_CC_1", "calcification", "benign", 0, None, "CC", "test"),
        ("C", "C_1", "C_CC_1", "mass", "malignant", 3, 1, "CC", "test"),
        ("D", "D_1", "D_CC_1", "mass", None, 4, 1, "CC", "test"),
        ("D", "D_2", "D_CC_2", "mass", "benign", None, 1, "CC", "test"),
        ("C", "C_1", "C_CC_1", "mass", "malignant", 3, 1, "CC", "test"),
        ("E", "E_n", "E_CC_n", None, "normal", None, 1, "CC", "test"),
    ],
    columns=[
        "patient_id", "finding_id", "lesion_id", "lesion_type", "label", "birads", "density", "view", "official_split",
    ],
)  # fmt: skip


@pytest.fixture
def rows() -> pd.DataFrame:
    return scorable_rows(ROWS)[0]


def test_rows_that_cannot_be_scored_are_counted(rows: pd.DataFrame) -> None:
    assert rows["lesion_id"].tolist() == ["A_CC_1", "A_MLO_1", "A_CC_2", "B_CC_1", "C_CC_1"]
    assert scorable_rows(ROWS)[1] == {
        "of images without a lesion": 1,
        "malignancy is not known": 1,
        "rows of a lesion differ in malignancy": 0,
        "no BI-RADS assessment": 1,
        "a second row of a lesion on a view": 1,
    }
    assert rows["density"].tolist() == ["2", "2", "2", "not stated", "1"]


def test_the_first_row_with_malignancy_and_assessment_counts() -> None:
    several = ROWS.iloc[[1, 1, 1, 2, 2, 3, 3]].assign(
        label=[None, "malignant", "malignant", "benign", "benign", "benign", "malignant"],
        birads=[4, 4, 5, None, 3, 4, 4],
    )
    rows, left_out = scorable_rows(several)
    assert rows[["lesion_id", "birads"]].to_numpy().tolist() == [["A_MLO_1", 4], ["A_CC_2", 3]]
    assert list(left_out.values()) == [0, 1, 2, 1, 1]
    assert scorable_rows(several.iloc[:0])[0].empty


def test_units_have_the_highest_assessment_of_their_rows(rows: pd.DataFrame) -> None:
    findings = units_of(rows, "finding", "as_written")
    assert findings.score.tolist() == [4, 3, 0, 3]
    assert findings.label.tolist() == [1, 0, 0, 1]
    assert findings.calls[4].tolist() == [1, 0, 0, 0]
    assert findings.zeros == 2
    patients = units_of(rows, "patient", "as_written")
    assert (patients.score.tolist(), patients.label.tolist()) == ([4, 0, 3], [1, 0, 1])
    assert units_of(rows, "row", "as_written").calls[1].tolist() == [0, 1, 1, 0, 1]


def test_zero_is_called_at_every_threshold_where_it_is_positive(rows: pd.DataFrame) -> None:
    positive = units_of(rows, "row", "positive")
    for threshold in (1, 2, 3, 4, 5):
        assert positive.calls[threshold][[0, 3]].tolist() == [1, 1]
    assert positive.calls[5].sum() == 2
    assert positive.score.tolist() == [3.5, 4, 3, 3.5, 3]
    left_out = units_of(rows, "finding", "left_out")
    assert left_out.score.tolist() == [4, 3, 3]  # the other view of A's mass stays, B's only row goes
    assert left_out.zeros == 2


def test_a_threshold_is_said_in_both_ways() -> None:
    assert rule_of(4) == "BI-RADS >= 4, which is > 3"


def test_parts_of_few_units_have_counts_and_no_figure(rows: pd.DataFrame) -> None:
    table = birads_table(rows, "made-up", RULE, fewest_cases=4, note="phantom")
    everything = table[(table[["lesion_type", "split", "density", "view"]] == "all").all(axis=1)]
    assert len(everything) == 3 * 3 * 5
    row = everything[(everything["level"] == "row") & (everything["birads_zero"] == "as_written")].iloc[3]
    assert (row["threshold"], row["n"], row["n_malignant"], row["patients"], row["n_birads_zero"]) == (4, 5, 3, 3, 2)
    assert (row["true_positive"], row["false_positive"], row["false_negative"], row["true_negative"]) == (1, 0, 2, 2)
    assert row["recall"] == pytest.approx(1 / 3)
    small = table[table["n"] < 4]
    assert small["accuracy"].isna().all()
    assert small["note"].str.contains("fewer than 4 lesions").all()
    assert table["note"].str.startswith("phantom; ").all()
    assert set(table["density"]) == {"all", "1", "2", "not stated"}


# The real tables


@pytest.fixture(scope="module")
def real(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[BiradsResult, Path]:
    folder, output = real_data / "cbis-ddsm", tmp_path_factory.mktemp("birads")
    dataset = DatasetSettings(reader="cbis-ddsm", name="CBIS-DDSM", folder=str(folder))
    return write_birads(BiradsJob(datasets=[dataset], fewest_cases=150, bootstrap=200), [folder], output), output


def part(table: pd.DataFrame, lesion_type: str = "all", split: str = "all", **keys: object) -> pd.DataFrame:
    wanted = {"density": "all", "view": "all", "lesion_type": lesion_type, "split": split, **keys}
    return table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)]


CUTS = {"mass, all": ("mass", "all"), "mass, official test": ("mass", "test"), "all four tables": ("all", "all")}


@pytest.mark.parametrize("expected", CASE_TABLES, ids=lambda row: row["rows"])
def test_the_exact_rows(real: tuple[BiradsResult, Path], expected: dict[str, float]) -> None:
    keys = {"level": "row", "threshold": 4, "birads_zero": "as_written"}
    found = part(real[0].table, *CUTS[str(expected["rows"])], **keys).iloc[0]
    assert found["n"] == expected["n"]
    for metric in METRICS:
        assert round(found[metric], 3) == pytest.approx(expected[metric]), metric
        assert found[f"{metric}_low"] < found[metric] < found[f"{metric}_high"]


def test_every_threshold_and_policy_of_the_real_tables(real: tuple[BiradsResult, Path], real_data: Path) -> None:
    tables = [pd.read_csv(path) for path in sorted((real_data / "cbis-ddsm").glob("mass_case_*.csv"))]
    masses = pd.concat(tables)
    keys = masses["patient_id"] + masses["left or right breast"] + masses["abnormality id"].astype(str)
    malignant = masses["pathology"] == "MALIGNANT"
    for zero, threshold in product(("as_written", "positive", "left_out"), (1, 2, 3, 4, 5)):
        kept = (masses["assessment"] != 0) | (zero != "left_out")
        called = (masses["assessment"] >= threshold) | ((masses["assessment"] == 0) & (zero == "positive"))
        for level, by in (("row", None), ("finding", keys), ("patient", masses["patient_id"])):
            units = pd.DataFrame({"label": malignant, "called": called})[kept]
            units = units if by is None else units.groupby(by[kept]).max()
            found = part(real[0].table, "mass", level=level, threshold=threshold, birads_zero=zero).iloc[0]
            assert found["n"] == len(units)
            assert found["accuracy"] == pytest.approx(reference.accuracy_score(units["label"], units["called"]))
            assert found["f1"] == pytest.approx(reference.f1_score(units["label"], units["called"]))


def test_no_cut_of_the_real_tables_is_the_published_row(real: tuple[BiradsResult, Path]) -> None:
    result, output = real
    nearest = nearest_row(result.table, PUBLISHED)
    assert nearest is not None
    assert nearest[1] > 0.03
    assert any("No selection of rows gives that" in sentence for sentence in result.sentences)
    written = pd.read_csv(output / "birads_published.csv")
    assert written.loc[0, ["accuracy", "precision", "recall", "f1"]].tolist() == [0.51, 0.48, 0.69, 0.57]


def test_shuffled_assessments_average_what_science_says(real: tuple[BiradsResult, Path]) -> None:
    row = real[0].published.set_index("source").loc["shuffled assessments"]
    assert row["n"] == 339
    found = [round(float(row[name]), 2) for name in ("accuracy", "precision", "recall", "f1")]
    assert found == [0.49, 0.46, 0.63, 0.53]


def test_what_is_written_is_what_was_computed(real: tuple[BiradsResult, Path]) -> None:
    result, output = real
    assert read_table(output / "birads.parquet", BIRADS).equals(result.table.reset_index(drop=True))
    assert len(pd.read_csv(output / "birads.csv")) == len(result.table)
    assert result.table["patients"].notna().all()


# The command


def call(tables: list[Path], output: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["birads", *map(str, tables), "--output", str(output), *options])


def write_table(folder: Path, **columns: Sequence[object]) -> Path:
    path = folder / "cases.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def made_up_table(folder: Path, patients: int = 30) -> Path:
    numbers = list(range(patients))
    return write_table(
        folder,
        patient=[f"P{number:02d}" for number in numbers],
        side=["left"] * patients,
        view=["CC"] * patients,
        label=["malignant" if number % 2 else "benign" for number in numbers],
        assessment=[5 if number % 2 and number % 3 else 2 for number in numbers],
    )


def test_any_table_without_images(tmp_path: Path) -> None:
    result = call([made_up_table(tmp_path)], tmp_path / "out", "--column", "birads=assessment", "--name", "Ours")
    assert result.exit_code == 0, result.output
    assert "Ours: 30 rows" in result.output
    assert "published table" not in result.output
    assert not (tmp_path / "out" / "birads_published.csv").exists()
    row = part(pd.read_csv(tmp_path / "out" / "birads.csv"), level="row", threshold=4, birads_zero="as_written").iloc[0]
    assert (row["n"], row["recall"], row["specificity"]) == (30, pytest.approx(10 / 15), 1)
    assert 0.7 < row["specificity_low"] < 0.85  # 15 of 15 is no certainty


@pytest.mark.parametrize("named", ["finding", "abnormality", "finding with blanks", ""])
def test_several_lesions_of_one_view_have_a_row_each(tmp_path: Path, named: str) -> None:
    column, _, blanks = named.partition(" ")
    places = list(product(range(7), (1, 2)))
    malignant = [number == 2 and patient > 0 for patient, number in places]
    path = write_table(
        tmp_path,
        patient=[f"P{patient}" for patient, _ in places],
        side=["L"] * 14,
        view=["CC"] * 14,
        **({column: [number if patient or not blanks else None for patient, number in places]} if named else {}),
        birads=[5 if ill else 2 for ill in malignant],
        label=["malignant" if ill else "benign" for ill in malignant],
    )
    result = call([path], tmp_path / "out", *(["--column", "finding=abnormality"] if named == "abnormality" else []))
    assert "14 rows, one for each lesion on a view, of 7 patients; rows left out: none" in result.output
    row = part(pd.read_csv(tmp_path / "out" / "birads.csv"), level="row", threshold=4, birads_zero="as_written").iloc[0]
    assert (row["n"], row["n_malignant"], row["recall"]) == (14, 6, 1)


def test_equal_rows_that_nothing_tells_apart_are_named(tmp_path: Path) -> None:
    path = write_table(tmp_path, patient=["P1", "P1", "P2"], birads=[5, 5, 2], label=["malignant"] * 2 + ["benign"])
    result = call([path], tmp_path / "out")
    assert "1 rows are equal to an earlier row in every column; each row counts as a lesion of its own" in result.output
    assert "3 rows, one for each lesion on a view" in result.output


def test_a_study_without_assessments_stops_with_a_reason(tmp_path: Path) -> None:
    result = call([made_up_table(tmp_path)], tmp_path / "out")
    assert result.exit_code == 1
    assert "no BI-RADS assessment: 30" in result.output
    dataset = DatasetSettings(reader="cbis-ddsm", folder=str(tmp_path))
    with pytest.raises(StudyError):
        write_birads(BiradsJob(datasets=[dataset]), [tmp_path], tmp_path / "out")


@pytest.mark.parametrize(("rows", "pathology"), [(5, "MALIGNANT"), (30, "BENIGN")])
def test_a_small_or_one_sided_part_of_cbis_ddsm_is_beside_no_published_row(
    tmp_path: Path, rows: int, pathology: str
) -> None:
    columns = ("breast_density", "subtlety", "abnormality id", "assessment", "mass shape", "mass margins")
    files = ("image file path", "cropped image file path", "ROI mask file path")
    path = write_table(
        tmp_path,
        patient_id=[f"P_{number:05d}" for number in range(rows)],
        **{"left or right breast": ["LEFT"] * rows, "image view": ["CC"] * rows, "abnormality type": ["mass"] * rows},
        **{name: [2] * rows for name in columns},
        **{name: [f"{name[0]}/{number}.dcm" for number in range(rows)] for name in files},
        pathology=[pathology] * rows,
    )
    table = path.rename(tmp_path / "mass_case_description_test_set.csv")
    result = call([table], tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "published table gives" not in result.output
    written = pd.read_csv(tmp_path / "out" / "birads_published.csv")
    assert len(written) == 4
    assert "nearest row of birads.csv" not in set(written["source"])


def test_wrong_options_are_refused(tmp_path: Path) -> None:
    table = made_up_table(tmp_path)
    assert "KEY=COLUMN" in call([table], tmp_path / "out", "--column", "birads").output
    assert "one of them" in call([], tmp_path / "out").output
    assert call([table], tmp_path / "out", "--column", "birads=nothing").exit_code == 2
    assert np.all([call([table, tmp_path], tmp_path / "out").exit_code == 2])
