from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.config.feature_models import FeatureModelSettings
from mammoflow.config.foreign import ForeignPredictions
from mammoflow.errors import ConfigError, StudyError
from mammoflow.evaluation import foreign
from mammoflow.evaluation.foreign_tables import match_scores


@pytest.fixture
def lesions() -> pd.DataFrame:
    """Four lesions of two patients: two on one image of the first patient, one on each view of the second."""
    images = ["A_L_CC", "A_L_CC", "B_R_CC", "B_R_MLO"]
    return pd.DataFrame(
        {
            "finding_id": ["A_1", "A_2", "B_1", "B_1"],
            "image_id": images,
            "patient_id": ["A", "A", "B", "B"],
            "laterality": ["L", "L", "R", "R"],
            "view": ["CC", "CC", "CC", "MLO"],
            "source": "made up",
            "image_path": [f"films/{image}.dcm" for image in images],
            "mask_path": [f"masks/{number}.png" for number in range(4)],
        },
        index=pd.Index(["A_1", "A_2", "B_1", "B_2"], name="lesion_id"),
    )


def asked(path: Path, text: str | bytes, **values: Any) -> ForeignPredictions:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return ForeignPredictions(**{"name": "Vendor AI", "table": str(path), **values})


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("lesion_id,score\nA_1,0.1\nA_2,0.2\nB_1,0.3\nB_2,0.4\n", {}, [0.1, 0.2, 0.3, 0.4]),
        ("File;Level\nA_L_CC;7,5\nB_R_CC;2,25\nB_R_MLO;9\n",
         {"key": "image_id", "columns": {"image_id": "File"}, "score": "Level"}, [7.5, 7.5, 2.25, 9]),
        ("patient_id\tscore\nA\t99\nB\t3\n", {"key": "patient_id"}, [99, 99, 3, 3]),
        ("patient_id,Side,score\nA,left,1\nB,Right,2\n",
         {"key": "breast", "columns": {"laterality": "Side"}}, [1, 1, 2, 2]),
        ("image,score\nfilms/A_L_CC.dcm,1\n./films/B_R_CC.dcm,2\nfilms\\B_R_MLO.dcm,3\n",
         {"key": "image"}, [1, 1, 2, 3]),
        ("image,score\n/data/A_L_CC.png,1\n/data/B_R_CC.png,2\n/data/B_R_MLO.png,3\n", {"key": "image"}, [1, 1, 2, 3]),
        ("patient_id,laterality,view,score\nA,L,cc,1\nB,rechts,CC,2\nB,R,R-MLO,3\n",
         {"key": ["patient_id", "laterality", "view"]}, [1, 1, 2, 3]),
        ("finding_id,score\nA_1,1\nA_2,2\nB_1,3\n", {"key": "finding_id"}, [1, 2, 3, 3]),
    ],
)  # fmt: skip
def test_lesions_take_the_score_of_their_key(
    lesions: pd.DataFrame, tmp_path: Path, text: str, values: dict[str, Any], expected: list[float]
) -> None:
    found = match_scores(asked(tmp_path / "vendor.csv", text, **values), lesions)
    assert found.scores.tolist() == expected
    assert found.problems.empty


def test_workbooks_and_parquet_are_read(lesions: pd.DataFrame, tmp_path: Path) -> None:
    table = pd.DataFrame({"lesion_id": lesions.index, "score": [1.5, 2.5, 3.5, 4.5]})
    table.to_excel(tmp_path / "vendor.xlsx", index=False)
    table.to_parquet(tmp_path / "vendor.parquet")
    for name in ("vendor.xlsx", "vendor.parquet"):
        found = match_scores(ForeignPredictions(name="V", table=str(tmp_path / name)), lesions)
        assert found.scores.tolist() == [1.5, 2.5, 3.5, 4.5]


