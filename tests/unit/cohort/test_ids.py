"""Ids: what is invisible goes, what is spelled in two ways stops, what is joined never collides."""

from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mammoflow.cohort.id_spellings import similar_ids, spellings_table, spreadsheet_hints
from mammoflow.cohort.patient_units import unit_hints
from mammoflow.cohort.plain_text import id_key, plain_text
from mammoflow.errors import StudyError
from mammoflow.reasons.cohort import CohortReason
from mammoflow.storage.names import distinct_names, safe_name
from tests.unit.cohort.small_study import Study, table_of


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "study")


def patients(*first: str) -> pd.DataFrame:
    return table_of(len(first) + 1).assign(patient=[*first, "Q0"])


@pytest.mark.parametrize(
    "spelling",
    [
        "P\u200b17",
        "\ufeffP17",
        "P\u00ad17",
        "\u200eP17\u200f",
        "P17\u202c",
        "P\u206017",
        " P17\u00a0",
        "P\x0117",
        "P\ufe0f17",
        "P\U000e010017",
    ],
)
def test_invisible_characters_do_not_make_another_patient(study, spelling):
    assert study.select(patients("P17", spelling)).images["patient_id"].tolist() == ["P17", "P17", "Q0"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Müller", unicodedata.normalize("NFD", "Müller")),
        ("P13 x", "P13\u00a0x"),
        ("P13 x", "P13  x"),
        ("P13 x", "P13\u2003x"),
        ("\u212bsa", "\u00c5sa"),
    ],
)
def test_forms_of_one_text_are_one_patient(one, other):
    assert plain_text(one) == plain_text(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("P11", "p11"),
        ("P12", "P012"),
        ("P15", "P15.0"),
        ("00123", "123"),
        ("P1", "\uff30\uff11"),
        ("P-1", "P\u20131"),
        ("P-1", "P\u22121"),
        ("P1", "\u04201"),
        ("P 1", "P_1"),
        ("P-1", "P1"),
        ("100000", "1E+05"),
        ("'0012", "12"),
        ("P\u0661", "P1"),
        ("Müller", "MÃ¼ller"),
        ("STRASSE", "straße"),
        ("Müller", "MUELLER"),
        ("José", "Jose"),
        ("Åse", "Aase"),
        ("Müller, Anna", "Anna Müller"),
        ("Müller^Anna", "Mueller, Anna"),
        ("P93.", "P93"),
        ("P90;", "P90"),
    ],
)
def test_two_spellings_of_one_patient_stop_unless_the_settings_say_that_they_differ(study, one, other):
    assert id_key(one) == id_key(other)
    with pytest.raises(StudyError, match=r"differ in their spelling only.*cohort\.dataset\.ids_differ"):
        study.select(patients(one, other))
    assert study.select(patients(one, other), ids_differ=True).images["patient_id"].nunique() == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("P1", "P10"),
        ("1-23", "12-3"),
        ("A1", "B1"),
        ("P1_1", "P11"),
        ("100", "1000"),
        ("Müller", "Möller"),
        ("Bauer", "Baur"),
        ("1,2", "2,1"),
        ("A1,B2", "B2,A1"),
        ("\u0439", "\u0438"),
        ("1.5", "15"),
        ("1.2.840.1.0", "1.2.840.1"),
        ("0.1", "1"),
    ],
)
def test_different_ids_are_different(one, other):
    assert not similar_ids([one, other])


@given(names=st.lists(st.integers(0, 10**6), unique=True, max_size=30))
def test_numbered_ids_are_never_similar(names):
    assert not similar_ids(f"P_{name:07d}" for name in names)
    assert not similar_ids(map(str, names))


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [("lesion", "1", "01"), ("lesion", "A", "a"), ("lesion", "L1", "L-1"), ("finding", "1", "01")],
)
def test_two_spellings_of_a_lesion_or_finding_stop(study, column, one, other):
    table = table_of(3).assign(image=["a.png", "a.png", "b.png"], patient=["A", "A", "B"], lesion=["1", "2", "1"])
    table = table.assign(**{column: [one, other, "1"]})
    with pytest.raises(StudyError, match=f"the column {column} has ids of one .* that differ in their spelling only"):
        study.select(table)
    assert len(study.select(table, ids_differ=True).lesions) == 3


def test_a_lost_character_is_no_id(study):
    found = study.select(patients("M\ufffdller", "M\ufffdller", "#REF!"))
    assert found.reasons() == [CohortReason.BAD_ROW] * 3
    assert "lost a character" in found.details[0]
    assert found.details[2] == "cases.csv row 4: no value for patient"


