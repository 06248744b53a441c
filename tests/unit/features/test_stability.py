from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammoflow.config.features import FeaturesSettings
from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.stability import StabilitySettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import StudyError
from mammoflow.evaluation import stability_masks as stability_masks_module
from mammoflow.evaluation import stability_stage
from mammoflow.evaluation.icc import icc_2_1
from mammoflow.evaluation.stability_masks import Segmenter, _prompts, drawn_lesions, masks_of_other_boxes
from mammoflow.evaluation.stability_stage import stability
from mammoflow.evaluation.stability_values import REFERENCE, Job, feature_values
from mammoflow.features.families.radiomics import Options, open_family
from mammoflow.features.lesion_patch import PatchFiles
from mammoflow.features.perturbations import resized_mask
from mammoflow.planning.features import resegments, stability_arguments, stability_masks, stability_modules
from mammoflow.tables.stability import STABILITY
from mammoflow.weights.registry import ModelSpec

from .conftest import Lesion

OPTIONS = Options(classes=["shape2D", "firstorder"], spacing_mm=1.0, mask="reference")
FEW = StabilitySettings(rotations_deg=[5.0], spacing_share=0.1)


@pytest.fixture
def shard(make_shard):
    return make_shard([Lesion(seed=seed, radius=5.0 + seed, spacing=1.0) for seed in range(6)])


def settings_of(**values: object) -> FeaturesSettings:
    return FeaturesSettings.model_validate(
        {"run": ["radiomics"], "families": {"radiomics": OPTIONS.model_dump()}, **values}
    )


def test_lesions_are_of_training_and_each_of_another_patient():
    rows = [(f"L{patient}{view}", f"P{patient}") for patient in range(30) for view in "ab"]
    lesions = pd.DataFrame(rows, columns=["lesion_id", "patient_id"])
    lesions["split"] = np.where(lesions["patient_id"].isin(["P3", "P5"]), "test", "train")
    lesions["malignant"] = pd.array([0, 1] * 30, dtype="Int64")
    chosen = drawn_lesions(StabilitySettings(lesions=20), lesions)
    patients = lesions.set_index("lesion_id").loc[chosen, "patient_id"]
    assert len(chosen) == patients.nunique() == 20
    assert not {"P3", "P5"} & set(patients)
    assert drawn_lesions(StabilitySettings(lesions=20), lesions[::-1]) == chosen
    assert len(drawn_lesions(StabilitySettings(lesions=100), lesions)) == 28


def test_lesions_of_unknown_malignancy_are_drawn_only_where_no_lesion_has_a_label():
    lesions = pd.DataFrame({"lesion_id": list("abcd"), "patient_id": list("ABCD"), "split": "train"})
    lesions["malignant"] = pd.array([1, None, 0, None], dtype="Int64")
    assert drawn_lesions(StabilitySettings(), lesions) == ["a", "c"]
    unlabelled = lesions.assign(malignant=pd.array([None] * 4, dtype="Int64"))
    assert drawn_lesions(StabilitySettings(), unlabelled) == ["a", "b", "c", "d"]
    labelled_test = pd.concat([unlabelled, lesions.assign(lesion_id=list("efgh"), split="test")])
    assert drawn_lesions(StabilitySettings(), labelled_test) == ["a", "b", "c", "d"]


def test_values_under_each_condition_are_those_of_the_changed_patch(shard):
    job = Job("radiomics", OPTIONS, FEW, shard.images, None)
    columns, values = feature_values([(job, ["lesion-1", "lesion-4"])], 1)
    assert set(values) == {
        REFERENCE, "mask +1 px", "mask -1 px", "rotation +5 deg", "spacing too small", "spacing too large",
    }  # fmt: skip
    files = PatchFiles(shard.images, None, "reference", 1.0)
    row = open_family(OPTIONS, "cpu")(resized_mask(files.read(4), 1))
    np.testing.assert_allclose(values["mask +1 px"][1], [row[name] for name in columns])
    area = columns.index("radiomics_original_shape2D_PixelSurface")
    assert values["mask +1 px"][0, area] > values[REFERENCE][0, area] > values["mask -1 px"][0, area]
    # A spacing 10 % too large makes the lesion 21 % larger.
    assert values["spacing too large"][1, area] == pytest.approx(1.21 * values[REFERENCE][1, area], rel=0.03)


