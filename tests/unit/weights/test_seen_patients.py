"""A patient that the shipped weights were trained on is told also where an id carries the name of its data set."""

from __future__ import annotations

import pytest

from mammoflow.storage.names import safe_name
from mammoflow.weights.seen_patients import is_seen, real_patients


@pytest.mark.parametrize(
    ("patient", "expected"),
    [("P_00001", True), ("Second-1a2b3c4d_P_00001", True), ("P_000011", False), ("XP_00001", False), ("P", False)],
)
def test_a_trained_patient_is_told_behind_the_name_of_a_data_set(patient: str, expected: bool) -> None:
    assert is_seen(patient, frozenset({"P_00001"})) is expected


def test_a_patient_of_several_pooled_studies_is_told_in_a_study_alone() -> None:
    pooled = f"{safe_name('Second, 256 px')}_P_00001"
    assert pooled != "Second, 256 px_P_00001"
    found = real_patients([f"Second, 256 px/{pooled}", "First/P_00002", f"phantom (training)/{pooled}_3"])
    assert found == {"P_00001", "P_00002"}
    assert is_seen("P_00001", found)
    assert is_seen(pooled, found)


def test_a_study_whose_name_begins_with_phantom_has_real_patients() -> None:
    assert real_patients(["phantom-2/P1", "phantom/P2", "phantom (training)/P3"]) == {"P1"}


def test_a_patient_id_may_contain_a_slash() -> None:
    found = real_patients(["clinic/0123/19", "clinic/clinic_0124/19", "a/b/P1", "P2"])
    assert all(is_seen(patient, found) for patient in ("0123/19", "clinic_0123/19", "0124/19", "P1", "P2"))
    assert not is_seen("0125/19", found)
