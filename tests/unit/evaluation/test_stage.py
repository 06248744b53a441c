from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.stats import false_discovery_control
from sklearn.metrics import roc_auc_score

from mammoflow.config.evaluation import ComparisonSettings
from mammoflow.errors import LeakageError, StudyError
from mammoflow.evaluation.all_candidates import all_candidates
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.drawing import put_title
from mammoflow.evaluation.flow import UNEXPLAINED, exclusions
from mammoflow.evaluation.inputs import read_run
from mammoflow.evaluation.oracles import ORACLE_MASKS
from mammoflow.evaluation.segmentation_tables import segmentation_table
from mammoflow.evaluation.stage import compare, figure_marks
from mammoflow.reasons.lesions import LesionReason
from mammoflow.reasons.prompts import PromptReason
from mammoflow.run.provenance import outside_imports
from mammoflow.storage.files import read_image
from mammoflow.tables.cohort import EXCLUDED
from mammoflow.tables.features import write_features
from mammoflow.tables.files import write_table

pytestmark = pytest.mark.long(20)

SETTINGS = ComparisonSettings(bootstrap=100, fewest_patients=2)
FLOORS = ["majority class", "assessment alone", "shape alone", "margins alone", "size alone"]
FIGURES = {
    "roc",
    "roc_panels",
    "precision_recall",
    "auc",
    "confusion",
    "reliability",
    "decision_curve",
    "forest",
    "dice_margin",
    "dice_iteration",
    "dice_diameter",
    "flow",
}
WIDTHS = {"roc_panels": 1748, "flow": 1444}
"""Pixels; every other figure has 1064."""


@pytest.fixture(scope="module")
def comparison(run: Any) -> Path:
    return Path(run.root / "comparison")


def headline(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "comparison.csv", index_col="model")


def test_every_model_and_floor_has_its_row(comparison: Path) -> None:
    table = headline(comparison)
    classifiers = ["efficientnet_masked_crop", "efficientnet_whole_image", "perceptron_frozen"]
    fusions = [f"{model} + {reader}" for model in classifiers for reader in ("BI-RADS", "reader's words")]
    assert table.index.tolist() == [
        "BI-RADS > 3", *classifiers, "perceptron_frozen (mean of 3 seeds)", "Reader's words", *fusions,
        "Gabor features", "Gabor features, boosted", "Radiomics features", "Radiomics features, boosted",
        "All features", *FLOORS,
    ]  # fmt: skip
    scored = table[table["n"] > 0]
    assert (scored[["accuracy_low", "accuracy_high"]].notna()).all(axis=None)
    assert (scored["accuracy_high"] > scored["accuracy_low"]).all()
    assert table[["n", "patients"]].notna().all(axis=None)
    assert (table["split"] == "test").all()
    assert table["note"].str.contains("phantom").all()
    assert table.loc["perceptron_frozen", "seeds"] == 3
    assert table.loc["efficientnet_whole_image", "n"] == 0
    assert "no prediction" in table.loc["efficientnet_whole_image", "note"]


def test_birads_row_is_what_the_lesion_table_gives(comparison: Path, run: Any) -> None:
    lesions = pd.read_parquet(run.cohort / "lesions.parquet")
    test = lesions[lesions["split"] == "test"]
    row = headline(comparison).loc["BI-RADS > 3"]
    called, label = test["birads"].astype(int) > 3, test["malignant"].astype(int) == 1
    assert row["n"] == len(test)
    assert row["accuracy"] == pytest.approx((called == label).mean(), abs=1e-5)
    assert row["recall"] == pytest.approx((called & label).sum() / label.sum(), abs=1e-5)
    assert row["auc"] == pytest.approx(roc_auc_score(label, test["birads"].astype(int)), abs=1e-5)
    assert "BI-RADS 0" in row["note"]


def test_lesions_without_features_lower_n_and_are_named(comparison: Path) -> None:
    table = headline(comparison)
    assert table.loc["Radiomics features", "n"] == table.loc["Gabor features", "n"] - 2
    assert table.loc["Radiomics features", "n_without_prediction"] == 2
    common = pd.read_csv(comparison / "comparison_common_lesions.csv", index_col="model")
    assert common["n"].replace(0, np.nan).nunique() == 1
    assert common.loc["BI-RADS > 3", "n"] == table.loc["Radiomics features", "n"]
    lost = pd.read_csv(comparison / "exclusions.csv")
    lost = lost[lost["stage"] == "radiomics"]
    assert set(lost["lesion_id"]) == {"P004_L_CC_1", "P004_L_MLO_1"}
    assert set(lost["detail"]) == {"region has fewer than 9 pixels"}