def test_what_does_not_match_is_counted_and_listed(lesions: pd.DataFrame, tmp_path: Path) -> None:
    text = "lesion_id,score\nA_1,0.5\nX_9,0.5\nB_1,\nB_2,high\n,\n,0.3\n"
    found = match_scores(asked(tmp_path / "vendor.csv", text), lesions)
    assert found.scores.notna().tolist() == [True, False, False, False]
    listed = found.problems.set_index(["side", "value"])["problem"]
    assert listed["table", "B_1"] == "no score"
    assert "'high', expected a number" in listed["table", "B_2"]
    assert listed["table", "X_9"] == "no usable lesion of the run has this key"
    assert listed["table", ""] == "no key"
    assert listed["run"].index.tolist() == ["A_2", "B_1", "B_2"]
    assert "1 of 5 rows and 1 of 4 lesions matched" in found.notes
    assert found.problems["row"].str.contains("row 3").any()


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        ("lesion_id,score\nP1,0.5\nP2,0.1\n", {}, "the table has 'P1', 'P2'; the run has 'A_1', 'A_2', 'B_1'"),
        ("id,score\nA_1,1\n", {}, "lacks the columns lesion_id; found id, score"),
        ("lesion_id,score\nA_1,x\nB_1,\n", {}, "no row with a key and a score"),
        ("lesion_id,score\nA_1,inf\n", {}, "no row with a key and a score"),
        ("patient_id,score\nA,1\nA,3\nB,2\n", {"key": "patient_id"}, r"A: 1 \(vendor.csv row 2\), 3"),
    ],
)
def test_tables_that_cannot_be_used_stop_the_run(
    lesions: pd.DataFrame, tmp_path: Path, text: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        match_scores(asked(tmp_path / "vendor.csv", text, **values), lesions)


@pytest.mark.parametrize(("repeated", "score"), [("max", 3.0), ("mean", 2.0)])
def test_several_scores_of_a_key_are_joined_where_asked(
    lesions: pd.DataFrame, tmp_path: Path, repeated: str, score: float
) -> None:
    text = "patient_id,score\nA,1\nA,3\nB,2\nB,2\n"
    found = match_scores(asked(tmp_path / "v.csv", text, key="patient_id", repeated=repeated), lesions)
    assert found.scores["A_1"] == score


def test_numbers_of_images_without_suffix_are_no_suffix(lesions: pd.DataFrame, tmp_path: Path) -> None:
    named = lesions.assign(image_path=["d/1.2.31", "d/1.2.31", "d/1.2.32", "d/1.2.33"])
    found = match_scores(asked(tmp_path / "v.csv", "image,score\n1.2.31,1\n1.2.32,2\n1.2.33,3\n", key="image"), named)
    assert found.scores.tolist() == [1, 1, 2, 3]


@pytest.mark.parametrize(
    "values",
    [
        {"key": "row"},
        {"key": []},
        {"columns": {"image_id": "File"}},
        {"name": "a; b"},
        {"name": "$x_$"},
        {"threshold": float("nan")},
    ],
)
def test_settings_that_cannot_work_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ForeignPredictions(**{"name": "V", "table": "v.csv", **values})


def test_names_of_other_rows_are_refused() -> None:
    both = [ForeignPredictions(name="context_crop", table="v.csv")]
    with pytest.raises(ValueError, match=r"comparison.predictions.0.name is 'context_crop'"):
        ComparisonSettings(predictions=both).check_classifiers({"context_crop": 1})
    ComparisonSettings(predictions=both, fusion=["context_crop"]).check_classifiers({"another": 1})
    named = ComparisonSettings(predictions=both, feature_models=[FeatureModelSettings(name="context_crop")])
    with pytest.raises(ValueError, match=r"comparison.feature_models.0.name is 'context_crop'"):
        named.check_classifiers({"another": 1})


class _Run:
    """The two tables of a run that foreign predictions are matched to."""

    def __init__(self, lesions: pd.DataFrame) -> None:
        self.lesions = lesions.reset_index()
        self.images = pd.DataFrame({"image_id": lesions["image_id"], "image_path": lesions["image_id"] + ".dcm"})


@pytest.fixture
def labelled() -> pd.DataFrame:
    random = np.random.default_rng(3)
    number = np.arange(60)
    patients = pd.Series(number // 2).map("P{:02d}".format).to_numpy()
    return pd.DataFrame(
        {
            "finding_id": patients,
            "image_id": [f"{patient}_{place}" for patient, place in zip(patients, number, strict=True)],
            "patient_id": patients,
            "laterality": "L",
            "view": "CC",
            "source": "made up",
            "mask_path": "",
            "split": np.repeat(["train", "validation", "test"], 20),
            "malignant": random.permutation(np.tile([0, 1], 30)),
        },
        index=pd.Index([f"L{place}" for place in number], name="lesion_id"),
    )


def vendor(folder: Path, rows: pd.DataFrame, **values: Any) -> ForeignPredictions:
    scores = rows["malignant"] * 2.0 + np.arange(len(rows)) % 7
    table = pd.DataFrame({"lesion_id": rows.index, "score": scores})
    table.to_csv(folder / "vendor.csv", index=False)
    return ForeignPredictions(**{"name": "Vendor AI", "table": str(folder / "vendor.csv"), **values})


def candidate(settings: ForeignPredictions, labelled: pd.DataFrame) -> Any:
    run: Any = _Run(labelled)
    return foreign.foreign_candidates([settings], run, labelled)[0]


def test_threshold_is_chosen_on_validation_and_never_on_test(labelled: pd.DataFrame, tmp_path: Path) -> None:
    found = candidate(vendor(tmp_path, labelled), labelled)
    flipped = labelled.assign(malignant=labelled["malignant"].where(labelled["split"] != "test", 0))
    again = candidate(ForeignPredictions(name="Vendor AI", table=str(tmp_path / "vendor.csv")), flipped)
    assert np.isfinite(found.threshold)
    assert found.threshold == again.threshold
    assert foreign.FOREIGN in found.notes
    assert "threshold chosen on validation" in found.notes
    assert foreign.NO_PROBABILITY in found.notes


def test_a_scale_that_is_turned_round_is_noted(labelled: pd.DataFrame, tmp_path: Path) -> None:
    right = candidate(vendor(tmp_path, labelled), labelled)
    turned = candidate(vendor(tmp_path, labelled.assign(malignant=1 - labelled["malignant"])), labelled)
    assert foreign.REVERSED not in right.notes
    assert foreign.REVERSED in turned.notes


def test_a_given_threshold_is_used(labelled: pd.DataFrame, tmp_path: Path) -> None:
    found = candidate(vendor(tmp_path, labelled, threshold=4), labelled)
    run = found.runs[0]
    assert ((run["score"] >= 4) == (run["predicted"] == 1)).all()


def test_scores_of_test_lesions_alone_have_an_auc_and_no_decisions(labelled: pd.DataFrame, tmp_path: Path) -> None:
    found = candidate(vendor(tmp_path, labelled[labelled["split"] == "test"]), labelled)
    assert foreign.is_undecided(found)
    row = {"model": "Vendor AI", "auc": 0.7, "auc_low": 0.6, "accuracy": 0.5, "recall_low": 0.1, "threshold": np.nan}
    tables = {
        name: pd.DataFrame([row, row | {"model": "other"}]) for name in ("comparison", "confusion", "calibration")
    }
    cleaned = foreign.without_decisions(tables, [found])
    first = cleaned["comparison"].iloc[0]
    assert first["auc"] == 0.7
    assert first[["accuracy", "recall_low"]].isna().all()
    assert cleaned["comparison"].iloc[1]["accuracy"] == 0.5
    assert cleaned["confusion"]["model"].tolist() == cleaned["calibration"]["model"].tolist() == ["other"]


def test_order_is_kept_where_a_fusion_needs_probabilities(labelled: pd.DataFrame, tmp_path: Path) -> None:
    found = candidate(vendor(tmp_path, labelled), labelled)
    squeezed = foreign.for_fusion(found).runs[0]["score"]
    assert squeezed.between(0, 1).all()
    label = labelled["malignant"]
    assert roc_auc_score(label, squeezed) == roc_auc_score(label, found.runs[0]["score"])


def test_a_name_of_a_floor_is_refused(labelled: pd.DataFrame, tmp_path: Path) -> None:
    found = candidate(vendor(tmp_path, labelled, name="size alone"), labelled)
    with pytest.raises(ConfigError, match="size alone"):
        foreign.check_names([found, found])


def test_the_console_says_what_did_not_match(labelled: pd.DataFrame, tmp_path: Path) -> None:
    settings = vendor(tmp_path, labelled.iloc[:50])
    run: Any = _Run(labelled)
    (line,) = foreign.unmatched_lines(foreign.unmatched_table([settings], run))
    assert line.startswith("Vendor AI: 10 lesions have no score, for instance L50 (no score in the table), L51")
    assert foreign.unmatched_lines(foreign.unmatched_table([], run)) == []
