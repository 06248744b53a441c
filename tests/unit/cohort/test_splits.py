"""Splits: no leak, the same under any order of rows, stable when patients come in, and a hard stop that stops."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import suppress

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mammoflow.cohort.splits import (
    beside_official_test,
    check_no_leak,
    fold_of_patients,
    shard_of,
    sides_of_folds,
    split_images,
    split_patients,
)
from mammoflow.config.base import validate_settings
from mammoflow.config.cohort import CohortSettings
from mammoflow.config.split import SplitSettings
from mammoflow.errors import ConfigError, LeakageError, StudyError

PATIENTS = st.lists(
    st.tuples(
        st.text("ABC0123", min_size=1, max_size=5),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.sampled_from(["one", "two"]),
    ),
    min_size=12,
    max_size=60,
    unique_by=lambda patient: patient[0],
)
COLUMNS = ["patient_id", "malignant", "official_train", "official_test", "source"]
Patient = tuple[str, bool, bool, bool, str]

# Digests of the sorted ids, computed before there were folds and several data sets: these splits must never move.
MADE_UP = {
    "test": (80, "dcb44ffa9c7100bf37094e14da512393c0a43d15f34a92069b02543006af482e"),
    "validation": (48, "b22814effad15358b435bcb4ffb32846aa0aa720484fe263768bd61e4094b5ee"),
}


def table_of(patients: list[Patient]) -> pd.DataFrame:
    return pd.DataFrame(patients, columns=COLUMNS).assign(labelled=True)


def numbered(count: int, every: int = 3, source: str = "one", letter: str = "P") -> list[Patient]:
    return [(f"{letter}_{number:05d}", number % every == 0, False, False, source) for number in range(count)]


def digest_of(splits: dict[str, str], side: str) -> tuple[int, str]:
    ids = sorted(patient for patient, found in splits.items() if found == side)
    return len(ids), hashlib.sha256("\n".join(ids).encode()).hexdigest()


@settings(max_examples=30, deadline=None)
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
        for source in ("one", "two"):
            part = [patient[0] for patient in patients if patient[1] == malignant and patient[4] == source]
            assert abs(sum(splits[patient] == "test" for patient in part) - 0.3 * len(part)) <= 1.5
    shuffled = list(patients)
    shuffle.shuffle(shuffled)
    assert split_patients(table_of(shuffled), wanted) == splits


@settings(max_examples=30, deadline=None)
@given(patients=PATIENTS, folds=st.integers(2, 4), seed=st.integers(0, 1000), shuffle=st.randoms())
def test_every_patient_is_in_exactly_one_test_fold(patients, folds, seed, shuffle):
    sizes = Counter(patient[1] for patient in patients)
    assume(all(size >= folds for size in sizes.values()))
    assume(max(sizes.values()) >= 3 * folds)
    runs = [SplitSettings(method="kfold", folds=folds, fold=fold, seed=seed) for fold in range(folds)]
    splits = [split_patients(table_of(patients), run) for run in runs]
    fold_of = fold_of_patients(table_of(patients), runs[0])
    assert [fold_of_patients(table_of(patients), run) for run in runs] == [fold_of] * folds
    for patient, *_ in patients:
        assert [split[patient] == "test" for split in splits] == [fold_of[patient] == fold for fold in range(folds)]
    for malignant in (False, True):
        held = Counter(fold_of[patient[0]] for patient in patients if patient[1] == malignant)
        shares = [held[fold] for fold in range(folds)]
        assert max(shares) - min(shares) <= 1
    for split in splits:
        assert set(split.values()) == {"train", "validation", "test"}
        for malignant in (False, True):
            rest = [patient[0] for patient in patients if patient[1] == malignant and split[patient[0]] != "test"]
            assert abs(sum(split[patient] == "validation" for patient in rest) - 0.2 * len(rest)) <= 1
    shuffled = list(patients)
    shuffle.shuffle(shuffled)
    assert split_patients(table_of(shuffled), runs[-1]) == splits[-1]


def test_each_fold_has_a_validation_side_of_its_own():
    patients = table_of(numbered(200))
    splits = [split_patients(patients, SplitSettings(method="kfold", fold=fold)) for fold in range(5)]
    times = Counter(patient for split in splits for patient, side in split.items() if side == "validation")
    # With one draw for all folds the same patients would validate in four runs of five and train in none.
    assert sum(count >= 4 for count in times.values()) < 5
    trained = Counter(patient for split in splits for patient, side in split.items() if side == "train")
    assert len(trained) == 200


@settings(max_examples=40, deadline=None)
@given(patients=PATIENTS)
def test_one_source_is_test_and_no_other_patient(patients):
    others = Counter(patient[1] for patient in patients if patient[4] == "one")
    assume(any(patient[4] == "two" for patient in patients))
    assume(max(others.values(), default=0) >= 2)
    splits = split_patients(table_of(patients), SplitSettings(method="leave_one_source_out", test_source="two"))
    assert {name for name, side in splits.items() if side == "test"} == {
        patient[0] for patient in patients if patient[4] == "two"
    }
    assert set(splits.values()) == {"train", "validation", "test"}


@settings(max_examples=40, deadline=None)
@given(patients=PATIENTS)
def test_the_official_test_side_is_kept_and_train_gives_way(patients):
    patients = [(name, malignant, train or not test, test, source) for name, malignant, train, test, source in patients]
    expected = {name for name, _, _, test, _ in patients if test}
    assume(expected and len(patients) - len(expected) >= 6)
    splits = split_patients(table_of(patients), SplitSettings(method="official"))
    assert {name for name, split in splits.items() if split == "test"} == expected


def test_rows_beside_the_official_test_set():
    rows = pd.DataFrame(
        {"patient_id": ["A", "A", "A", "B", "C"], "official_split": ["test", "train", "", "train", "test"]}
    )
    assert beside_official_test(rows, {"A", "C"}).tolist() == [False, True, True, False, False]


@settings(max_examples=40, deadline=None)
@given(patients=PATIENTS, seed=st.integers(0, 1000))
def test_images_are_divided_whatever_their_patient(patients, seed):
    images = table_of(patients)[["patient_id", "malignant", "labelled", "source"]].rename(
        columns={"patient_id": "image_id"}
    )
    wanted = SplitSettings(method="by_image", seed=seed)
    splits = split_images(images, wanted)
    assert set(splits) == set(images["image_id"])
    for malignant, part in images.groupby("malignant"):
        in_test = sum(splits[image] == "test" for image in part["image_id"])
        assert abs(in_test - 0.3 * len(part)) <= 1, malignant


def test_splits_of_earlier_versions_stay():
    splits = split_patients(table_of(numbered(400)), SplitSettings(test_fraction=0.2, validation_fraction=0.15))
    assert {side: digest_of(splits, side) for side in MADE_UP} == MADE_UP


def test_ten_more_patients_move_few_of_the_others():
    patients = numbered(400)
    more = [*patients, *((f"Q_{number}", number % 2 == 0, False, False, "one") for number in range(10))]
    before, after = (split_patients(table_of(rows), SplitSettings()) for rows in (patients, more))
    assert sum(before[patient] != after[patient] for patient in before) <= 10
    before, after = (fold_of_patients(table_of(rows), SplitSettings(method="kfold")) for rows in (patients, more))
    # Four borders between five folds, in each stratum: a new patient moves at most one patient at each.
    assert sum(before[patient] != after[patient] for patient in before) <= 4 * 10
    assert all(abs(before[patient] - after[patient]) <= 1 for patient in before)


def test_the_seed_changes_the_draw():
    patients = table_of(numbered(100))
    draws = [split_patients(patients, SplitSettings(seed=seed)) for seed in (0, 1)]
    assert sum(draws[0][patient] != draws[1][patient] for patient in draws[0]) > 20
    folds = [fold_of_patients(patients, SplitSettings(method="kfold", seed=seed)) for seed in (0, 1)]
    assert sum(folds[0][patient] != folds[1][patient] for patient in folds[0]) > 50


def test_two_data_sets_are_both_on_every_side():
    patients = table_of([*numbered(300, source="large"), *numbered(20, source="small", letter="Q")])
    for method, fold in (("random", "all"), ("kfold", 0)):
        splits = split_patients(patients, SplitSettings(method=method, fold=fold))
        found = patients.assign(split=patients["patient_id"].map(splits)).groupby(["source", "split"]).size()
        assert set(found.loc["small"].index) == {"train", "validation", "test"}


def test_official_without_official_sides_is_an_error():
    patients = table_of(
        [("A", True, False, True, "one"), ("B", False, True, False, "one"), ("C", False, False, False, "two")]
    )
    with pytest.raises(StudyError, match=r"1 of 3 patients have no official split, the first 'C' of 'two'"):
        split_patients(patients, SplitSettings(method="official"))


def test_official_training_rows_alone_are_an_error():
    patients = table_of([(f"P{number}", number % 2 == 0, True, False, "one") for number in range(20)])
    with pytest.raises(StudyError, match=r"no patient in test: found 20 patients, 10 with.*Use more patients"):
        split_patients(patients, SplitSettings(method="official"))


@pytest.mark.parametrize(("patients", "empty"), [(0, "train and validation and test"), (1, "test"), (2, "validation")])
def test_a_tiny_study_says_what_is_missing(patients, empty):
    with pytest.raises(StudyError, match=rf"{empty}.*found {patients} patients.*expected at least one on each side"):
        split_patients(table_of(numbered(patients, every=99)[:patients]), SplitSettings())


def test_three_patients_of_a_kind_are_enough():
    splits = split_patients(table_of(numbered(4, every=4)), SplitSettings())
    assert sorted(Counter(splits.values()).items()) == [("test", 1), ("train", 2), ("validation", 1)]


def test_fewer_patients_of_a_kind_than_folds_is_an_error():
    patients = table_of(numbered(12, every=4))
    with pytest.raises(StudyError, match=r"folds is 5, but only 3 of 12 patients are with.*folds to 3 or less"):
        split_patients(patients, SplitSettings(method="kfold", fold=0))
    assert set(fold_of_patients(patients, SplitSettings(method="kfold", folds=3)).values()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("count", "every", "remedy", "working"),
    [
        (12, 4, r"set cohort\.split\.folds to 3 or less$", [2, 3]),
        (6, 2, r"set cohort\.split\.folds to 3$", [3]),
        (5, 2, r"use cohort\.split\.method: apply", []),
        (4, 4, r"use cohort\.split\.method: apply", []),
    ],
)
def test_fewer_folds_are_offered_only_where_they_divide_the_patients(count, every, remedy, working):
    patients, works = table_of(numbered(count, every=every)), []
    with pytest.raises(StudyError, match=f"in each fold; {remedy}"):
        sides_of_folds(patients, SplitSettings(method="kfold", folds=5))
    for folds in (2, 3):
        with suppress(StudyError):
            sides_of_folds(patients, SplitSettings(method="kfold", folds=folds))
            works.append(folds)
    assert works == working


def test_a_patient_on_two_sides_is_a_hard_stop():
    table = pd.DataFrame({"patient_id": ["A", "B", "A"], "split": ["train", "train", "test"]})
    with pytest.raises(LeakageError, match="A in test and train"):
        check_no_leak(table)
    check_no_leak(table.assign(split="train"))
    check_no_leak(table, by_image=True)


def test_a_film_under_two_patients_on_two_sides_is_a_hard_stop():
    table = pd.DataFrame({"patient_id": ["A", "B"], "split": ["train", "validation"], "image_path": ["a.dcm", "a.dcm"]})
    for by_image in (False, True):
        with pytest.raises(LeakageError, match=r"a\.dcm"):
            check_no_leak(table, by_image)
    check_no_leak(table.assign(study=["one", "two"]))
    with pytest.raises(LeakageError, match=r"one/a\.dcm"):
        check_no_leak(table.assign(study="one"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"split": {"method": "kfold", "fold": 5}}, "fold is 5, expected all, or 0 to 4"),
        ({"split": {"method": "leave_one_source_out"}}, "expected the name of a data set"),
        ({"split": {"test_source": "phantom"}}, "an empty one with any other method"),
        ({"split": {"method": "leave_one_source_out", "test_source": "INbreast"}}, "at least two data sets"),
        ({"more_datasets": [{"name": "second"}]}, "the embedded study can only be cohort.dataset|a folder of its own"),
        ({"more_datasets": [{"reader": "cbis-ddsm", "folder": "x", "name": "phantom"}]}, "a name of its own"),
        (
            {"more_datasets": [{"reader": "cbis-ddsm", "folder": "x", "name": name} for name in "ab"]},
            "a folder of its own",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_one_clear_error(values, message):
    with pytest.raises(ConfigError, match=message):
        validate_settings(CohortSettings, values, "settings")


@given(patient=st.text(max_size=20), shards=st.integers(1, 200))
def test_the_shard_is_the_hash_of_the_id(patient, shards):
    expected = int(hashlib.sha256(patient.encode("utf-8", "surrogatepass")).hexdigest()[:16], 16) % shards
    assert shard_of(patient, shards) == expected


def test_shards_are_filled_evenly():
    counts = pd.Series([shard_of(f"P_{number:05d}", 8) for number in range(4000)]).value_counts()
    assert counts.min() > 400
    assert len(counts) == 8
