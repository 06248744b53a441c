from __future__ import annotations

import io
from typing import Any

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.evaluation import stage
from mammoflow.evaluation.all_candidates import all_candidates
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.comparison import candidate_row
from mammoflow.evaluation.discordant import discordant_table
from mammoflow.evaluation.inputs import labelled_lesions, read_run
from mammoflow.evaluation.predictions_file import COLUMNS, predictions_table
from mammoflow.tables.files import write_csv


def inputs(run: Any) -> dict[str, Any]:
    """Return the parts of a run without features, whose models take most of the time."""
    return run.inputs() | {"features": []}


@pytest.fixture(scope="module")
def compared(run: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Candidates of the made-up run with the scores of another tool, by patient, from 1 to 10."""
    folder = tmp_path_factory.mktemp("vendor")
    read = read_run(**inputs(run))
    patients = read.lesions.groupby("patient_id")["malignant"].max().reset_index()
    patients["Level"] = [f"{5 + 2 * value + number % 4},5" for number, value in enumerate(patients["malignant"])]
    patients[["patient_id", "Level"]].to_csv(folder / "vendor.csv", index=False, sep=";")
    tool = {"name": "Vendor AI", "table": str(folder / "vendor.csv"), "key": "patient_id", "score": "Level"}
    settings = ComparisonSettings(bootstrap=100, predictions=[tool])
    lesions = labelled_lesions(read)
    candidates = all_candidates(settings, read, lesions)
    write_csv(folder / "predictions.csv", predictions_table(candidates, read, {}), digits=17)
    return settings, read, lesions, candidates, folder / "predictions.csv"


def test_the_file_gives_the_areas_of_the_comparison(compared: Any) -> None:
    settings, _, lesions, candidates, path = compared
    table = pd.read_csv(path)
    assert [*table.columns] == COLUMNS
    test = lesions[lesions["split"] == "test"]
    by_model = dict(list(table[(table["split"] == "test") & table["malignant"].notna()].groupby("model")))
    rule = PatientBootstrap(100, settings.confidence, settings.seed)
    scored = [one for one in candidates if len(one.scored(test))]
    assert len(scored) > 8
    assert "Vendor AI" in by_model
    for one in scored:
        row = candidate_row(one, test, candidates[0], rule)
        seeds = [part for _, part in by_model[one.model].groupby("seed")]
        areas = [roc_auc_score(part["malignant"], part["score"]) for part in seeds]
        right = [(part["predicted"] == part["malignant"]).mean() for part in seeds]
        assert sum(areas) / len(areas) == pytest.approx(row["auc"], abs=1e-12)
        assert sum(right) / len(right) == pytest.approx(row["accuracy"], abs=1e-12)


def test_every_level_has_its_key_and_every_row_its_marks(compared: Any) -> None:
    _, read, _, _, path = compared
    table = pd.read_csv(path, dtype={"fold": str})
    assert not table.duplicated(["lesion_id", "model", "seed"]).any()
    assert set(table["split"]) == {"train", "validation", "test"}
    first = table.iloc[0]
    lesion = read.lesions.set_index("lesion_id").loc[first["lesion_id"]]
    assert first["breast_id"] == f"{lesion['patient_id']}_{lesion['laterality']}"
    assert (first["finding_id"], first["image_id"]) == (lesion["finding_id"], lesion["image_id"])
    assert (table["phantom"] == 1).all()
    tool = table[table["model"] == "Vendor AI"]
    assert (tool["foreign"] == 1).all()
    assert tool["probability"].isna().all()
    assert tool["score"].max() > 1
    assert (tool["predicted"] == (tool["score"] >= tool["threshold"])).all()
    assert (table.loc[table["model"] == "size alone", "foreign"] == 0).all()
    assert table.loc[table["family"] == "classifier", "probability"].notna().any()


def test_discordant_lesions_are_those_that_one_of_the_two_gets_right(compared: Any) -> None:
    _, read, lesions, candidates, path = compared
    test = lesions[lesions["split"] == "test"]
    found = discordant_table(candidates, test, pd.Index(read.lesions["lesion_id"]), "phantom")
    table = pd.read_csv(path)
    table = table[table["split"] == "test"].assign(right=lambda rows: rows["predicted"] == rows["malignant"])
    reader = table[table["model"] == "BI-RADS > 3"].set_index("lesion_id")["right"]
    tool = table[table["model"] == "Vendor AI"].set_index("lesion_id")["right"]
    of_tool = found[found["model"] == "Vendor AI"].set_index("lesion_id")
    expected = tool.index[tool & ~reader.reindex(tool.index, fill_value=True)]
    assert set(of_tool.index[of_tool["right"] == "model"]) == set(expected)
    assert len(of_tool) == (tool != reader.reindex(tool.index)).sum()
    assert "size alone" not in set(found["model"])


def test_the_stage_writes_the_tool_with_its_marks(
    compared: Any, run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "write_figures", lambda *_: None)
    settings, read, _, _, path = compared
    given = pd.read_csv(io.StringIO((path.parent / "vendor.csv").read_text(encoding="utf-8")), sep=";", dtype=str)
    test = set(read.lesions.loc[read.lesions["split"] == "test", "patient_id"])
    given[given["patient_id"].isin(test)].to_csv(path.parent / "test_alone.csv", index=False, sep=";")
    values = settings.predictions[0].model_dump() | {"table": str(path.parent / "test_alone.csv")}
    output = path.parent / "comparison"
    stage.compare(ComparisonSettings(bootstrap=100, predictions=[values]), output=output, **inputs(run))
    row = pd.read_csv(output / "comparison.csv", index_col="model").loc["Vendor AI"]
    assert row["n"] == len(read.lesions[read.lesions["split"] == "test"])
    assert row[["accuracy", "recall", "threshold"]].isna().all()
    assert 0 < row["auc"] <= 1
    assert "training patients unknown" in row["note"]
    assert "Vendor AI" not in set(pd.read_csv(output / "confusion.csv")["model"])
    table = pd.read_csv(output / "predictions.csv")
    assert table.loc[table["model"] == "Vendor AI", ["predicted", "threshold"]].isna().all(axis=None)
    assert "Vendor AI" not in set(pd.read_csv(output / "discordant.csv")["model"])
    assert "lesions have no score" in capsys.readouterr().err
    assert set(pd.read_csv(output / "foreign_unmatched.csv")["side"]) == {"run"}
    tested = pd.read_csv(output / "auc_tests.csv")
    assert ((tested["model_a"] == "Vendor AI") & (tested["model_b"] == "BI-RADS > 3")).any()
