from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.stats import spearmanr

from mammoflow.config.feature_models import FeatureModelSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import StudyError
from mammoflow.evaluation.auc_tests import pairs_to_test
from mammoflow.evaluation.chosen_features import chosen_candidate, uncorrelated
from mammoflow.evaluation.floors import size_floor
from mammoflow.features.similarity import cosine_similarity
from mammoflow.features.standardised import standardised_similarity
from mammoflow.tables.stability import STABILITY, stable_features

from .test_feature_models import N, study, table, test_area


def lesions_of(seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.random.Generator]:
    lesions, random = study(seed)
    label = lesions["malignant"].to_numpy(dtype=float)
    return lesions.assign(diameter_mm=np.exp(random.normal(2.5, 0.4, N) + 0.4 * label)), label, random


def model(**values: object) -> FeatureModelSettings:
    return FeatureModelSettings.model_validate({"name": "Chosen", **values})


def test_of_a_correlated_pair_the_later_column_goes():
    random = np.random.default_rng(0)
    first, second = random.normal(0, 1, (2, 80))
    matrix = pd.DataFrame({"a": first, "flat": 1.0, "b": np.exp(first), "c": second, "d": second + 0.5 * first})
    assert uncorrelated(matrix, 0.95) == ["a", "c", "d"]
    rho = abs(spearmanr(second, matrix["d"]).statistic)
    assert uncorrelated(matrix, rho - 0.01) == ["a", "c"]
    assert uncorrelated(matrix, 1.0) == ["a", "b", "c", "d"]
    assert uncorrelated(matrix[["flat"]], 0.9) == []


@pytest.mark.parametrize("method", ["ridge", "elastic_net", "lasso", "boosting"])
def test_every_method_finds_the_signal(method):
    lesions, label, random = lesions_of()
    noise = {f"noise{place}": random.normal(0, 1, N) for place in range(6)}
    features = table(lesions, "gabor", good=label + random.normal(0, 0.5, N), **noise)
    candidate = chosen_candidate(model(method=method), {"gabor": features}, lesions, "")
    assert test_area(candidate, lesions) > 0.8
    assert "7 features, 7 with a rank correlation of at most 0.95" in " ".join(candidate.notes)


def test_lasso_sets_slopes_of_noise_to_zero():
    lesions, label, random = lesions_of()
    lesions["lesion_type"] = "mass"
    noise = {f"noise{place}": random.normal(0, 1, N) for place in range(30)}
    features = table(lesions, "gabor", good=label + random.normal(0, 0.3, N), **noise)
    notes = " ".join(chosen_candidate(model(method="lasso"), {"gabor": features}, lesions, "").notes)
    kept = int(notes.split(" of 31 slopes are not 0")[0].split()[-1])
    assert 1 <= kept < 31


def test_the_choice_does_not_see_validation_and_test():
    lesions, label, random = lesions_of()
    features = table(lesions, "gabor", a=label + random.normal(0, 1, N), b=random.normal(0, 1, N))
    changed = features.copy()
    outside = (lesions["split"] == "test").to_numpy()
    changed.loc[outside, ["gabor_a", "gabor_b"]] = 0.0  # all test lesions alike: correlated and flat
    first, second = (chosen_candidate(model(), {"gabor": one}, lesions, "") for one in (features, changed))
    assert first.notes == second.notes
    kept = lesions.index[lesions["split"] != "test"]
    pd.testing.assert_series_equal(first.runs[0].loc[kept, "score"], second.runs[0].loc[kept, "score"])


def test_size_is_a_covariate_and_scores_no_lesion_without_features():
    lesions, _, random = lesions_of()
    features = table(lesions, "gabor", noise=random.normal(0, 1, N))
    features.loc[0, "gabor_noise"] = np.nan
    with_size, alone = (
        chosen_candidate(model(size=size, method="ridge"), {"gabor": features}, lesions, "") for size in (True, False)
    )
    assert test_area(with_size, lesions) > test_area(alone, lesions) + 0.1
    assert np.isnan(with_size.runs[0]["score"].iloc[0])


def stability_file(path: Path, **icc: tuple[float, float, float]) -> str:
    rows = [
        {
            "family": "gabor", "feature": f"gabor_{name}", "perturbation": "all", "mask": "predicted", "conditions": 5,
            "n": 50, "patients": 50, "icc": values[0], "icc_low": values[1], "icc_high": values[2], "note": "",
        }
        for name, values in icc.items()
    ]  # fmt: skip
    STABILITY.validate(pd.DataFrame(rows)).to_csv(path, index=False)
    return str(path)


def test_only_features_whose_lower_limit_is_above_the_bound_are_kept(tmp_path):
    path = stability_file(
        tmp_path / "stability.csv", a=(0.9, 0.8, 0.95), b=(0.8, 0.7, 0.9), c=(1.0, np.nan, np.nan), d=(0.9, np.nan, 1)
    )
    assert stable_features(Path(path), 0.75) == {"gabor_a", "gabor_c"}
    lesions, label, random = lesions_of()
    features = table(lesions, "gabor", a=random.normal(0, 1, N), b=label, c=random.normal(0, 1, N), d=label)
    candidate = chosen_candidate(model(stability_above=0.75), {"gabor": features}, lesions, path)
    assert "4 features, 2 with an ICC above 0.75" in candidate.notes[1]
    assert test_area(candidate, lesions) < 0.7
    none = chosen_candidate(model(stability_above=0.99), {"gabor": features[["lesion_id", "gabor_a"]]}, lesions, path)
    assert not none.scored(lesions).size
    assert "no feature is left: 1 features, 0 with an ICC above 0.99" in none.notes[0]


