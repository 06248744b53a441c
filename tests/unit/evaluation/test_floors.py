from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mammoflow.evaluation.feature_models import feature_candidate, feature_matrix
from mammoflow.evaluation.floors import (
    category_floor,
    floor_candidates,
    identity_floor,
    majority_floor,
    size_floor,
    suspicion_ceiling,
)


def lesions(n: int = 120, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    malignant = random.integers(0, 2, n)
    return pd.DataFrame(
        {
            "patient_id": [f"P{row:03d}" for row in range(n)],
            "split": ["train", "validation", "test"] * (n // 3),
            "malignant": pd.array(malignant, dtype="Int64"),
            "birads": pd.array(np.where(malignant == 1, 4, 2), dtype="Int64"),
            "shape": np.where(random.random(n) < 0.3 + 0.4 * malignant, "IRREGULAR", "OVAL"),
            "margins": None,
            "lesion_type": "mass",
            "diameter_mm": 10.0 + 5 * malignant + random.random(n),
            "mask_file": "m.png",
        },
        index=pd.Index([f"L{row:03d}" for row in range(n)], name="lesion_id"),
    )


def test_majority_class_is_that_of_training() -> None:
    table = lesions()
    table.loc[table["split"] == "train", "malignant"] = 0
    table.loc[table.index[:3], "malignant"] = 1
    candidate = majority_floor(table)
    assert (candidate.runs[0]["predicted"] == 0).all()
    assert candidate.runs[0]["score"].nunique() == 1
    assert candidate.runs[0]["score"].iloc[0] == pytest.approx(1 / 40)


def test_category_scores_are_training_shares_with_one_pseudo_lesion() -> None:
    table = lesions().assign(shape="OVAL")
    training = table.index[table["split"] == "train"]
    table.loc[training, "malignant"] = [1] * 10 + [0] * 30
    table.loc[training[:8], "shape"] = "ROUND"
    table.loc[table.index[2], "shape"] = "UNSEEN"
    score = category_floor(table, "shape", "shape alone").runs[0]["score"]
    assert score[training[0]] == pytest.approx((8 + 0.25) / 9)
    assert score[training[-1]] == pytest.approx((2 + 0.25) / 33)
    assert score[table.index[2]] == pytest.approx(0.25)


def test_a_column_that_the_study_lacks_gives_a_row_with_its_reason() -> None:
    candidates = {candidate.model: candidate for candidate in floor_candidates(lesions())}
    assert set(candidates) == {"majority class", "assessment alone", "shape alone", "margins alone", "size alone"}
    assert candidates["margins alone"].scored(lesions()).empty
    assert "no margins" in candidates["margins alone"].notes[0]
    assert len(candidates["assessment alone"].scored(lesions())) == 120


def test_size_is_cut_where_validation_says() -> None:
    candidate = size_floor(lesions())
    assert 11 < candidate.threshold < 15
    assert (candidate.runs[0]["predicted"] == lesions()["malignant"]).all()


def test_a_patient_is_scored_by_its_other_training_lesions() -> None:
    table = lesions(12)
    table["patient_id"] = list("AAABBBCCDDEE")
    table["split"] = ["train", "train", "test", "train", "validation", "test"] + ["train"] * 3 + ["test"] * 3
    table["malignant"] = pd.array([1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1, 0], dtype="Int64")
    score = identity_floor(table).runs[0]["score"]
    prevalence = 3 / 6
    assert score["L002"] == pytest.approx((2 + prevalence) / 3)
    assert score["L005"] == score["L004"] == pytest.approx(prevalence / 2)
    assert score["L000"] == pytest.approx((1 + prevalence) / 2)
    assert score["L006"] == pytest.approx(prevalence / 2)
    assert score["L011"] == prevalence
    assert identity_floor(table).notes[1] == "3 test lesions are of patients with training lesions"


def test_a_clean_split_tells_nothing_by_the_patient() -> None:
    score = identity_floor(lesions()).runs[0]["score"]
    assert score[lesions()["split"] != "train"].nunique() == 1
    assert identity_floor(lesions().assign(split="test")).scored(lesions()).empty


def test_the_ceiling_is_cut_on_validation() -> None:
    table = lesions().assign(hidden_suspicion=np.random.default_rng(1).normal(0, 1, 120))
    table["hidden_suspicion"] += 8 * table["malignant"].astype(float)
    candidate = suspicion_ceiling(table)
    assert 2 < candidate.threshold < 6
    assert (candidate.runs[0]["predicted"] == table["malignant"]).all()


def test_nothing_is_chosen_on_test_labels() -> None:
    table = lesions()
    turned = table.copy()
    test = table["split"] == "test"
    turned.loc[test, "malignant"] = 1 - table.loc[test, "malignant"]
    features = noisy_features(table)
    before = [*floor_candidates(table), feature_candidate("f", features, table)]
    after = [*floor_candidates(turned), feature_candidate("f", features, turned)]
    for first, second in zip(before, after, strict=True):
        pd.testing.assert_frame_equal(first.runs[0], second.runs[0])
        assert first.threshold == second.threshold or np.isnan(first.threshold)


def test_validation_of_one_class_is_said() -> None:
    table = lesions()
    table.loc[table["split"] == "validation", "malignant"] = 1
    assert category_floor(table, "shape", "shape alone").threshold == 0.5
    size = size_floor(table)
    assert size.threshold == pytest.approx(table.loc[table["split"] == "train", "diameter_mm"].median())
    assert "validation does not hold both classes" in size.notes[-1]


def noisy_features(table: pd.DataFrame) -> pd.DataFrame:
    random = np.random.default_rng(9)
    signal = table["malignant"].to_numpy(dtype=float)
    return pd.DataFrame(
        {
            "lesion_id": table.index,
            "patient_id": table["patient_id"].to_numpy(),
            "gabor_good": signal * 1000 + random.normal(0, 10, len(table)),
            "gabor_noise": random.normal(0, 1, len(table)),
            "gabor_mostly_missing": np.where(np.arange(len(table)) < 12, 1.0, np.nan),
            "spacing_mm": signal,
            "status": "ok",
            "detail": "",
        }
    )


def test_logistic_regression_finds_a_feature_that_separates() -> None:
    table = lesions()
    candidate = feature_candidate("gabor", noisy_features(table), table)
    assert (candidate.runs[0]["predicted"] == table["malignant"]).all()
    assert candidate.notes[0].startswith("logistic regression on 2 features")


def test_lesions_without_features_have_no_prediction() -> None:
    table = lesions()
    features = noisy_features(table)
    names = ["gabor_good", "gabor_noise", "gabor_mostly_missing"]
    features.loc[5, names] = np.nan
    features.loc[6, ["gabor_good", "gabor_noise", "gabor_mostly_missing"]] = [np.inf, np.nan, np.nan]
    features = features.drop(index=7)
    matrix = feature_matrix("gabor", features, table)
    assert matrix.iloc[[5, 6, 7]].isna().all(axis=None)
    scored = feature_candidate("gabor", features, table).scored(table)
    assert sorted(set(table.index) - set(scored)) == ["L005", "L006", "L007"]


def test_a_lesion_with_some_features_is_scored_with_the_training_median_of_the_rest() -> None:
    table = lesions()
    features = noisy_features(table)
    features.loc[5, ["gabor_noise", "gabor_mostly_missing"]] = np.nan
    candidate = feature_candidate("gabor", features, table)
    assert len(candidate.scored(table)) == len(table)
    assert candidate.runs[0]["predicted"].iloc[5] == table["malignant"].iloc[5]


def test_training_of_one_class_gives_a_row_with_its_reason() -> None:
    table = lesions()
    table.loc[table["split"] == "train", "malignant"] = 0
    candidate = feature_candidate("gabor", noisy_features(table), table)
    assert candidate.scored(table).empty
    assert "only one class" in candidate.notes[0]