def test_flow_diagram_names_every_bad_file(comparison: Path) -> None:
    steps = json.loads((comparison / "flow.json").read_text())["steps"]
    cases = {case["path"]: step["step"] for step in steps for group in step["excluded"] for case in group["cases"]}
    assert cases["tables/row_17.dcm"] == "malignancy known"
    assert cases["broken/P900_R_CC.dcm"] == "Images and lesions that can be used"
    trunk = [step for step in steps if not step["branch"]]
    assert [step["lesions"] for step in trunk] == [62, 61, 60, 20]
    exclusions = pd.read_csv(comparison / "exclusions.csv")
    assert sum(group["count"] for step in steps for group in step["excluded"]) == len(exclusions)


@pytest.mark.parametrize(
    ("of_test", "of_all", "of_classifier", "leaking", "marks"),
    [
        (0, 9, None, False, ""),
        (2, 9, None, False, "test patients seen"),
        (0, 9, 1, True, "leaking split; test patients seen"),
    ],
)
def test_figures_are_marked_for_test_patients_that_a_model_has_seen(
    of_test: int, of_all: int, of_classifier: int | None, leaking: bool, marks: str
) -> None:
    masks = pd.DataFrame({"split": ["test", "all"], "patients_seen": [of_test, of_all]})
    tables = {"comparison": pd.DataFrame({"seen_test_patients": [of_classifier]}), "segmentation": masks}
    assert figure_marks(SimpleNamespace(leaking=leaking), tables) == marks  # type: ignore[arg-type]


