"""The tables of tests: families of hypotheses, Holm, the primary comparison, non-inferiority, detectable difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from mammoflow.config.evaluation import ComparisonSettings, PrimarySettings
from mammoflow.config.foreign import FOREIGN, NO_THRESHOLD
from mammoflow.errors import ConfigError
from mammoflow.evaluation.auc_tests import (
    adjusted,
    auc_test_table,
    best_model,
    decision_test_table,
    holm,
    pairs_to_test,
    with_adjusted_p,
)
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.calibration import calibration_table, reliability_table
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.comparison import confusion_table
from mammoflow.evaluation.decision_curve import decision_curve_table
from mammoflow.evaluation.delong import AreaDifference
from mammoflow.evaluation.discordant import discordant_table
from mammoflow.evaluation.levels import level_table, prediction_table
from mammoflow.evaluation.operating_points import operating_points, threshold_table
from mammoflow.evaluation.oracles import SEES_REFERENCE
from mammoflow.evaluation.reclassification import reclassification_table
from mammoflow.evaluation.subgroups import subgroup_table
from mammoflow.report.exports import row_marks
from mammoflow.report.verdicts import verdicts

RANDOM = np.random.default_rng(2)
PATIENTS, EACH = 138, 2
N = PATIENTS * EACH
LESIONS = pd.DataFrame(
    {
        "patient_id": np.repeat([f"P{number:03d}" for number in range(PATIENTS)], EACH),
        "split": "test",
        "malignant": pd.array(np.repeat(RANDOM.integers(0, 2, PATIENTS), EACH), dtype="Int64"),
    },
    index=pd.Index([f"L{row:03d}" for row in range(N)], name="lesion_id"),
)
LABEL = LESIONS["malignant"].to_numpy(dtype=int)


def scores(strength: float) -> pd.DataFrame:
    own = np.repeat(RANDOM.normal(0, 0.8, PATIENTS), EACH)
    score = strength * LABEL + own + RANDOM.normal(0, 0.6, N)
    return pd.DataFrame({"score": score, "predicted": (score > strength / 2).astype(float)}, index=LESIONS.index)


READER = Candidate("BI-RADS > 3", "reader", {0: scores(1.4)})
MODELS = [Candidate(f"model_{number}", "classifier", {0: scores(1.0 + 0.2 * number)}) for number in range(5)]
SIZE = Candidate("size alone", "floor", {0: scores(0.3)})
CANDIDATES = [READER, *MODELS, SIZE]


def tables(settings: ComparisonSettings, best: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    pairs = pairs_to_test(CANDIDATES, settings, best)
    return auc_test_table(pairs, LESIONS, settings, ""), decision_test_table(pairs, LESIONS, settings, "")


def test_holm_is_that_of_statsmodels() -> None:
    random = np.random.default_rng(1)
    for number in (1, 2, 5, 19):
        p_values = np.round(random.random(number) ** 3, 2)  # some are equal
        assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holms_own_example() -> None:
    # Four p values .01, .04, .03, .005 give .03, .06, .06, .02.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_families_are_adjusted_apart_and_what_has_no_test_counts_nowhere() -> None:
    families = pd.Series(["primary", "a", "a", "a", "exploratory", "b"])
    found = adjusted(families, pd.Series([0.04, 0.01, np.nan, 0.03, 0.01, 0.04]))
    assert found.tolist() == pytest.approx([0.04, 0.02, np.nan, 0.03, np.nan, 0.04], nan_ok=True)


def test_the_primary_comparison_comes_first_and_keeps_its_p_value() -> None:
    settings = ComparisonSettings(primary=PrimarySettings(model="model_3"))
    areas, decisions = tables(settings)
    assert areas.loc[0, ["hypothesis", "model_a", "model_b"]].tolist() == ["primary", "model_3", "BI-RADS > 3"]
    assert areas.loc[0, "p_holm"] == areas.loc[0, "p"]
    family = areas[areas["hypothesis"] == "models against BI-RADS"]
    assert family["model_a"].tolist() == ["model_0", "model_1", "model_2", "model_4"]
    assert family["p_holm"].tolist() == pytest.approx(multipletests(family["p"], method="holm")[1])
    assert decisions["hypothesis"].tolist()[:3] == ["primary"] * 3
    without = tables(ComparisonSettings())[0]
    assert (without["hypothesis"] == "models against BI-RADS").sum() == 5
    assert not (without["hypothesis"] == "primary").any()


def test_a_primary_comparison_may_be_between_two_models() -> None:
    settings = ComparisonSettings(primary=PrimarySettings(model="model_4", against="model_0"))
    areas, _ = tables(settings)
    assert areas.loc[0, ["model_a", "model_b"]].tolist() == ["model_4", "model_0"]
    assert (areas["hypothesis"] == "models against BI-RADS").sum() == 5


def test_a_primary_comparison_may_name_birads_first() -> None:
    settings = ComparisonSettings(primary=PrimarySettings(model="BI-RADS > 3", against="model_3"))
    areas, _ = tables(settings)
    rows = pd.DataFrame({"model": ["BI-RADS > 3", "model_3", "model_4"], "auc_difference_p": [np.nan, 0.1, 0.1]})
    found = with_adjusted_p(rows, areas, "BI-RADS > 3").set_index("model")
    assert found["auc_difference_hypothesis"].tolist()[1:] == ["primary", "models against BI-RADS"]
    assert found.loc["model_3", "auc_difference_p_holm"] == areas.loc[0, "p"]
    assert np.isnan(found.loc["BI-RADS > 3", "auc_difference_p_holm"])


def test_an_unknown_primary_model_stops_with_the_rows_that_there_are() -> None:
    settings = ComparisonSettings(primary=PrimarySettings(model="model_9"))
    with pytest.raises(ConfigError, match=r"comparison.primary.model: found 'model_9'.*model_0"):
        tables(settings)
    with pytest.raises(ValueError, match=r"comparison.primary.model names 'model_9'"):
        settings.check_classifiers({"model_0": 1})
    with pytest.raises(ValueError, match="expected two rows"):
        PrimarySettings(model="BI-RADS > 3")


@pytest.mark.parametrize(
    ("model", "values"),
    [
        ("model_0 + BI-RADS", {}),
        ("model_0 + BI-RADS", {"fusion": ["model_0"]}),
        ("Reader's words", {"fusion": []}),
        ("Gabor features", {}),
        ("Gabor features, boosted", {}),
        ("model_1 (mean of 3 seeds)", {}),
        ("size alone", {}),
    ],
)
def test_a_primary_comparison_names_a_row_that_there_may_be(model: str, values: dict[str, Any]) -> None:
    settings = ComparisonSettings(primary=PrimarySettings(model=model), **values)
    settings.check_classifiers({"model_0": 1, "model_1": 3}, ["gabor"])


@pytest.mark.parametrize(
    ("model", "values"),
    [
        ("model_0 + BI-RADS", {"fusion": False}),
        ("model_0 + reader's words", {"fusion": ["model_1"]}),
        ("Stable + BI-RADS", {"feature_models": [{"name": "Stable"}]}),
        ("Reader's words", {"fusion": False}),
        ("Radiomics features", {}),
        ("model_0 (mean of 3 seeds)", {}),
        ("model_1 (mean of 2 seeds)", {}),
        ("density alone", {}),
    ],
)
def test_a_primary_comparison_of_no_row_is_refused(model: str, values: dict[str, Any]) -> None:
    settings = ComparisonSettings(primary=PrimarySettings(model=model), **values)
    with pytest.raises(ValueError, match=r"comparison.primary.model names .*expected 'BI-RADS > 3'"):
        settings.check_classifiers({"model_0": 1, "model_1": 3}, ["gabor"])


def test_every_model_is_tested_against_the_best_on_validation() -> None:
    validation = LESIONS.assign(split="validation")
    assert best_model([(CANDIDATES, validation)]) == "model_4"
    assert best_model([(CANDIDATES, LESIONS)]) == ""
    areas, _ = tables(ComparisonSettings(), best="model_4")
    against = areas[areas["hypothesis"] == "models against the best model"]
    assert against["model_a"].tolist() == ["model_0", "model_1", "model_2", "model_3"]
    assert set(against["model_b"]) == {"model_4"}
    assert len(areas) == len(areas[["model_a", "model_b"]].drop_duplicates())


def test_a_pair_is_tested_once_whichever_model_comes_first() -> None:
    features = Candidate("Gabor features", "features", {0: scores(1.1)})
    candidates = [READER, *MODELS, features, SIZE]
    for best in ("model_4", "Gabor features"):
        settings = ComparisonSettings(primary=PrimarySettings(model="model_0", against="model_4"))
        pairs = [{pair.first.model, pair.second.model} for pair in pairs_to_test(candidates, settings, best)]
        assert all(pairs.count(pair) == 1 for pair in pairs)
        assert {"model_4", "Gabor features"} in pairs
        assert {"model_4", "size alone"} in pairs
    reverse = ComparisonSettings(primary=PrimarySettings(model="model_4", against="model_0"))
    families = {pair.hypothesis for pair in pairs_to_test(CANDIDATES, reverse, "model_4")
                if {pair.first.model, pair.second.model} == {"model_0", "model_4"}}  # fmt: skip
    assert families == {"primary"}


def test_a_tool_without_a_threshold_counts_in_no_family_of_decisions() -> None:
    tool = Candidate("tool", "classifier", {0: scores(1.0).assign(predicted=0.0)}, (NO_THRESHOLD,))
    settings = ComparisonSettings()
    with_tool = decision_test_table(pairs_to_test([*CANDIDATES, tool], settings, "model_4"), LESIONS, settings, "")
    pd.testing.assert_frame_equal(with_tool, tables(settings, "model_4")[1])


def test_non_inferiority_is_what_the_interval_says() -> None:
    areas, _ = tables(ComparisonSettings(non_inferiority_margin=0.1))
    tested = areas[areas["model_b"] == "BI-RADS > 3"].iloc[:5]
    assert tested["not_inferior"].tolist() == (tested["low"] > -0.1).tolist()
    # One-sided at half the level: the p value is below .025 where the interval lies above minus the margin.
    assert (tested["non_inferiority_p"] < 0.025).tolist() == tested["not_inferior"].tolist()
    assert tested["not_inferior"].any()
    assert not tested["not_inferior"].all()
    assert tables(ComparisonSettings())[0]["non_inferiority_p"].isna().all()


def test_the_detectable_difference_is_found_with_the_stated_power() -> None:
    error = 0.03
    detectable = AreaDifference(0.8, 0.8, error, np.inf).detectable(0.95, 0.8)
    assert detectable == pytest.approx(2.8016 * error, rel=1e-4)
    assert AreaDifference(0.8, 0.8, error, 8.0).detectable(0.95, 0.8) > 1.1 * detectable
    found = np.random.default_rng(0).normal(detectable, error, 20000)
    assert (np.abs(found) > norm.ppf(0.975) * error).mean() == pytest.approx(0.8, abs=0.01)
    areas, _ = tables(ComparisonSettings())
    # Two masses for each of 138 patients: about a tenth in AUC.
    against_reader = areas[areas["hypothesis"] == "models against BI-RADS"]["detectable"]
    assert against_reader.between(0.07, 0.14).all()


def test_decisions_have_a_row_for_all_malignant_and_benign_lesions() -> None:
    _, decisions = tables(ComparisonSettings())
    rows = decisions[decisions["model_a"] == "model_2"].set_index("lesions")
    assert rows.index.tolist() == ["all", "malignant", "benign"]
    run, reader = MODELS[2].runs[0]["predicted"].to_numpy(), READER.runs[0]["predicted"].to_numpy()
    assert rows.loc["malignant", "right_a"] == pytest.approx(run[LABEL == 1].mean())
    assert rows.loc["benign", "right_b"] == pytest.approx(1 - reader[LABEL == 0].mean())
    assert rows.loc["all", "only_a_right"] == ((run == LABEL) & (reader != LABEL)).sum()
    assert rows["n"].tolist() == [N, LABEL.sum(), N - LABEL.sum()]
    assert (rows["low"] < rows["difference"]).all()
    assert (rows["difference"] < rows["high"]).all()
    assert "size alone" not in set(decisions["model_a"])


def test_few_patients_are_not_tested() -> None:
    few = LESIONS[LESIONS["patient_id"] < "P008"]
    settings = ComparisonSettings()
    pairs = pairs_to_test(CANDIDATES, settings, "")
    for table in (auc_test_table(pairs, few, settings, ""), decision_test_table(pairs, few, settings, "")):
        assert table[["low", "high", "p", "p_holm"]].isna().all(axis=None)
        assert table["difference"].notna().all()
        assert (table["patients"] <= 8).all()


def test_marks_of_a_candidate_are_in_every_table_that_names_it() -> None:
    known = LESIONS.assign(
        split=["test", "validation"] * PATIENTS,
        **dict.fromkeys(("lesion_type", "laterality", "view", "source"), "x"),
        **dict.fromkeys(("image_id", "finding_id"), LESIONS.index),
        birads=pd.array(np.random.default_rng(3).integers(2, 6, N), dtype="Int64"),
        **dict.fromkeys(("density", "subtlety"), pd.array([2] * N, dtype="Int64")),
        diameter_mm=8.0,
    )
    lesions = known[known["split"] == "test"]
    probable = {0: MODELS[4].runs[0].assign(score=lambda run: expit(run["score"]), threshold=0.5)}
    oracle = Candidate("masked crop", "classifier", probable, (SEES_REFERENCE, "its outputs are nearly constant"))
    tool = Candidate("Vendor", "classifier", probable, (FOREIGN, "threshold 0.5 as given"))
    settings = ComparisonSettings(bootstrap=100, non_inferiority_margin=0.2)
    rule, candidates = PatientBootstrap.of(settings), [READER, oracle, tool]
    pairs = pairs_to_test(candidates, settings, "masked crop")
    of_models = {
        "confusion": confusion_table(candidates, lesions, "phantom"),
        "thresholds": threshold_table(candidates, lesions, settings, "phantom"),
        "operating_points": operating_points(candidates, [(candidates, known)], lesions, settings, "phantom"),
        "calibration": calibration_table(candidates, lesions, rule, "phantom"),
        "reliability": reliability_table(candidates, lesions, rule, "phantom"),
        "decision_curve": decision_curve_table(candidates, lesions, settings, "phantom"),
        "reclassification": reclassification_table(candidates, lesions, rule, "phantom"),
        "subgroups": subgroup_table(candidates, lesions, rule, "phantom"),
        "discordant": discordant_table(candidates, lesions, lesions.index, "phantom"),
        "comparison_by_level": level_table(candidates, lesions, rule, "phantom"),
        "predictions_by_level": prediction_table(candidates, lesions, "phantom"),
    }
    marks = {"masked crop": ("oracle: uses the reference",), "Vendor": (FOREIGN,), "BI-RADS > 3": ()}
    for name, table in of_models.items():
        assert {"masked crop", "Vendor"} <= set(table["model"]), name
        for row in table.to_dict("records"):
            assert row_marks(row) == marks.get(row["model"], ()), name
            assert row["note"].startswith("phantom")
            assert "constant" not in row["note"]
    of_pairs = [auc_test_table(pairs, lesions, settings, ""), decision_test_table(pairs, lesions, settings, "")]
    for row in pd.concat(of_pairs).to_dict("records"):
        both = {*marks[row["model_a"]], *marks[row["model_b"]]}
        assert set(row_marks(row)) == both
    rows = of_pairs[0].astype("object").where(of_pairs[0].notna(), None)
    said = " ".join(verdicts(rows.to_dict("records"), settings.model_dump(), {}))
    assert "masked crop (oracle: uses the reference)" in said
    assert f"Vendor ({FOREIGN})" in said
