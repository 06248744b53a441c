from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.feature_models import boosted_candidate, feature_candidate, joint_candidate
from mammoflow.evaluation.metrics import auc

N = 300


def study(seed: int = 0) -> tuple[pd.DataFrame, np.random.Generator]:
    random = np.random.default_rng(seed)
    lesions = pd.DataFrame(
        {
            "patient_id": [f"P{row:03d}" for row in range(N)],
            "split": ["train", "validation", "test"] * (N // 3),
            "malignant": pd.array(random.integers(0, 2, N), dtype="Int64"),
            "lesion_type": random.choice(["mass", "calcification"], N),
        },
        index=pd.Index([f"L{row:03d}" for row in range(N)], name="lesion_id"),
    )
    return lesions, random


def table(lesions: pd.DataFrame, family: str, **columns: np.ndarray) -> pd.DataFrame:
    named = {f"{family}_{name}": values for name, values in columns.items()}
    return pd.DataFrame({"lesion_id": lesions.index, "status": "ok", **named})


def test_area(candidate: Candidate, lesions: pd.DataFrame) -> float:
    test = lesions[lesions["split"] == "test"]
    score = candidate.runs[0].loc[test.index, "score"].to_numpy()
    return float(auc(test["malignant"].to_numpy(dtype=float), score, np.ones((1, len(test))))[0])


test_area.__test__ = False  # type: ignore[attr-defined]


def opposite() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return lesions, and a feature that is high in malignant masses and low in malignant calcifications."""
    lesions, random = study()
    sign = np.where(lesions["lesion_type"] == "mass", 1, -1) * (2 * lesions["malignant"].to_numpy(dtype=float) - 1)
    return lesions, table(lesions, "gabor", turned=sign + random.normal(0, 0.7, N), noise=random.normal(0, 1, N))


def test_each_lesion_type_has_its_own_slopes() -> None:
    lesions, features = opposite()
    candidate = feature_candidate("gabor", features, lesions)
    assert test_area(candidate, lesions) > 0.9
    assert "slopes of their own for calcification and mass" in candidate.notes[0]
    one_type = lesions.assign(lesion_type="mass")
    without = feature_candidate("gabor", features, one_type)
    assert test_area(without, one_type) < 0.7
    assert "slopes" not in without.notes[0]


def test_a_type_that_training_lacks_has_the_shared_slopes() -> None:
    lesions, random = study()
    features = table(lesions, "gabor", good=lesions["malignant"].to_numpy(dtype=float) + random.normal(0, 0.3, N))
    lesions.loc[lesions["split"] == "test", "lesion_type"] = "unknown"
    assert test_area(feature_candidate("gabor", features, lesions), lesions) > 0.9


def test_one_type_gives_the_regression_of_the_library() -> None:
    lesions, random = study()
    lesions["lesion_type"] = "mass"
    values = random.normal(5, 3, (N, 4)) + lesions["malignant"].to_numpy(dtype=float)[:, None]
    values[random.random(values.shape) < 0.1] = np.nan
    features = table(lesions, "gabor", **{f"f{place}": values[:, place] for place in range(4)})
    candidate = feature_candidate("gabor", features, lesions)
    penalty = float(candidate.notes[0].split("C = ")[1].split()[0])
    training = (lesions["split"] == "train").to_numpy() & ~np.isnan(values).all(axis=1)
    regression = LogisticRegression(C=penalty, max_iter=2000)
    model = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), regression)
    model.fit(values[training], lesions["malignant"].to_numpy(dtype=int)[training])
    scored = lesions.index.isin(candidate.scored(lesions))
    assert candidate.runs[0]["score"].to_numpy()[scored] == pytest.approx(
        model.predict_proba(values[scored])[:, 1], abs=1e-4
    )


def test_boosted_trees_find_what_no_line_does() -> None:
    lesions, random = study()
    label = lesions["malignant"].to_numpy(dtype=float)
    # Malignant lesions lie at both ends, benign ones in the middle.
    ends = np.where(label == 1, random.choice([-2, 2], N), 0) + random.normal(0, 0.5, N)
    ends[5] = np.nan
    features = table(lesions, "gabor", ends=ends, never_stated=np.full(N, np.nan))
    boosted = boosted_candidate("gabor", features, lesions)
    assert boosted.model == "Gabor features, boosted"
    assert test_area(boosted, lesions.drop("L005")) > 0.9
    assert test_area(feature_candidate("gabor", features, lesions), lesions.drop("L005")) < 0.7
    assert set(lesions.index) - set(boosted.scored(lesions)) == {"L005"}


def test_boosted_trees_see_the_lesion_type_and_are_the_same_each_time() -> None:
    lesions, features = opposite()
    first, second = (boosted_candidate("gabor", features, lesions) for _ in range(2))
    assert test_area(first, lesions) > 0.85
    pd.testing.assert_frame_equal(first.runs[0], second.runs[0], check_exact=True)


def test_trees_do_not_take_a_type_that_training_lacks_for_the_first_one() -> None:
    lesions, random = study()
    lesions["lesion_type"] = np.where(np.arange(N) // 3 % 5 == 0, "calcification", "mass")
    # Only the type says something: calcifications, the first type and the rarer one, are benign.
    benign = (lesions["lesion_type"] == "calcification") | (random.random(N) < 0.3)
    lesions["malignant"] = pd.array((~benign).astype(int), dtype="Int64")
    features = table(lesions, "gabor", noise=np.zeros(N))
    lesions.loc[lesions["split"] == "test", "lesion_type"] = ["distortion", "calcification", "mass", "mass"] * (N // 12)
    score = boosted_candidate("gabor", features, lesions).runs[0]["score"][lesions["split"] == "test"]
    unseen, first, second = (score.iloc[place] for place in range(3))
    assert first < second
    assert unseen == pytest.approx(second)


def test_test_labels_change_neither_trees_nor_the_joint_model() -> None:
    lesions, features = opposite()
    turned = lesions.copy()
    test = lesions["split"] == "test"
    turned.loc[test, "malignant"] = 1 - lesions.loc[test, "malignant"]
    for fit in (lambda rows: boosted_candidate("gabor", features, rows), lambda rows: joint_candidate(
        {"gabor": features}, rows
    )):  # fmt: skip
        before, after = fit(lesions), fit(turned)
        pd.testing.assert_frame_equal(before.runs[0], after.runs[0])
        assert before.threshold == after.threshold


def test_all_families_together_are_better_than_each() -> None:
    lesions, random = study(2)
    label = lesions["malignant"].to_numpy(dtype=float)
    gabor, radiomics = (table(lesions, name, one=label + random.normal(0, 1, N)) for name in ("gabor", "radiomics"))
    gabor.loc[4, "gabor_one"] = np.nan
    joint = joint_candidate({"gabor": gabor, "radiomics": radiomics}, lesions)
    alone = [feature_candidate(name, one, lesions) for name, one in (("gabor", gabor), ("radiomics", radiomics))]
    assert joint.model == "All features"
    rows = lesions.drop("L004")
    assert test_area(joint, rows) > max(test_area(one, rows) for one in alone)
    assert set(lesions.index) - set(joint.scored(lesions)) == {"L004"}


def test_training_of_one_class_gives_rows_with_their_reason() -> None:
    lesions, features = opposite()
    lesions.loc[lesions["split"] == "train", "malignant"] = 0
    for candidate in (boosted_candidate("gabor", features, lesions), joint_candidate({"gabor": features}, lesions)):
        assert candidate.scored(lesions).empty
        assert "one class" in candidate.notes[0]
