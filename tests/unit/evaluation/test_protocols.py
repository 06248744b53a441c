"""Two protocols on the same models: the price of a leak from the predictions of two runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score

from mammoflow.cli import main
from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.config.row_names import IDENTITY_ROW
from mammoflow.errors import StudyError
from mammoflow.evaluation.delong import area, area_difference, components
from mammoflow.evaluation.protocols import compare_protocols

N = 200
STRENGTHS = {"leaky": 2.0, "clean": 0.8}


def lesions() -> pd.DataFrame:
    random = np.random.default_rng(0)
    patients = np.arange(N) // 2
    label = (random.random(N // 2) < 0.5)[patients].astype(int)
    return pd.DataFrame(
        {"lesion_id": [f"L{row:03d}" for row in range(N)], "patient_id": [f"{row:04d}" for row in patients],
         "malignant": label}
    )  # fmt: skip


def predictions(rows: pd.DataFrame, leaking: bool, seed: int) -> pd.DataFrame:
    """Return the predictions of a model of two seeds, of a tool without a threshold and, if it leaks, of the floor."""
    random = np.random.default_rng(seed)
    strength = STRENGTHS["leaky" if leaking else "clean"]
    parts = []
    models = [("net", "classifier", 0), ("net", "classifier", 1), ("tool", "classifier", 0), ("size alone", "floor", 0)]
    for model, family, number in models + [(IDENTITY_ROW, "floor", 0)] * leaking:
        score = strength * rows["malignant"] + random.normal(0, 1, len(rows))
        parts.append(
            rows.assign(
                model=model, title=model.title(), family=family, seed=number, score=score,
                predicted=np.nan if model == "tool" else (score > 0.5).astype(int), leaking=int(leaking),
                oracle=int(leaking and model == "net"), split="test",
                fold=np.nan if leaking else np.arange(len(rows)) % 2,
            )
        )  # fmt: skip
    other = rows.head(4).assign(
        model="net", title="Net", family="classifier", seed=0, score=9.0, predicted=1, leaking=int(leaking), oracle=0,
        split="train", fold=0, lesion_id=["T1", "T2", "T3", "T4"],
    )  # fmt: skip
    return pd.concat([*parts, other], ignore_index=True)


def write(folder: Path, rows: pd.DataFrame, leaking: bool, seed: int) -> pd.DataFrame:
    (folder / "comparison").mkdir(parents=True)
    (folder / "cohort").mkdir()
    table = predictions(rows, leaking, seed)
    table.to_csv(folder / "comparison" / "predictions.csv", index=False, float_format="%.17g")
    note = "leaking split" if leaking else ""
    headline = pd.DataFrame({"model": table["model"].unique(), "note": note, "seen_test_patients": np.nan})
    headline.to_csv(folder / "comparison" / "comparison.csv", index=False)
    settings = ComparisonSettings(bootstrap=100, fewest_patients=2).model_dump(mode="json")
    (folder / "comparison" / "provenance.json").write_text(json.dumps({"comparison": settings}))
    split = {"method": "by_image" if leaking else "kfold"}
    (folder / "cohort" / "study.json").write_text(json.dumps({"split": split}))
    return table[table["split"] == "test"]


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path, pd.DataFrame, pd.DataFrame]:
    """A leaking run that tests 80 lesions, and a clean one that tests all."""
    every = lesions()
    first = write(tmp_path / "leaky", every.iloc[:80], True, 1)
    second = write(tmp_path / "clean", every, False, 2)
    return tmp_path / "leaky", tmp_path / "clean", first, second


def mean_auc(table: pd.DataFrame, model: str) -> float:
    seeds = table[table["model"] == model].groupby("seed")
    return float(np.mean([roc_auc_score(part["malignant"], part["score"]) for _, part in seeds]))


def test_the_price_is_the_difference_over_all_and_over_shared_lesions(
    runs: tuple[Path, Path, pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    first, second = runs[2:]
    table = compare_protocols(runs[0], runs[1], tmp_path / "out").set_index("model")
    row = table.loc["net"]
    assert row["first_auc"] == pytest.approx(mean_auc(first, "net"))
    assert row["second_auc"] == pytest.approx(mean_auc(second, "net"))
    assert row["price_auc"] == pytest.approx(mean_auc(first, "net") - mean_auc(second, "net"))
    assert row["price_auc_low"] < row["price_auc"] < row["price_auc_high"]
    accuracy = [(one["predicted"] == one["malignant"])[one["model"] == "net"].mean() for one in (first, second)]
    assert row["price_accuracy"] == pytest.approx(accuracy[0] - accuracy[1])
    assert row["price_accuracy_low"] < row["price_accuracy"] < row["price_accuracy_high"]
    shared = second[second["lesion_id"].isin(first["lesion_id"])]
    assert (row["shared_lesions"], row["shared_patients"]) == (80, 40)
    assert row["shared_second_auc"] == pytest.approx(mean_auc(shared, "net"))
    label = shared.loc[shared["model"] == "size alone", "malignant"].to_numpy(dtype=float)
    patients = shared.loc[shared["model"] == "size alone", "patient_id"].tolist()
    ranked = [
        components(label, [part["score"].to_numpy() for _, part in one[one["model"] == "net"].groupby("seed")])
        for one in (first, shared)
    ]
    expected = area_difference(label, ranked[0], ranked[1], patients)
    assert (row["shared_price_auc"], row["shared_price_auc_p"]) == pytest.approx((expected.value, expected.p_value))


def test_marks_splits_and_the_floor_are_beside_each_side(
    runs: tuple[Path, Path, pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    table = compare_protocols(runs[0], runs[1], tmp_path / "out").set_index("model")
    row = table.loc["net"]
    assert row[["first_split", "second_split"]].tolist() == ["by_image", "kfold"]
    assert row[["first_leaking", "second_leaking", "first_oracle", "second_oracle"]].tolist() == [True, False] * 2
    assert row["first_note"] == "leaking split"
    assert row[["first_n", "second_n", "first_patients", "second_patients"]].tolist() == [80, 200, 40, 100]
    assert row["first_identity_auc"] == pytest.approx(mean_auc(runs[2], IDENTITY_ROW))
    assert row["second_identity_auc"] == 0.5
    assert np.isnan(row["first_auc_within_folds"])
    folds = runs[3][runs[3]["model"] == "size alone"].groupby("fold")
    expected = np.mean([roc_auc_score(part["malignant"], part["score"]) for _, part in folds])
    assert table.loc["size alone", "second_auc_within_folds"] == pytest.approx(expected)
    assert IDENTITY_ROW not in table.index
    assert np.isnan(table.loc["tool", "price_accuracy"])
    assert np.isfinite(table.loc["tool", "price_auc"])
    assert (tmp_path / "out" / "protocol_comparison.csv").is_file()


def test_runs_of_different_patients_are_independent_and_of_the_same_ones_are_paired(tmp_path: Path) -> None:
    every = lesions()
    tables = [write(tmp_path / name, rows, False, seed) for name, rows, seed in
              (("a", every.iloc[:100], 1), ("b", every.iloc[100:], 2))]  # fmt: skip
    row = compare_protocols(tmp_path / "a", tmp_path / "b", tmp_path / "out").set_index("model").loc["size alone"]
    errors = []
    for table in tables:
        part = table[table["model"] == "size alone"]
        errors.append(area(part["malignant"].to_numpy(float), [part["score"].to_numpy()], part["patient_id"].tolist()))
    expected = 1.96 * np.hypot(errors[0].error, errors[1].error)
    assert (row["price_auc_high"] - row["price_auc_low"]) / 2 == pytest.approx(expected, rel=0.02)
    assert (row["shared_lesions"], np.isnan(row["shared_price_auc"])) == (0, True)
    again = compare_protocols(tmp_path / "a", tmp_path / "a", tmp_path / "out").set_index("model").loc["size alone"]
    assert again["price_auc"] == 0
    assert np.isnan(again["price_auc_low"])
    assert again["price_accuracy"] == 0
    assert np.isnan(again[["price_accuracy_low", "price_accuracy_high", "price_accuracy_p"]].astype(float)).all()


@pytest.mark.parametrize("seed", range(4))
def test_p_value_and_interval_of_the_price_agree(tmp_path: Path, seed: int) -> None:
    every = lesions()
    for name, rows in (("a", every.iloc[: 40 + 20 * seed]), ("b", every.iloc[20:])):
        write(tmp_path / name, rows, name == "a", 10 * seed + len(rows))
    table = compare_protocols(tmp_path / "a", tmp_path / "b", tmp_path / "out")
    for name in ("price_auc", "price_accuracy"):
        tested = table[table[f"{name}_p"].notna()]
        assert len(tested)
        within = (tested[f"{name}_low"] <= 0) & (tested[f"{name}_high"] >= 0)
        assert ((tested[f"{name}_p"] < 0.05) == ~within).all()


def test_the_command_prints_a_line_for_each_model_and_wrong_runs_are_refused(
    runs: tuple[Path, Path, pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    result = CliRunner().invoke(main, ["protocols", *map(str, runs[:2]), "--output", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "Net: AUC" in result.output
    (runs[0] / "comparison" / "provenance.json").unlink()
    with pytest.raises(StudyError, match="finished run"):
        compare_protocols(runs[0], runs[1], tmp_path / "out")
    write(tmp_path / "other", lesions().assign(malignant=lambda rows: 1 - rows["malignant"]), False, 3)
    with pytest.raises(StudyError, match="another patient or label"):
        compare_protocols(tmp_path / "other", runs[1], tmp_path / "out")
    renamed = pd.read_csv(runs[1] / "comparison" / "predictions.csv", dtype={"patient_id": str})
    write(tmp_path / "third", lesions(), False, 3)
    renamed.assign(model="mine").to_csv(tmp_path / "third" / "comparison" / "predictions.csv", index=False)
    with pytest.raises(StudyError, match="no model of the same name"):
        compare_protocols(tmp_path / "third", runs[1], tmp_path / "out")