def test_every_figure_is_a_picture_a_drawing_and_a_table(comparison: Path) -> None:
    found = {path.stem: read_image(path) for path in (comparison / "figures").glob("*.png")}
    assert set(found) == FIGURES
    assert {name: image.shape[1] for name, image in found.items()} == dict.fromkeys(FIGURES, 1064) | WIDTHS
    assert all(image.std() > 5 for image in found.values())
    for name in FIGURES:
        drawing = (comparison / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert "phantom" in drawing, name
        data = pd.read_csv(comparison / "figures" / f"{name}.csv")
        assert len(data) > 0, name
        assert (data["figure_marks"] == "phantom").all(), name


def test_titles_name_phantoms() -> None:
    figure = Figure()
    put_title(figure, "ROC", phantom=True)
    assert figure.get_suptitle() == "ROC (phantom)"
    put_title(figure, "ROC", phantom=False)
    assert figure.get_suptitle() == "ROC"


def test_the_same_run_gives_the_same_tables_also_after_another_configuration(
    comparison: Path, run: Any, compare_tables: Callable[..., None], tmp_path: Path
) -> None:
    of_others = ("comparison_by_fold", "classes", "class_confusion", "class_differences")
    for name in of_others:
        (tmp_path / f"{name}.csv").write_text("model\nold\n", encoding="utf-8")
    compare_tables(output=tmp_path, **run.inputs())
    assert {path.name for path in tmp_path.glob("*.*")} == {path.name for path in comparison.glob("*.*")}
    for path in comparison.glob("*.*"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_features_table_separates_by_label_on_training_lesions(comparison: Path, run: Any) -> None:
    table = pd.read_csv(comparison / "features.csv", index_col="feature")
    lesions = pd.concat([pd.read_parquet(folder / "lesions.parquet") for folder in run.images])
    training = lesions[lesions["split"] == "train"].set_index("lesion_id")
    assert (table["rows"] == "train").all()
    assert (table["n"] == len(training)).all()
    similarity = table.loc["gabor_similarity"]
    gabor = pd.concat([pd.read_parquet(path) for path in run.features if path.parent.name == "gabor"])
    value = gabor.set_index("lesion_id")["gabor_similarity"].reindex(training.index)
    assert similarity["auc"] == pytest.approx(roc_auc_score(training["malignant"].astype(int), value), abs=1e-5)
    assert similarity["mean_malignant"] < similarity["mean_benign"]


def test_each_feature_has_a_p_value_and_the_rate_over_all_families(comparison: Path) -> None:
    table = pd.read_csv(comparison / "features.csv")
    assert table["p_value"].between(0, 1).all()
    expected = false_discovery_control(table["p_value"].to_numpy())
    assert table["false_discovery_rate"].to_numpy() == pytest.approx(expected, rel=1e-4)
    assert table["family"].nunique() == 2


def test_a_further_feature_family_has_its_rows_everywhere(
    write_run: Callable[..., Any], compare_tables: Callable[..., None], tmp_path: Path
) -> None:
    run = write_run(tmp_path, patients=12)
    tables = [path for path in run.features if path.parent.name == "gabor"]
    for path in tables:
        table = pd.read_parquet(path)
        table = table.rename(columns=lambda name: name.replace("gabor_", "box_counting_"))
        table.loc[table["patient_id"] == "P000", ["status", "detail"]] = ["mask is empty", "no pixel"]
        columns = [name for name in table if name.startswith("box_counting_")]
        output = path.parents[1] / "box_counting" / path.name
        write_features(table.to_dict("records"), "box_counting", columns, (), output)
        run.features.append(output)
    run.predictions.clear()  # a run may have no classifier
    compare_tables(output=tmp_path / "comparison", **run.inputs())
    rows = headline(tmp_path / "comparison")
    assert rows.loc["Box counting features", "auc"] == rows.loc["Gabor features", "auc"]
    features = pd.read_csv(tmp_path / "comparison" / "features.csv")
    assert (features["family"] == "box_counting").sum() == (features["family"] == "gabor").sum() == 3
    lost = pd.read_csv(tmp_path / "comparison" / "exclusions.csv")
    assert set(lost.loc[lost["stage"] == "box_counting", "patient_id"]) == {"P000"}
    steps = json.loads((tmp_path / "comparison" / "flow.json").read_text())["steps"]
    step = next(step for step in steps if step["step"] == "Box counting features defined")
    assert step["lesions"] == 22
    assert step["excluded"][0]["reason"] == "mask is empty"


def test_a_study_of_boxes_without_birads_is_compared(write_run: Callable[..., Any], tmp_path: Path) -> None:
    write_run(tmp_path, compared=True, figures="drawn", patients=12, phantom=False, with_birads=False, with_masks=False)
    table = headline(tmp_path / "comparison")
    assert table.loc["BI-RADS > 3", "n"] == 0
    assert "no BI-RADS" in table.loc["BI-RADS > 3", "note"]
    assert table.loc["assessment alone", "n"] == 0
    assert table.loc["perceptron_frozen", "n"] == 8
    assert not table["note"].fillna("").str.contains("phantom").any()
    assert "reference box" in table.loc["size alone", "note"]
    assert pd.read_csv(tmp_path / "comparison" / "segmentation.csv").empty
    assert {path.stem for path in (tmp_path / "comparison" / "figures").glob("*.png")} == FIGURES


def test_lost_lesions_are_found_out(write_run: Callable[..., Any], tmp_path: Path) -> None:
    run = write_run(tmp_path, patients=12)
    (tmp_path / "images" / "00" / "excluded.parquet").unlink()
    empty = pd.read_parquet(tmp_path / "images" / "01" / "excluded.parquet")
    empty.to_parquet(tmp_path / "images" / "00" / "excluded.parquet")
    tables = read_run(**run.inputs())
    lost = exclusions(tables, tables.lesions.set_index("lesion_id"), [])
    assert lost.loc[lost["reason"] == UNEXPLAINED, "lesion_id"].tolist() == ["P900_R_CC_1"]


def test_every_lesion_lost_on_the_way_to_the_table_has_a_reason_in_a_run_without_features(
    write_run: Callable[..., Any], compare_tables: Callable[..., None], tmp_path: Path
) -> None:
    run = write_run(tmp_path, patients=12)
    run.features.clear()  # a run may have none
    lesions = pd.concat([pd.read_parquet(folder / "lesions.parquet") for folder in run.images])
    test = lesions[lesions["split"] == "test"]
    unprompted, unread = test["lesion_id"].iloc[:2], test["lesion_id"].iloc[2]
    rows = [
        {"stage": "prompts", "level": level, "lesion_id": lesion, "image_id": "", "patient_id": "", "path": "boxes.csv"}
        | {"reason": str(reason), "detail": "row 3"}
        for level, lesion, reason in [
            *(("lesion", lesion, PromptReason.NO_PROMPT) for lesion in unprompted),
            ("row", unread, LesionReason.BOX_INVALID),
        ]
    ]
    write_table(pd.DataFrame(rows), EXCLUDED, tmp_path / "prompts" / "00.parquet")
    for folder in run.segmentation:
        masks = pd.read_parquet(folder / "masks.parquet")
        masks[~masks["lesion_id"].isin(unprompted)].to_parquet(folder / "masks.parquet")
    for path in run.predictions:
        table = pd.read_parquet(path)
        table[~table["lesion_id"].isin(unprompted)].to_parquet(path)
    for folder in run.images:
        table = pd.read_parquet(folder / "lesions.parquet")
        table.loc[table["lesion_id"] == unread, "birads"] = None
        table.to_parquet(folder / "lesions.parquet")
    output = tmp_path / "comparison"
    compare_tables(output=output, prompts=[tmp_path / "prompts" / "00.parquet"], **run.inputs())
    steps = {step["step"]: step for step in json.loads((output / "flow.json").read_text())["steps"]}
    prompted = steps["Lesions with a prompt"]
    assert prompted["lesions"] == len(lesions) - 2
    reasons = {(group["reason"], group["level"]): group["count"] for group in prompted["excluded"]}
    assert reasons == {(str(PromptReason.NO_PROMPT), "lesion"): 2, (str(LesionReason.BOX_INVALID), "row"): 1}
    segmented = steps["Segmented by small"]
    assert [(group["reason"], group["count"]) for group in segmented["excluded"]] == [(str(PromptReason.NO_PROMPT), 2)]
    cases = [case["lesion_id"] for group in steps["With BI-RADS > 3"]["excluded"] for case in group["cases"]]
    assert cases == [unread]
    lost = pd.read_csv(output / "exclusions.csv")
    assert sum(group["count"] for step in steps.values() for group in step["excluded"]) == len(lost)
    assert not headline(output).index.str.contains("features").any()
    assert pd.read_csv(output / "features.csv").empty
    for model, row in headline(output).loc[["BI-RADS > 3", "efficientnet_masked_crop", "perceptron_frozen"]].iterrows():
        of_model = lost[lost["detail"] == model]
        assert row["n"] == len(test) - len(of_model), model


def test_predictions_of_another_split_are_refused(write_run: Callable[..., Any], tmp_path: Path) -> None:
    run = write_run(tmp_path, patients=12)
    path = run.predictions[0]
    table = pd.read_parquet(path)
    table["split"] = table["split"].replace({"test": "train"})
    table.to_parquet(path)
    with pytest.raises(StudyError, match=r"efficientnet_masked_crop say split 'train'.*the cohort says 'test'"):
        compare(SETTINGS, output=tmp_path / "comparison", **run.inputs())
    table["lesion_id"] += "_gone"
    table.to_parquet(path)
    with pytest.raises(StudyError, match="lesions that the images do not"):
        compare(SETTINGS, output=tmp_path / "comparison", **run.inputs())
    assert not (tmp_path / "comparison").exists()


def test_a_patient_on_two_sides_stops_the_comparison(write_run: Callable[..., Any], tmp_path: Path) -> None:
    run = write_run(tmp_path, patients=12)
    path = tmp_path / "images" / "00" / "lesions.parquet"
    table = pd.read_parquet(path)
    table.loc[0, "split"] = "validation"
    table.to_parquet(path)
    with pytest.raises(LeakageError, match="P000"):
        compare(SETTINGS, output=tmp_path / "comparison", **run.inputs())


def test_constant_outputs_are_noted(write_run: Callable[..., Any], tmp_path: Path) -> None:
    run = write_run(tmp_path, patients=12)
    record = run.predictions[0].parent / "training.json"
    record.write_text(json.dumps({"constant": True, "note": "published protocol"}))
    tables = read_run(**run.inputs())
    candidates = all_candidates(SETTINGS, tables, tables.lesions.set_index("lesion_id"))
    for note in ("its outputs are nearly constant", "published protocol"):
        assert [one.model for one in candidates if note in one.notes] == [record.parent.name]


def test_oracles_are_marked(write_run: Callable[..., Any], tmp_path: Path) -> None:
    run = write_run(tmp_path, patients=12)
    for folder in run.segmentation:
        table = pd.read_parquet(folder / "scores.parquet")
        table.assign(choice="oracle").to_parquet(folder / "scores.parquet")
    record = run.predictions[0].parent / "training.json"
    record.write_text(json.dumps({"sees_reference_mask": True}))
    tables = read_run(**run.inputs())
    lesions = tables.lesions.set_index("lesion_id")
    notes = {candidate.model: " ".join(candidate.notes) for candidate in all_candidates(SETTINGS, tables, lesions)}
    assert notes["efficientnet_masked_crop"] == "oracle: sees the reference mask"
    assert ORACLE_MASKS in notes["perceptron_frozen"]
    assert ORACLE_MASKS in notes["Gabor features"]
    assert "oracle" not in notes["size alone"]
    assert "oracle" not in notes["BI-RADS > 3"]
    table = segmentation_table(tables.scores, lesions, PatientBootstrap(100, 0.95, 0))
    marked = table[table["mark"] == "oracle"]
    assert (marked["selection"] == "chosen").all()
    assert set(marked["model"]) == {"small", "sam2.1_hiera_tiny"}


def test_comparing_needs_no_torch() -> None:
    assert "torch" not in outside_imports("mammoflow.evaluation.stage", "mammoflow.report.stage")
