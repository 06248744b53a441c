from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, precision_score, roc_auc_score

from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.candidates import Candidate, classifier_titles, display_name
from mammoflow.evaluation.comparison import candidate_row, common_lesions, comparison_table, confusion_table
from mammoflow.evaluation.subgroups import subgroup_labels, subgroup_table

BOOTSTRAP = PatientBootstrap(300, 0.95, 0)
RANDOM = np.random.default_rng(4)
N = 80
LESIONS = pd.DataFrame(
    {
        "patient_id": [f"P{row // 2:02d}" for row in range(N)],
        "split": ["test"] * 60 + ["validation"] * 20,
        "malignant": pd.array(RANDOM.integers(0, 2, N), dtype="Int64"),
        "lesion_type": ["mass", "calcification"] * (N // 2),
        "density": pd.array([1, 2, None, 4] * (N // 4), dtype="Int64"),
        "birads": pd.array([3, 4, 4, 5] * (N // 4), dtype="Int64"),
        "diameter_mm": np.linspace(5, 40, N),
        "view": ["CC", "MLO"] * (N // 2),
        "subtlety": pd.array([None] * N, dtype="Int64"),
        "source": "one",
    },
    index=pd.Index([f"L{row:02d}" for row in range(N)], name="lesion_id"),
)
LABEL = LESIONS["malignant"].to_numpy(dtype=int)


def scores(strength: float, missing: int = 0) -> pd.DataFrame:
    score = strength * LABEL + RANDOM.normal(0, 1, N)
    score[:missing] = np.nan
    predicted = np.where(np.isnan(score), np.nan, (score > 0.5).astype(float))
    return pd.DataFrame({"score": score, "predicted": predicted}, index=LESIONS.index)


READER = Candidate("BI-RADS > 3", "reader", {0: scores(1.5)})
MODEL = Candidate("perceptron_frozen", "classifier", {0: scores(0.5), 1: scores(0.5), 2: scores(2.0)}, ("a note",))
GAPS = Candidate("radiomics features", "features", {0: scores(1.0, missing=10)})
NOTHING = Candidate("nothing", "classifier", {0: scores(1.0, missing=N)})
TEST = LESIONS[LESIONS["split"] == "test"]


def test_a_row_holds_what_an_independent_implementation_gives() -> None:
    row = candidate_row(READER, TEST, READER, BOOTSTRAP)
    label = TEST["malignant"].to_numpy(dtype=int)
    run = READER.runs[0].loc[TEST.index]
    assert row["auc"] == pytest.approx(roc_auc_score(label, run["score"]))
    assert row["accuracy"] == pytest.approx(accuracy_score(label, run["predicted"]))
    assert (row["n"], row["patients"], row["n_malignant"]) == (60, 30, label.sum())
    assert row["npv"] == pytest.approx(precision_score(1 - label, 1 - run["predicted"]))
    assert row["auc_low"] < row["auc"] < row["auc_high"]
    assert np.isnan(row["auc_difference"])
    assert np.isnan(row["auc_difference_p"])
    assert np.isnan(row["auc_seed_std"])


def test_seeds_are_averaged_and_their_spread_is_stated() -> None:
    row = candidate_row(MODEL, TEST, READER, BOOTSTRAP)
    label = TEST["malignant"].to_numpy(dtype=int)
    areas = [roc_auc_score(label, run.loc[TEST.index, "score"]) for run in MODEL.runs.values()]
    assert row["seeds"] == 3
    assert row["auc"] == pytest.approx(np.mean(areas))
    assert row["auc_seed_std"] == pytest.approx(np.std(areas, ddof=1))


def test_differences_are_paired_on_the_lesions_that_both_score() -> None:
    row = candidate_row(GAPS, TEST, READER, BOOTSTRAP)
    both = TEST.index[10:]
    label = TEST.loc[both, "malignant"].to_numpy(dtype=int)
    own, reader = (roc_auc_score(label, table.runs[0].loc[both, "score"]) for table in (GAPS, READER))
    assert row["n"] == row["n_paired"] == 50
    assert row["n_without_prediction"] == 10
    assert row["auc_difference"] == pytest.approx(own - reader)
    same = candidate_row(Candidate("copy", "classifier", READER.runs), TEST, READER, BOOTSTRAP)
    # No difference in any lesion says nothing about how far other patients would move it.
    for metric in ("auc", "accuracy"):
        assert same[f"{metric}_difference"] == 0
        assert np.isnan([same[f"{metric}_difference_{end}"] for end in ("low", "high", "p")]).all()


def test_a_model_without_predictions_keeps_its_row() -> None:
    table = comparison_table([READER, NOTHING], LESIONS, READER, BOOTSTRAP, "test", "phantom")
    row = table.set_index("model").loc["nothing"]
    assert (row["n"], row["n_paired"], row["n_without_prediction"]) == (0, 0, 60)
    assert np.isnan(row["auc"])
    assert np.isnan(row["auc_difference"])


def test_study_marks_stand_in_every_row() -> None:
    table = comparison_table([READER, MODEL], LESIONS, READER, BOOTSTRAP, "validation", "phantom")
    assert table["note"].tolist() == ["phantom", "phantom; a note"]
    assert table["n"].tolist() == [20, 20]
    assert (table["split"] == "validation").all()


def test_common_lesions_are_those_that_all_score() -> None:
    assert common_lesions([READER, GAPS, NOTHING], TEST).index.tolist() == TEST.index[10:].tolist()


def test_confusion_counts_every_seed() -> None:
    table = confusion_table([MODEL, GAPS], TEST, "phantom")
    assert table["seed"].tolist() == [0, 1, 2, 0]
    cells = table[["true_positive", "false_positive", "false_negative", "true_negative"]]
    assert cells.sum(axis=1).tolist() == [60, 60, 60, 50]
    run = MODEL.runs[2].loc[TEST.index, "predicted"]
    assert table["true_positive"][2] == ((run == 1) & (TEST["malignant"] == 1)).sum()


def test_subgroups_have_their_n_and_hold_what_is_not_known() -> None:
    labels = subgroup_labels(TEST)
    assert (labels["BI-RADS"] == "4 alone").sum() == 30
    assert (labels["breast density"] == "not known").sum() == 15
    table = subgroup_table([READER, MODEL], TEST, BOOTSTRAP, "phantom")
    densities = table[(table["grouping"] == "breast density") & (table["model"] == READER.model)]
    assert densities["group"].tolist()[-1] == "not known"
    assert densities["n"].sum() == 60
    unknown = subgroup_table([READER], TEST.assign(density=pd.NA), BOOTSTRAP, "")
    assert "breast density" not in set(unknown["grouping"])
    sizes = table[(table["grouping"] == "size") & (table["model"] == READER.model)]
    assert sizes["group"].tolist() == ["up to 10 mm", "10 to 20 mm", "over 20 mm"]
    assert sizes["n"].sum() == 60
    assert sizes["n_malignant"].sum() == TEST["malignant"].sum()
    masses = table[(table["group"] == "mass") & (table["model"] == READER.model)].iloc[0]
    part = TEST[TEST["lesion_type"] == "mass"]
    called = READER.runs[0].loc[part.index, "predicted"]
    assert masses["recall"] == pytest.approx(called[part["malignant"] == 1].mean())


def test_names_are_readable() -> None:
    titles = classifier_titles({"efficientnet_masked_crop": {"title": "EfficientNet-B0, crops"}, "mine": {}})
    assert display_name("efficientnet_masked_crop", titles) == "EfficientNet-B0, crops"
    assert display_name("perceptron_all_tuned", titles) == "perceptron all tuned"
    assert display_name("mine", titles) == "mine"
    assert display_name("BI-RADS > 3") == "BI-RADS > 3"
    assert (
        display_name("efficientnet_masked_crop + reader's words", titles) == "EfficientNet-B0, crops + reader's words"
    )
    shared = classifier_titles({"first": {"title": "ResNet"}, "second": {"title": "ResNet"}, "third": {"title": "VGG"}})
    assert shared == {"first": "ResNet (first)", "second": "ResNet (second)", "third": "VGG"}
    assert display_name("perceptron_all_tuned (mean of 2 seeds)", titles) == "perceptron all tuned (mean of 2 seeds)"
