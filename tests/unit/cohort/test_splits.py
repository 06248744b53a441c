"""Splits: no leak, the same under any order of rows, stable when patients come in, and a hard stop that stops."""

from __future__ import annotations

import hashlib

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammoflow.cohort.splits import check_no_leak, shard_of, split_patients
from mammoflow.config.cohort import SplitSettings
from mammoflow.errors import LeakageError, StudyError

PATIENTS = st.lists(
    st.tuples(st.text("ABC0123", min_size=1, max_size=5), st.booleans(), st.booleans(), st.booleans()),
    min_size=12,
    max_size=60,
    unique_by=lambda patient: patient[0],
)


def table_of(patients: list[tuple[str, bool, bool, bool]]) -> pd.DataFrame:
    table = pd.DataFrame(patients, columns=["patient_id", "malignant", "official_train", "official_test"])
    return table.assign(source="made up")


@settings(max_examples=60, deadline=None)
@given(patients=PATIENTS, seed=st.integers(0, 1000), shuffle=st.randoms())
def test_random_split_keeps_fractions_per_stratum_and_ignores_order(patients, seed, shuffle):
    wanted = SplitSettings(method="random", test_fraction=0.3, validation_fraction=0.25, seed=seed)
    splits = split_patients(table_of(patients), wanted)
    assert set(splits) == {patient[0] for patient in patients}
    for malignant in (False, True):
        stratum = [patient[0] for patient in patients if patient[1] == malignant]
        in_test = sum(splits[patient] == "test" for patient in stratum)
        assert abs(in_test - 0.3 * len(stratum)) <= 1
        in_validation = sum(splits[patient] == "validation" for patient in stratum)
        assert abs(in_validation - 0.25 * (len(stratum) - in_test)) <= 1
    shuffled = list(patients)
    shuffle.shuffle(shuffled)
    assert split_patients(table_of(shuffled), wanted) == splits


@settings(max_examples=40, deadline=None)
@given(patients=PATIENTS)
def test_official_split_gives_way_on_the_train_side(patients):
    patients = [(name, malignant, train or not test, test) for name, malignant, train, test in patients]
    expected = {name for name, _, _, test in patients if test}
    if not expected or len(patients) - len(expected) < 6:
        return
    splits = split_patients(table_of(patients), SplitSettings(method="official"))
    assert {name for name, split in splits.items() if split == "test"} == expected


def test_ten_more_patients_move_few_of_the_others():
    patients = [(f"P_{number:05d}", number % 3 == 0, False, False) for number in range(400)]
    before = split_patients(table_of(patients), SplitSettings())
    more = [*patients, *((f"Q_{number}", number % 2 == 0, False, False) for number in range(10))]
    after = split_patients(table_of(more), SplitSettings())
    assert sum(before[patient] != after[patient] for patient in before) <= 10


def test_the_seed_changes_the_draw():
    patients = table_of([(f"P_{number:05d}", number % 3 == 0, False, False) for number in range(100)])
    draws = [split_patients(patients, SplitSettings(seed=seed)) for seed in (0, 1)]
    assert sum(draws[0][patient] != draws[1][patient] for patient in draws[0]) > 20


def test_official_without_official_sides_is_an_error():
    patients = table_of([("A", True, False, True), ("B", False, True, False), ("C", False, False, False)])
    with pytest.raises(StudyError, match="'C'"):
        split_patients(patients, SplitSettings(method="official"))


def test_official_training_rows_alone_are_an_error():
    patients = table_of([(f"P{number}", number % 2 == 0, True, False) for number in range(20)])
    with pytest.raises(StudyError, match="no patient in test"):
        split_patients(patients, SplitSettings(method="official"))


def test_a_patient_on_two_sides_is_a_hard_stop():
    table = pd.DataFrame({"patient_id": ["A", "B", "A"], "split": ["train", "train", "test"]})
    with pytest.raises(LeakageError, match="A in test and train"):
        check_no_leak(table)
    check_no_leak(table.assign(split="train"))


def test_a_film_under_two_patients_on_two_sides_is_a_hard_stop():
    table = pd.DataFrame({"patient_id": ["A", "B"], "split": ["train", "validation"], "image_path": ["a.dcm", "a.dcm"]})
    with pytest.raises(LeakageError, match=r"a\.dcm"):
        check_no_leak(table)


@given(patient=st.text(max_size=20), shards=st.integers(1, 200))
def test_the_shard_is_the_hash_of_the_id(patient, shards):
    expected = int(hashlib.sha256(patient.encode("utf-8", "surrogatepass")).hexdigest()[:16], 16) % shards
    assert shard_of(patient, shards) == expected


def test_shards_are_filled_evenly():
    counts = pd.Series([shard_of(f"P_{number:05d}", 8) for number in range(4000)]).value_counts()
    assert counts.min() > 400
    assert len(counts) == 8