def test_the_audit_lists_the_spellings():
    rows = pd.DataFrame({"source": ["A", "A", "A", "B"], "patient_id": ["P1", "p01", "P2", "P1"]})
    table = spellings_table(rows)
    assert table["patient_id"].tolist() == ["P1", "p01"]
    assert set(table["spelling"]) == {"p1"}


@pytest.mark.parametrize(
    ("ids", "hint"),
    [
        (["1.23457E+11", "123"], "like a number that a spreadsheet shortened"),
        (["1E+05", "5"], "'1E+05'"),
        (["02. Jan", "3-4"], "like a date"),
        (["2024-01-02 00:00:00", "3-4"], "like a date"),
        (["Feb-03", "M\u00e4r 24", "7"], "2 ids look like a date"),
        (["00123", "124"], "removed leading zeros"),
    ],
)
def test_traces_of_spreadsheets_are_hinted(study, ids, hint):
    assert len(spreadsheet_hints(ids)) == 1
    notes = study.select(patients(*ids)).notes if "124" not in ids else spreadsheet_hints(ids)
    assert any(hint in note for note in notes)


@pytest.mark.parametrize(
    "ids", [["P1", "P2"], ["001", "002"], ["1", "12"], ["2024-01-02", "2024-01-03"], ["12e5", "3"]]
)
def test_ordinary_ids_give_no_hint(ids):
    assert spreadsheet_hints(ids) == []


@given(
    names=st.lists(
        st.lists(st.sampled_from(["a", "b", "a_b", "_", "", "a b", "1"]), max_size=4).map(tuple), max_size=12
    )
)
def test_joined_names_never_collide(names):
    joined = distinct_names(names)
    assert len(set(joined)) == len(set(names))
    assert [joined[names.index(name)] for name in names] == joined


def test_joined_names_that_share_nothing_stay_as_they_were():
    assert distinct_names([("P_00001", "LEFT", "CC"), ("images", "0")]) == ["P_00001_LEFT_CC", "images_0"]
    first, second = distinct_names([("P1", "1_CC"), ("P1_1", "CC")])
    assert first != second
    assert distinct_names([("P1_1", "CC"), ("P1", "1_CC")]) == [second, first]
    assert safe_name("P1", "1_CC") == "P1_1_CC"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"image": "P1/1_CC.png"}, {"image": "P1_1/CC.png"}),
        ({"image": "a/b/c.png"}, {"image": "a/b_c.png"}),
        (
            {"image": "a.png", "image_id": "case2", "lesion": "1_1"},
            {"image": "b.png", "image_id": "case2_1", "lesion": "1"},
        ),
        ({"image": "x/y.png"}, {"image": "z.png", "image_id": "x_y"}),
        (
            {"image": "a.png", "patient": "P1", "finding": "L_1", "side": "R"},
            {"image": "b.png", "patient": "P1_R", "finding": "1", "side": "L"},
        ),
    ],
)
def test_ids_of_different_things_are_different(study, one, other):
    table = table_of(3).assign(image_id="", lesion="", finding="", side="").astype(str)
    for row, values in enumerate((one, other)):
        for column, value in values.items():
            table.loc[row, column] = value
    found = study.select(table)
    assert len(found.images) == len(found.lesions) == 3
    assert found.lesions["finding_id"].nunique() == 3


@pytest.mark.parametrize(
    "pair",
    [
        ("P90_L", "P90_R"),
        ("17L", "17R"),
        ("P3 left", "P3 right"),
        ("P3_L_CC", "P3_R_MLO"),
        ("P3_LCC.png", "P3_RCC.png"),
        ("P3_CC.dcm", "P3_MLO.dcm"),
        ("A-1-links", "A-1-rechts"),
    ],
)
def test_ids_of_breasts_and_films_are_named(study, pair):
    (hint,) = unit_hints([*pair, "Q0"])
    assert all(repr(name) in hint for name in pair)
    found = study.select(patients(*pair))
    assert any("in a side or view only" in note for note in found.notes)


@pytest.mark.parametrize(
    "ids", [("P1", "P2"), ("CAROL", "CAROR"), ("P_L1", "P_R1"), ("17L", "18R"), ("L", "R"), ("a.png", "b.png")]
)
def test_ids_of_patients_have_no_hint(ids):
    assert not unit_hints(ids)


def test_a_long_id_takes_no_time() -> None:
    before = time.process_time()
    assert not unit_hints(["a" + "_L" * 20_000 + "!", "b"])
    assert time.process_time() - before < 1
