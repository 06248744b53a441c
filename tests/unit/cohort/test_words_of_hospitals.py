"""Words of tables in several languages: sides, views, labels, usable; what is not known is said or stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from mammoflow.cohort.words import parse_birads, parse_density, parse_label, parse_side, parse_usable, parse_view
from mammoflow.config.base import validate_settings
from mammoflow.config.cohort import CohortSettings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.reasons.cohort import CohortReason
from mammoflow.reasons.labels import LabelReason
from tests.unit.cohort.small_study import Study, table_of


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "study")


@pytest.mark.parametrize(
    ("side", "words"),
    [
        (
            "L",
            "l L g e s v left LEFT Lt lt. links Li gauche Gauche izquierda izq. Izda sx esquerda vänster venstre sin",
        ),
        ("R", "r R h right RT rechts Re. droite Droit derecha der Dcha destra dx direita höger højre høyre d"),
    ],
)
def test_sides(side, words):
    assert {parse_side(word) for word in words.split()} == {side}


@pytest.mark.parametrize("word", ["both", "beidseits", "1", "2", "?", "-", "LR", "bilateral"])
def test_what_is_no_side_is_refused(word):
    with pytest.raises(ValueError, match="expected left or right"):
        parse_side(word)


@pytest.mark.parametrize(
    ("text", "view", "side"),
    [
        ("cc", "CC", ""),
        ("L-CC", "CC", "L"),
        ("LCC", "CC", "L"),
        ("R CC", "CC", "R"),
        ("CC_R", "CC", "R"),
        ("LMLO", "MLO", "L"),
        ("R-MLO", "MLO", "R"),
        ("MLO links", "MLO", "L"),
        ("rechts mlo", "MLO", "R"),
        ("mlor", "MLO", "R"),
        ("cranio-caudal", "CC", ""),
        ("Craniocaudal", "CC", ""),
        ("kraniokaudal", "CC", ""),
        ("cráneo-caudal", "CC", ""),
        ("Medio-lateral oblique", "MLO", ""),
        ("left mediolateral oblique", "MLO", "L"),
        ("oblicua", "MLO", ""),
        ("schräg", "MLO", ""),
        ("LM", "LM", ""),
        ("ML", "ML", ""),
        ("LML", "ML", "L"),
        ("LLM", "LM", "L"),
        ("RXCCL", "XCCL", "R"),
        ("Medio\u2010Lateral", "ML", ""),
        ("spot", "SPOT", ""),
        ("LAT", "LAT", ""),
        ("", "", ""),
    ],
)
def test_views_may_name_their_side(text, view, side):
    assert parse_view(text) == (view, side)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (
            "malignant",
            "MALIGNANT cancer bösartig BOESARTIG maligne maligno maligna malin kwaadaardig elakartad ondartet złośliwy "
            "ZŁOŚLIWA zlosliwy zhoubný 1 1.0 1,0 true",
        ),
        (
            "benign",
            "Benign gutartig benigne bénin bénigne benigno goedaardig godartad łagodny Łagodna "
            "lagodny nezhoubný 0 0.0 FALSE benign_without_callback",
        ),
        ("normal", "normal Normale normaal"),
        (None, "2 -1 0.5 9 unproven benign? nicht n/a no"),
    ],
)
def test_labels(label, words):
    assert {parse_label(word) for word in words.split()} == {label}


@pytest.mark.parametrize(
    ("meaning", "words"),
    [
        (True, "yes Y true TRUE t 1 1.0 01 ja oui sí si sim x ok"),
        (False, "no N false F 0 0.0 nein non não nee nej nie"),
    ],
)
def test_usable(meaning, words):
    assert {parse_usable(word) for word in words.split()} == {meaning}
    assert parse_usable("") is None


@pytest.mark.parametrize(
    ("text", "birads"),
    [
        ("BI-RADS: 4", 4),
        ("bi rads 4a", 4),
        ("BIRADS5", 5),
        ("ACR 3", 3),
        ("IV", 4),
        ("BI-RADS IVb", 4),
        ("4,0", 4),
        ("VI", 6),
    ],
)
def test_assessments(text, birads):
    assert parse_birads(text) == birads


@pytest.mark.parametrize(
    ("text", "density"), [("ACR B", 2), ("Density C", 3), ("ii", 2), ("BI-RADS d", 4), ("Typ 1", 1)]
)
def test_densities(text, density):
    assert parse_density(text) == density


@pytest.mark.parametrize(
    ("side", "view", "kept"),
    [
        ("R", "LMLO", False),
        ("links", "CC re", False),
        ("L", "R-CC", False),
        ("L", "LCC", True),
        ("", "RCC", True),
        ("R", "MLO", True),
    ],
)
def test_a_side_in_the_view_has_to_fit(study, side, view, kept):
    found = study.select(table_of(2).assign(side=[side, ""], view=[view, ""]))
    assert len(found.lesions) == 1 + kept
    assert found.reasons() == ([] if kept else [CohortReason.CONTRADICTION])
    if kept:
        assert found.lesions["laterality"][0] == (side or "R")
    else:
        assert found.details[0] == f"cases.csv row 2: side is {side!r}, but view is {view!r}"


@pytest.mark.parametrize("word", ["perhaps", "2", "-", "#REF!", "no!?", "unklar", "ja nein"])
def test_an_unknown_word_in_usable_stops(study, word):
    with pytest.raises(StudyError, match=r"usable \(column 'ok'\) has words that are neither yes nor no.*row 3.*words"):
        study.select(table_of(2).assign(ok=["yes", word]), columns={"usable": "ok"})
    words = {"usable": {word: "no"}}
    assert len(study.select(table_of(2).assign(ok=["yes", word]), columns={"usable": "ok"}, words=words).lesions) == 1


def test_crosses_and_blanks_in_usable_need_a_meaning(study):
    table = table_of(3).assign(usable=["x", "", "X"])
    with pytest.raises(StudyError, match=r"usable has x and blanks \(cases\.csv row 3\)"):
        study.select(table)
    assert len(study.select(table, words={"usable": {"x": "yes", "": "no"}}).lesions) == 2
    assert len(study.select(table, words={"usable": {"x": "no", "": "yes"}}).lesions) == 1
    assert len(study.select(table.assign(usable="x")).lesions) == 3


@pytest.mark.parametrize(
    ("labels", "unknown"),
    [
        (["1", "2"], "1 x '2'"),
        (["0", "5"], "1 x '5'"),
        (["1.0", "2.0"], "'2.0'"),
        (["-1", "1"], "'-1'"),
        (["0", "0.5"], "'0.5'"),
        (["3", "4"], "'3'"),
    ],
)
def test_numbers_other_than_0_and_1_as_labels_stop(study, labels, unknown):
    with pytest.raises(StudyError, match=r"has numbers whose meaning is not known.*options\.labels") as error:
        study.select(table_of(2).assign(label=labels))
    assert unknown in str(error.value)


@pytest.mark.parametrize(
    "labels", [{1: "benign", 2: "malignant"}, {"1": "benign", 2.0: "malignant"}, {"01": "benign", "2.0": "malignant"}]
)
def test_numbers_with_a_meaning_are_labels(study, labels):
    found = study.select(table_of(2).assign(label=["2", "1"]), labels=labels)
    assert found.lesions["malignant"].tolist() == [1, 0]


def test_where_one_number_has_a_meaning_all_need_one(study):
    with pytest.raises(StudyError, match="1 x '1'"):
        study.select(table_of(2).assign(label=["2", "1"]), labels={2: "malignant"})


def test_a_label_may_mean_unknown(study):
    found = study.select(table_of(3).assign(label=["0", "1", "9"]), labels={0: "benign", 1: "malignant", 9: "unknown"})
    assert found.reasons("lesion") == [LabelReason.NO_LABEL]
    assert found.details[0] == "cases.csv row 4: label is '9', BI-RADS not given"


@pytest.mark.parametrize(
    ("column", "word", "meaning", "of", "value"),
    [
        ("side", "1", "L", "laterality", "L"),
        ("view", "Seite", "ML", "view", "ML"),
        ("type", "Rundherd", "mass", "lesion_type", "mass"),
        ("density", "fett", "1", "density", 1),
        ("birads", "verdächtig", "4", "birads", 4),
        ("split", "A", "test", "official_split", "test"),
    ],
)
def test_words_of_the_study_for_every_coded_column(study, column, word, meaning, of, value):
    table = table_of(2).assign(**{column: [word, ""]})
    found = study.select(table)
    if column != "view":
        assert found.notes[0].startswith(f"{column}: 1 value counts as blank: 1 x {word!r} (cases.csv row 2)")
    found = study.select(table, words={column: {word.upper(): meaning}})
    assert found.lesions[of][0] == value
    assert found.notes == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"words": {"side": {"1": "left"}}}, r"side\.1 is 'left'; expected one of L, R or a blank"),
        ({"words": {"usable": {"1": "maybe"}}}, r"usable\.1 is 'maybe'; expected one of yes, no"),
        ({"words": {"sides": {"1": "L"}}}, r"words\.sides"),
        ({"labels": {None: "benign"}}, "is blank to YAML.*quotation marks"),
        ({"labels": {"Krebs": "malignant", "krebs": "benign"}}, "'Krebs' means 'malignant' and 'krebs' means 'benign'"),
        ({"labels": {1: "malignant", "1.0": "benign"}}, "but they are one word"),
        ({"words": {"side": {"links": "L", "LINKS": "R"}}}, "but they are one word"),
        ({"labels": {True: "benign", "yes": "malignant"}}, "'yes' means both"),
    ],
)
def test_wrong_words_in_the_settings_are_named(options, message):
    values = {"reader": "table", "folder": "x", "tables": ["a.csv"], "options": options}
    with pytest.raises(ConfigError, match=message):
        validate_settings(CohortSettings, {"dataset": values}, "settings")


def test_booleans_of_yaml_are_words(study):
    found = study.select(table_of(2).assign(label=["no", "yes"]), labels={True: "malignant", False: "benign"})
    assert found.lesions["malignant"].tolist() == [0, 1]
    found = study.select(table_of(2).assign(usable=["a", "b"]), words={"usable": {"a": True, "b": False}})
    assert found.lesions["patient_id"].tolist() == ["P0"]