def test_a_missing_table_of_stability_names_the_target(tmp_path):
    with pytest.raises(StudyError, match="run the target `stability` first"):
        stable_features(tmp_path / "none.csv", 0.5)
    (tmp_path / "other.csv").write_text("family,feature\n", encoding="utf-8")
    with pytest.raises(StudyError, match="lacks the columns conditions"):
        stable_features(tmp_path / "other.csv", 0.5)


def test_standardised_similarity_by_hand_and_from_training_alone():
    random = np.random.default_rng(0)
    names = [f"{statistic}_w4.0_o{angle:03d}" for statistic in ("mean", "std") for angle in (0, 90)]
    columns = [f"gabor_{region}_{name}" for region in ("inner", "ring") for name in names]
    features = pd.DataFrame(random.normal(5, 1, (12, 8)) * np.tile([1, 10, 100, 1], 2), columns=columns)
    training = pd.Series([True] * 8 + [False] * 4)
    found = standardised_similarity(features, training)
    values = features.to_numpy().reshape(12, 2, 4)
    mean, deviation = values[:8].mean(axis=(0, 1)), values[:8].std(axis=(0, 1))
    expected = [cosine_similarity(*row) for row in (values - mean) / deviation]
    np.testing.assert_allclose(found, expected)
    changed = features.copy()
    changed.iloc[-1] *= 50
    np.testing.assert_allclose(standardised_similarity(changed, training)[:-1], found[:-1])
    assert found.min() < 0.2  # unlike the cosine of the raw entries, which is near 1


def test_standardised_similarity_joins_the_features(tmp_path):
    lesions, label, random = lesions_of()
    sign = 2 * label - 1
    columns = {
        "inner_mean_w4.0_o000": 5 + sign + random.normal(0, 0.2, N),
        "ring_mean_w4.0_o000": 5 + random.normal(0, 1, N),
        "inner_std_w4.0_o000": 3 + random.normal(0, 1, N),
        "ring_std_w4.0_o000": 3 + random.normal(0, 1, N),
    }
    features = table(lesions, "gabor", **columns)
    candidate = chosen_candidate(model(standardised_similarity=True), {"gabor": features}, lesions, "")
    assert "logistic regression on 5 features" in " ".join(candidate.notes)


def test_a_lesion_that_lacks_a_family_is_not_scored_by_its_similarity():
    lesions, label, random = lesions_of()
    sides = {f"{region}_mean_w4.0_o000": 5 + label + random.normal(0, 1, N) for region in ("inner", "ring")}
    families = {
        "gabor": table(lesions, "gabor", **sides),
        "radiomics": table(lesions, "radiomics", a=np.where(np.arange(N) == 5, np.nan, random.normal(0, 1, N))),
    }
    for settings in (model(), model(standardised_similarity=True), model(standardised_similarity=True, size=True)):
        scored = chosen_candidate(settings, families, lesions, "").scored(lesions)
        assert set(lesions.index) - set(scored) == {"L005"}


def test_chosen_models_are_compared_with_size_alone():
    lesions, label, random = lesions_of()
    features = table(lesions, "gabor", a=label + random.normal(0, 1, N))
    lesions = lesions.assign(mask_file="mask.png")
    settings = StudyConfig.model_validate({"comparison": {"feature_models": [{"name": "Chosen"}]}}).comparison
    chosen = chosen_candidate(settings.feature_models[0], {"gabor": features}, lesions, "")
    pairs = pairs_to_test([chosen, size_floor(lesions), chosen], settings, "")
    assert [(pair.first.model, pair.second.model) for pair in pairs][-1] == ("Chosen", "size alone")


@pytest.mark.parametrize(
    ("models", "more", "message"),
    [
        ([{"name": "A", "families": ["shape"]}], {}, "names the family 'shape'; expected some of features.run"),
        (
            [{"name": "A"}],
            {"features": {"run": []}, "classification": {"run": []}},
            "'A' takes all families and features.run is empty; expected at least one family",
        ),
        ([{"name": "A"}, {"name": "A"}], {}, "feature_models.1.name is 'A', the name of another row"),
        ([{"name": "perceptron_frozen"}], {}, "feature_models.0.name is 'perceptron_frozen', the name of another row"),
        ([{"name": "Gabor features, boosted"}], {}, "the name of another row"),
        ([{"name": "Reader's words"}], {}, "the name of another row"),
        ([{"name": "A", "families": ["radiomics"], "standardised_similarity": True}], {}, "not the family gabor"),
        (
            [{"name": "A", "stability_above": 0.5}],
            {"cohort": {"split": {"method": "kfold", "fold": "all"}}},
            "expected a single split",
        ),
    ],
)
def test_models_that_cannot_be_are_refused(models, more, message):
    with pytest.raises(ValidationError, match=message):
        StudyConfig.model_validate({"comparison": {"feature_models": models}, **more})


def test_the_comparison_is_told_the_table_of_its_run():
    values = {"run": "mine", "comparison": {"feature_models": [{"name": "A", "stability_above": 0.5}], "fusion": ["A"]}}
    config = StudyConfig.model_validate(values)
    assert config.stages()["compare"].model_dump()["stability_table"] == "results/mine/stability/stability.csv"
    assert StudyConfig().stages()["compare"].model_dump()["stability_table"] == ""
