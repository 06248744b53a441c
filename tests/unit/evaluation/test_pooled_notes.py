"""Notes of folds as those of one row."""

from __future__ import annotations

from mammoflow.evaluation.pooled_notes import pooled_notes


def test_the_same_note_stays_and_numbers_that_differ_become_a_range() -> None:
    notes = {
        1: ("phantom", "fitted on 9 lesions: 0.52 x logit of model"),
        0: ("phantom", "fitted on 10 lesions: 0.50 x logit of model"),
        2: ("phantom", "fitted on 10 lesions: 1.25 x logit of model"),
    }
    assert pooled_notes(notes) == ("phantom", "fitted on 9 to 10 lesions: 0.50 to 1.25 x logit of model")


def test_a_note_of_some_folds_names_them() -> None:
    notes = {0: ("always benign: 40% are malignant",), 1: ("always malignant: 52% are malignant", "EfficientNet-B0")}
    notes[2] = ("always benign: 45% are malignant",)
    assert pooled_notes(notes) == (
        "in folds 0 and 2: always benign: 40 to 45% are malignant",
        "in fold 1: always malignant: 52% are malignant",
        "in fold 1: EfficientNet-B0",
    )


def test_no_notes() -> None:
    assert pooled_notes({0: (), 1: ()}) == ()
