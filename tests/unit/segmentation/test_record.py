"""A patient that the shipped weights were trained on is told also where an id carries the name of its data set."""

from __future__ import annotations

import pytest

from mammoflow.segmentation.small.record import is_trained


@pytest.mark.parametrize(
    ("patient", "expected"),
    [("P_00001", True), ("Second-1a2b3c4d_P_00001", True), ("P_000011", False), ("XP_00001", False), ("P", False)],
)
def test_a_trained_patient_is_told_behind_the_name_of_a_data_set(patient: str, expected: bool) -> None:
    assert is_trained(patient, frozenset({"P_00001"})) is expected
