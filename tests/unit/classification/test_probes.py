"""After a leak probe nothing is left to learn, and everything else is as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoflow.classification.cases import Cases
from mammoflow.classification.inputs.outside_breast import Options, border_picture
from mammoflow.classification.probes import with_shuffled_labels
from mammoflow.storage.files import write_image, write_mask


@pytest.fixture
def cases() -> Cases:
    """Return 60 patients of two lesions each; both lesions of a patient have one label, and one in ten is unknown."""
    patients = np.repeat([f"P{number:02d}" for number in range(60)], 2)
    malignant = pd.array(np.repeat(np.arange(60) % 2, 2), dtype="Int64")
    malignant[::20] = pd.NA
    splits = np.repeat(["train"] * 40 + ["validation"] * 10 + ["test"] * 10, 2)
    return Cases(pd.DataFrame({"patient_id": patients, "malignant": malignant, "split": splits}), pd.DataFrame())


def test_labels_are_dealt_out_anew_in_training_and_validation_alone(cases: Cases) -> None:
    before, after = cases.lesions, with_shuffled_labels(cases, 0).lesions
    for split in ("train", "validation"):
        rows = before["split"] == split
        assert after["malignant"][rows].sum() == before["malignant"][rows].sum()
        assert (after["malignant"][rows] != before["malignant"][rows]).mean() > 0.2
    test = before["split"] == "test"
    pd.testing.assert_frame_equal(after[test], before[test])
    pd.testing.assert_series_equal(after["malignant"].isna(), before["malignant"].isna())
    pd.testing.assert_frame_equal(after.drop(columns="malignant"), before.drop(columns="malignant"))


def test_labels_of_a_patient_mostly_stay_together(cases: Cases) -> None:
    whole = Cases(cases.lesions.assign(malignant=np.repeat(np.arange(60) % 2, 2)), cases.images)
    after = with_shuffled_labels(whole, 3).lesions
    assert (after.groupby("patient_id")["malignant"].nunique() == 1).all()


def test_seeds_deal_differently_and_the_same_seed_alike(cases: Cases) -> None:
    first, again, other = (with_shuffled_labels(cases, seed).lesions["malignant"] for seed in (0, 0, 1))
    pd.testing.assert_series_equal(first, again)
    assert not first.equals(other)


def test_shuffled_labels_say_nothing_of_the_true_ones() -> None:
    patients = [f"P{number:04d}" for number in range(2000)]
    truth = np.arange(2000) % 2
    lesions = pd.DataFrame({"patient_id": patients, "malignant": truth, "split": "train"})
    dealt = with_shuffled_labels(Cases(lesions, pd.DataFrame()), 0).lesions["malignant"]
    assert abs(np.corrcoef(dealt, truth)[0, 1]) < 0.08


def test_the_border_picture_shows_everything_but_the_grown_breast(tmp_path: Path) -> None:
    image = np.full((40, 20), 1000, dtype=np.uint16)
    image[0, 19] = 60000  # a label in the corner
    breast = np.zeros((40, 20), dtype=np.bool_)
    breast[10:30, 0:10] = True
    write_image(tmp_path / "image.png", image)
    write_mask(tmp_path / "breast.png", breast)
    picture = border_picture(tmp_path / "image.png", tmp_path / "breast.png", 4, 2, Options(image_px=40))
    assert picture.shape == (40, 40)
    assert picture[0, 19] == 60000
    assert not picture[10:30, 0:10].any()
    assert not picture[6, 5].any()
    assert picture[5, 5] == 1000  # grown by four rows
    assert picture[20, 11] == 0
    assert picture[20, 12] == 1000  # and by two columns
    assert not picture[:, 20:].any()  # beside the film
