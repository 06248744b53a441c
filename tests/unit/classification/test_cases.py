from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mammoflow.classification.cases import Cases, mask_paths, predicted_masks, read_cases
from mammoflow.errors import LeakageError, StudyError


def test_cases_join_lesions_and_images_in_one_order(study) -> None:
    cases = read_cases(study.images)
    assert cases.lesions["lesion_id"].is_monotonic_increasing
    assert len(cases.lesions) == len(study.lesions)
    joined = cases.images["image_id"].iloc[cases.lesions["image_index"]].to_numpy()
    assert (joined == cases.lesions["image_id"].to_numpy()).all()
    again = read_cases(study.images[::-1])
    pd.testing.assert_frame_equal(again.lesions, cases.lesions)


def test_mask_files_exist(study) -> None:
    cases = read_cases(study.images)
    masks = predicted_masks(study.masks)
    for which in ("predicted", "reference"):
        paths = mask_paths(cases, masks, which)
        assert all(
            path is not None and path.is_file() and lesion in path.name
            for path, lesion in zip(paths, cases.lesions["lesion_id"], strict=True)
        )
    assert mask_paths(cases, masks.iloc[1:], "predicted").count(None) == 1
    with pytest.raises(StudyError, match="several models"):
        predicted_masks([*study.masks, study.masks[0]])


def test_a_patient_on_two_sides_is_a_hard_stop(study) -> None:
    def leak(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table["lesion_id"] == "P000_L_CC_1", "split"] = "test"
        return table

    study.rewrite_lesions(leak)
    with pytest.raises(LeakageError, match="P000"):
        read_cases(study.images)


def test_labels_of_an_image() -> None:
    lesions = pd.DataFrame(
        {"image_index": [0, 0, 1, 1, 2, 3, 3], "malignant": pd.array([0, 1, 0, 0, None, 1, None], dtype="Int64")}
    )
    cases = Cases(lesions, pd.DataFrame({"image_id": list("abcd")}))
    np.testing.assert_array_equal(cases.image_labels, [1, 0, np.nan, 1])
    with_gap = Cases(
        pd.DataFrame({"image_index": [0, 0], "malignant": pd.array([0, None], dtype="Int64")}),
        pd.DataFrame({"image_id": ["a"]}),
    )
    assert np.isnan(with_gap.image_labels[0])  # the unknown lesion may be malignant


def test_an_image_with_a_lesion_that_was_left_out_is_not_benign() -> None:
    lesions = pd.DataFrame({"image_index": [0, 1, 2, 2], "malignant": pd.array([0, 0, 0, 1], dtype="Int64")})
    images = pd.DataFrame({"image_id": list("abcd"), "fully_annotated": [True, False, False, True]})
    cases = Cases(lesions, images)
    np.testing.assert_array_equal(cases.image_labels, [0, np.nan, 1, np.nan])
    np.testing.assert_array_equal(cases.only(np.array([1, 3])).image_labels, [np.nan, 1])