def test_other_masks_are_further_conditions(shard):
    job = Job("radiomics", OPTIONS.model_copy(update={"mask": "predicted"}), FEW, shard.images, shard.masks)
    further = Job(job.family, job.options, job.settings, job.images, job.masks, {"box 1": shard.masks})
    columns, values = feature_values([(further, ["lesion-2"])], 1)
    np.testing.assert_array_equal(values["box 1"], values[REFERENCE])
    assert len(columns) == values["box 1"].shape[1]


def test_table_and_figure_of_a_study(shard, tmp_path: Path, capsys):
    (tmp_path / "study.json").write_text(json.dumps({"phantom": True}), encoding="utf-8")
    output = tmp_path / "stability.csv"
    settings = settings_of(stability=FEW.model_dump())
    stability(settings, tmp_path, [shard.images], [], None, output, 1)
    table = STABILITY.validate(pd.read_csv(output, keep_default_na=False, na_values=[""]).fillna({"note": ""}))
    assert set(table["perturbation"]) == {"mask", "rotation", "spacing", "all"}
    assert set(table["note"]) == {"phantom"}
    assert set(table["n"]) == {6}
    assert output.with_suffix(".png").stat().st_size > 1000
    columns, values = feature_values(
        [(Job("radiomics", OPTIONS, FEW, shard.images, None), [f"lesion-{i}" for i in range(6)])], 1
    )
    name = "radiomics_original_firstorder_Mean"
    expected = icc_2_1(np.stack([found[:, columns.index(name)] for found in values.values()], axis=1))
    row = table[(table["feature"] == name) & (table["perturbation"] == "all")].iloc[0]
    assert row["icc"] == pytest.approx(expected.value, abs=1e-5)
    assert row["icc_low"] == pytest.approx(expected.low, abs=1e-5)
    assert row["conditions"] == 6


def test_a_study_without_training_lesions_is_refused(shard, tmp_path: Path, monkeypatch):
    (tmp_path / "study.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(stability_stage, "drawn_lesions", lambda *_: [])
    with pytest.raises(StudyError, match="no lesion is in the training split"):
        stability(settings_of(), tmp_path, [shard.images], [], None, tmp_path / "stability.csv", 1)


def test_boxes_are_drawn_with_the_jitter_that_is_asked_for():
    drawn = _prompts(StabilitySettings(box_draws=3, box_jitter_mm=1.5, seed=4), 10.0)
    assert (drawn.draws, drawn.jitter_mm, drawn.seed, drawn.margins_mm) == (3, 1.5, 4, [10.0])
    assert _prompts(StabilitySettings(box_draws=0), 10.0).jitter_mm == 0


def test_each_other_box_is_segmented_once(shard, tmp_path: Path, monkeypatch):
    calls = []
    monkeypatch.setattr(stability_masks_module, "segment", lambda *arguments: calls.append(arguments))
    segmenter = Segmenter(SegmentSettings(iterations=1), ModelSpec("small", "small"), tmp_path / "store", 10.0)
    settings = StabilitySettings(box_draws=2, margins_mm=[0.0, 10.0])
    folders = masks_of_other_boxes(settings, segmenter, shard.images, ["lesion-1", "lesion-3"], tmp_path, 1)
    assert list(folders) == ["box 1", "box 2", "margin 0 mm"]
    tables = [pd.read_parquet(folder / "prompts.parquet") for folder in folders.values()]
    for table, call in zip(tables, calls, strict=True):
        assert table["lesion_id"].tolist() == ["lesion-1", "lesion-3"]
        assert (table["draw"] == 0).all()
        assert call[5] == table["margin_mm"].iloc[0]
    # The box has rows 60 to 80; a margin of 10 mm is 10 rows, and a jittered side is at most 2 mm away from that.
    assert tables[2]["y0"].tolist() == [60, 60]
    for table in tables[:2]:
        assert ((table["y0"] - 50).abs() <= 2).all()
        assert (table["y0"] != 50).any()
    assert not np.array_equal(tables[0]["y0"], tables[1]["y0"])


def test_plan_of_predicted_and_annotated_masks():
    config = StudyConfig()
    assert resegments(config)
    assert stability_masks(config) == ["results/phantom/segmentation/small/{shard}/masks.parquet"]
    assert "--default-margin-mm" in stability_arguments(config, "small.yaml")
    assert "mammoflow.segmentation.models.small" in stability_modules(config)
    families = {name: {"mask": "box"} for name in config.features.run}
    annotated = StudyConfig.model_validate({"features": {"families": families}})
    assert not resegments(annotated)
    assert stability_masks(annotated) == []
    assert stability_arguments(annotated, "small.yaml") == []
