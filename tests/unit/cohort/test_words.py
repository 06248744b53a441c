"""Words of case tables, and names that are safe as file names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mammoflow.cohort.numbers import parse_integer, parse_number
from mammoflow.cohort.words import (
    parse_age,
    parse_birads,
    parse_birads_category,
    parse_density,
    parse_label,
    parse_side,
)
from mammoflow.storage.names import safe_name


@given(names=st.lists(st.text(max_size=150), unique=True, max_size=20))
def test_safe_names_are_file_names_and_different_names_stay_different(names):
    safe = [safe_name(name) for name in names]
    assert len(set(safe)) == len(names)
    for name in safe:
        assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}", name)


def test_plain_names_are_kept():
    assert safe_name("P_00001", "LEFT", "CC") == "P_00001_LEFT_CC"


@pytest.mark.parametrize(
    ("word", "label"),
    [
        ("MALIGNANT", "malignant"),
        ("BENIGN_WITHOUT_CALLBACK", "benign"),
        ("benign", "benign"),
        ("1", "malignant"),
        ("0.0", "benign"),
        ("Normal", "normal"),
        ("unproven", None),
        ("", None),
    ],
)
def test_labels(word, label):
    assert parse_label(word) == label


def test_birads_zero_stays_zero_and_a_blank_is_none():
    assert parse_birads("0") == 0
    assert parse_birads("") is None


@pytest.mark.parametrize(
    ("text", "category"),
    [("4a", "4A"), ("BI-RADS 4 B", "4B"), ("IVc", "4C"), ("4", None), ("3a", None), ("", None), ("nothing", None)],
)
def test_subcategories_of_four_are_read_beside_the_number(text, category):
    assert parse_birads_category(text) == category
    if category:
        assert parse_birads(text) == 4


def test_ages_are_years():
    assert [parse_age(text) for text in ("54", "054Y", "54,5", "60 years", "")] == [54, 54, 54.5, 60, None]
    assert {parse_age(text) for text in ("54 yrs.", "54yo", "54 años", "54 a", "54 Jahre", "54 ans", "54 anni")} == {54}


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_birads, "7"),
        (parse_birads, "4.5"),
        (parse_birads, "-1"),
        (parse_age, "300"),
        (parse_age, "about 50"),
        (parse_age, "1,054"),
        (parse_age, "50-59"),
        (parse_density, "5"),
        (parse_density, "E"),
        (parse_side, "both"),
        (lambda text: parse_integer(text, 0, 5), "2.5"),
        (lambda text: parse_integer(text, 0, 5), "nan"),
        (lambda text: parse_number(text, above=0), "0"),
        (lambda text: parse_number(text, above=0), "inf"),
        (parse_number, "ten"),
    ],
)
def test_what_is_no_value_is_refused(parse, text):
    with pytest.raises(ValueError, match=r".+"):
        parse(text)
