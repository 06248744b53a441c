from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from mammoflow.classification.threshold import choose_threshold
from mammoflow.config.row_names import WORDS_ROW
from mammoflow.evaluation.candidates import Candidate
from mammoflow.evaluation.fusion import (
    assessment_log_odds,
    fusion_candidates,
    fusion_table,
    word_log_odds,
)
from mammoflow.evaluation.metrics import auc

N = 1500


def lesions(n: int = N, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    malignant = random.integers(0, 2, n)
    birads = [random.choice([0, 2, 3, 4, 5], p=[0.05, 0.05, 0.1, 0.5, 0.3] if ill else [0.15, 0.25, 0.2, 0.35, 0.05])
              for ill in malignant]  # fmt: skip
    return pd.DataFrame(
        {
            "patient_id": [f"P{row // 2:04d}" for row in range(n)],
            "split": ["train", "train", "validation", "validation", "test", "test"] * (n // 6),
            "malignant": pd.array(malignant, dtype="Int64"),
            "birads": pd.array(birads, dtype="Int64"),
            "density": pd.array(random.integers(1, 5, n), dtype="Int64"),
            "shape": np.where(random.random(n) < 0.3 + 0.4 * malignant, "IRREGULAR", "OVAL"),
            "margins": np.where(random.random(n) < 0.2 + 0.4 * malignant, "SPICULATED", "CIRCUMSCRIBED"),
            "lesion_type": "mass",
        },
        index=pd.Index([f"L{row:04d}" for row in range(n)], name="lesion_id"),
    )


def model(table: pd.DataFrame, strength: float = 1.5, seeds: int = 1, seed: int = 1) -> Candidate:
    random = np.random.default_rng(seed)
    label = table["malignant"].to_numpy(dtype=float)
    runs = {}
    for number in range(seeds):
        value = expit(strength * (label - 0.5) + random.normal(size=len(table)))
        runs[number] = pd.DataFrame({"score": value, "predicted": (value > 0.5).astype(float)}, index=table.index)
    return Candidate("net", "classifier", runs, ("a note",))


def by_name(candidates: list[Candidate]) -> dict[str, Candidate]:
    return {one.model: one for one in candidates}


def test_log_odds_of_a_category_are_counted_on_training_with_one_pseudo_lesion() -> None:
    table = lesions(12).assign(birads=pd.array([4, 4, 4, 0, 3, 2, 4, 0, None, 4, 4, 4], dtype="Int64"))
    table["split"] = ["train"] * 7 + ["test"] * 5
    table["malignant"] = pd.array([1, 1, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0], dtype="Int64")
    found = assessment_log_odds(table)
    share = 4 / 7
    assert found.iloc[0] == pytest.approx(logit((3 + share) / 5))
    assert found.iloc[7] == pytest.approx(logit((1 + share) / 2))
    assert found.iloc[7] > found.iloc[4]
    assert np.isnan(found.iloc[8])


def test_the_words_are_those_of_a_regression_on_indicators_of_training_lesions() -> None:
    table = lesions(600)
    table.loc[table.index[:3], ["birads", "density", "shape", "margins"]] = None
    table.loc[table.index[4], "shape"] = "NEVER SEEN"
    found = word_log_odds(table)
    assert found.iloc[:3].isna().all()
    training = table[(table["split"] == "train") & found.notna()]
    names = ["birads", "density", "shape", "margins", "lesion_type"]
    indicators = pd.get_dummies(table[names].astype(str), dtype=float)
    columns = indicators.columns[(indicators.loc[training.index] > 0).any()]
    expected = LogisticRegression(C=1.0, max_iter=1000).fit(
        indicators.loc[training.index, columns], training["malignant"].astype(int)
    )
    scored = table.index[3:]
    assert found[scored].to_numpy() == pytest.approx(
        expected.decision_function(indicators.loc[scored, columns]), abs=1e-3
    )


def test_weights_are_fitted_on_validation_lesions_alone() -> None:
    table = lesions()
    first = by_name(fusion_candidates([model(table)], table))["net + BI-RADS"]
    inputs = np.column_stack([logit(model(table).runs[0]["score"]), assessment_log_odds(table)])
    validation = (table["split"] == "validation").to_numpy()
    label = table["malignant"].to_numpy(dtype=int)
    plain = LogisticRegression(C=np.inf).fit(inputs[validation], label[validation])
    weights = [first.coefficients[name] for name in ("logit_of_model", "log_odds_of_assessment", "intercept")]
    assert weights == pytest.approx([*plain.coef_[0], plain.intercept_[0]], abs=0.03)
    assert first.n_fitted == validation.sum()
    # Test labels, and what the model says of its own training lesions, change nothing.
    turned = table.copy()
    test = turned["split"] == "test"
    turned.loc[test, "malignant"] = 1 - turned.loc[test, "malignant"]
    boasting = model(table)
    boasting.runs[0].loc[table["split"] == "train", "score"] = label[table["split"] == "train"]
    second = by_name(fusion_candidates([boasting], turned))["net + BI-RADS"]
    assert second.coefficients == first.coefficients
    assert second.threshold == first.threshold
    pd.testing.assert_series_equal(first.runs[0].loc[test, "score"], second.runs[0].loc[test, "score"])


def test_the_threshold_is_the_one_of_validation() -> None:
    table = lesions()
    fused = by_name(fusion_candidates([model(table)], table))["net + reader's words"]
    validation = table["split"] == "validation"
    label, score = table.loc[validation, "malignant"].to_numpy(dtype=float), fused.runs[0].loc[validation, "score"]
    assert fused.threshold == choose_threshold(label, score.to_numpy()).value


def test_within_one_assessment_the_fusion_ranks_as_the_mean_over_seeds() -> None:
    table = lesions()
    seeds = model(table, seeds=3)
    fused = by_name(fusion_candidates([seeds], table))["net + BI-RADS"].runs[0]["score"]
    mean = np.mean([logit(run["score"]) for run in seeds.runs.values()], axis=0)
    alone = (table["birads"] == 4).to_numpy()
    assert (np.argsort(fused[alone].to_numpy()) == np.argsort(mean[alone])).all()


def test_the_fusion_is_better_than_either() -> None:
    table = lesions()
    test = (table["split"] == "test").to_numpy()
    label, once = table.loc[test, "malignant"].to_numpy(dtype=float), np.ones((1, int(test.sum())))
    found = by_name(fusion_candidates([model(table)], table))
    areas = {name: auc(label, one.runs[0]["score"].to_numpy()[test], once)[0] for name, one in found.items()}
    alone = auc(label, model(table).runs[0]["score"].to_numpy()[test], once)[0]
    reader = auc(label, assessment_log_odds(table).to_numpy()[test], once)[0]
    assert areas["net + BI-RADS"] > max(alone, reader) + 0.02
    assert areas["net + reader's words"] > areas[WORDS_ROW] + 0.02


def test_few_lesions_neither_turn_a_model_round_nor_leave_the_reader_out() -> None:
    table = lesions()
    few = table.assign(split=table["split"].where(table["split"] != "validation", "test"))
    few.loc[few.index[[2, 3, 8, 9]], "split"] = "validation"
    few.loc[few.index[[2, 3, 8, 9]], "malignant"] = [0, 1, 0, 1]
    few.loc[few.index[[2, 3, 8, 9]], "birads"] = [2, 5, 3, 4]
    opposed = model(table)
    opposed.runs[0].loc[few.index[[2, 3, 8, 9]], "score"] = [0.9, 0.1, 0.8, 0.2]
    found = by_name(fusion_candidates([opposed], few))["net + reader's words"].coefficients
    assert found["logit_of_model"] == 0
    assert found["log_odds_of_words"] > 0.3


def test_a_study_without_an_assessment_has_the_rows_with_their_reason() -> None:
    table = lesions().assign(**dict.fromkeys(("birads", "density", "shape", "margins"), None))
    found = fusion_candidates([model(table)], table)
    assert [one.model for one in found] == [WORDS_ROW, "net + BI-RADS", "net + reader's words"]
    assert all(one.scored(table).empty for one in found)
    assert "no words" in found[0].notes[0]
    assert "do not hold both classes" in found[1].notes[0]
    assert fusion_table(found).empty


def test_a_lesion_without_one_of_the_two_has_no_prediction() -> None:
    table = lesions()
    table.loc[table.index[4], "birads"] = None
    net = model(table)
    net.runs[0].loc[table.index[5], "score"] = np.nan
    fused = by_name(fusion_candidates([net], table))["net + BI-RADS"]
    assert sorted(set(table.index) - set(fused.scored(table))) == ["L0004", "L0005"]


def test_the_table_has_a_row_for_each_weight() -> None:
    table = lesions()
    rows = fusion_table(fusion_candidates([model(table)], table))
    assert rows["input"].tolist() == [
        "logit_of_model", "log_odds_of_assessment", "intercept", "logit_of_model", "log_odds_of_words", "intercept",
    ]  # fmt: skip
    assert (rows["n"] == (table["split"] == "validation").sum()).all()
