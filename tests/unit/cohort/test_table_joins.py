"""Joined tables: keys in two spellings, rows without a partner, columns that both tables have."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mammoflow.cohort.readers._table_options import JoinSettings
from mammoflow.errors import StudyError
from tests.unit.cohort.small_study import Selected, Study, table_of


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "study")


def joined(study: Study, added: dict[str, object], table: pd.DataFrame | None = None, **values: object) -> Selected:
    """Join a table by patient; values that are fields of a join are its settings."""
    study.folder.mkdir(exist_ok=True)
    pd.DataFrame(added).to_csv(study.folder / "more.csv", index=False)
    settings = {key: values.pop(key) for key in JoinSettings.model_fields if key in values}
    join = JoinSettings(table="more.csv", column="patient", **settings)
    return study.select(table_of(4) if table is None else table, joins=[join], **values)


KEYS = ["P0", "P1", "P2", "P3"]


@pytest.mark.parametrize("keys", [["P0", "P1"], ["P0", "P1", "P9", "P8"]])
def test_a_join_that_leaves_usable_open_stops(study, keys):
    added = {"patient": keys, "usable": ["no"] * len(keys)}
    with pytest.raises(
        StudyError, match=r"of 4 rows of cases\.csv, 2 have no row in more\.csv \(patient 'P2', 'P3'\).*allow_unmatched"
    ):
        joined(study, added)
    found = joined(study, added, allow_unmatched=True)
    assert found.lesions["patient_id"].tolist() == ["P2", "P3"]


def test_a_join_with_blank_keys_does_not_leave_usable_open(study):
    table = table_of(4).assign(key=["a", "b", "", "d"])
    pd_join = [JoinSettings(table="more.csv", column="key")]
    study.folder.mkdir()
    pd.DataFrame({"key": ["a", "b", "d"], "usable": "yes"}).to_csv(study.folder / "more.csv", index=False)
    with pytest.raises(StudyError, match="1 have a blank key"):
        study.select(table, joins=pd_join)


def test_other_columns_of_a_join_may_be_blank_and_it_is_said(study):
    found = joined(study, {"patient": ["P0", "P1", "X"], "density": ["A", "B", "C"]})
    assert found.images["density"].tolist()[:2] == [1, 2]
    assert found.notes == [
        "of 4 rows of cases.csv, 2 have no row in more.csv (patient 'P2', 'P3'); rows of more.csv without a partner: 1 "
        "('X'); their values from more.csv are blank"
    ]


@pytest.mark.parametrize("spelled", ["p3", "P03", "P3.0", "P-3"])
def test_a_key_in_another_spelling_stops(study, spelled):
    with pytest.raises(StudyError, match="may be one key in two spellings"):
        joined(study, {"patient": ["P0", "P1", "P2", spelled], "density": "B"})


@pytest.mark.parametrize("spelled", ["P3\u200b", "\ufeffP3", "P3\u00a0", " P3"])
def test_invisible_characters_part_no_keys(study, spelled):
    found = joined(study, {"patient": ["P0", "P1", "P2", spelled], "usable": ["yes", "yes", "yes", "no"]})
    assert found.lesions["patient_id"].tolist() == ["P0", "P1", "P2"]


def test_no_common_key_names_a_spelling(study):
    table = table_of(2).assign(patient=["001", "002"])
    with pytest.raises(StudyError, match=r"found '001', '1' \('001' and '1' differ in their spelling only\)"):
        joined(study, {"patient": ["1", "2"], "density": "B"}, table)


@pytest.mark.parametrize(
    ("ours", "theirs", "kept"),
    [
        (["yes"] * 4, ["no", "yes", "yes", "yes"], ["P1", "P2", "P3"]),
        (["no", "yes", "yes", "yes"], ["yes"] * 4, ["P1", "P2", "P3"]),
        (["no", "", "", ""], ["", "no", "", "yes"], ["P2", "P3"]),
        ([1, 1, 1, 0], ["ja", "nein", "ja", "ja"], ["P0", "P2"]),
    ],
)
def test_no_table_overrides_the_others_unusable(study, ours, theirs, kept):
    found = joined(study, {"patient": KEYS, "usable": theirs}, table_of(4).assign(usable=ours))
    assert found.lesions["patient_id"].tolist() == kept


def test_a_column_that_both_tables_have_agrees_or_is_chosen(study):
    table = table_of(4).assign(side=["L", "", "R", "R"], note="ours")
    added = {"patient": KEYS, "side": ["L", "R", "R", "r"], "note": "theirs"}
    assert joined(study, added, table).lesions["laterality"].tolist() == ["L", "R", "R", "R"]
    added["side"] = ["R", "R", "R", "R"]
    with pytest.raises(
        StudyError, match=r"'side' and differ in it in 1 rows, such as cases\.csv row 2: 'L', more\.csv: 'R'.*prefix"
    ):
        joined(study, added, table)
    found = joined(study, added, table, prefix="more_", columns={"side": "more_side"})
    assert found.lesions["laterality"].tolist() == ["R"] * 4
