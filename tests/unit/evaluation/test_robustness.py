from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from pydantic import ValidationError
from safetensors.numpy import save_file
from sklearn.metrics import roc_auc_score

from mammoflow.cli import main
from mammoflow.config.base import validate_settings
from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.robustness import RobustnessJob, RobustnessSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError, StudyError
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.robustness_images import drawn_cases, write_degraded
from mammoflow.evaluation.robustness_scores import Observed, robustness_row
from mammoflow.evaluation.robustness_stage import Classifying, Segmenting, _note, robustness
from mammoflow.planning.robustness import (
    reported_robustness,
    robustness_arguments,
    robustness_classifiers,
    robustness_inputs,
    robustness_memory_mb,
    robustness_models,
)
from mammoflow.storage.files import read_image, read_mask, write_image, write_mask
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.weights.header import AutomaticSetup, WeightsHeader
from mammoflow.weights.registry import ModelSpec

CLASSIFIER = {
    "input": "masked_crop", "network": "resnet_small", "network_options": {"width": 8, "blocks": 1}, "epochs": 1,
    "batch_size": 8, "device": "cpu", "seeds": [3], "input_options": {"image_px": 32},
}  # fmt: skip
DEGRADATIONS = {"gaussian_noise": [0.5], "spacing": [-0.5]}


@pytest.fixture(scope="module")
def study(written_study: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny study with its patches."""
    copied = written_study.copy(tmp_path_factory.mktemp("study"))
    for folder in copied.images:
        for row in read_table(folder / "lesions.parquet", CANONICAL_LESIONS).to_dict("records"):
            write_image(folder / row["patch_file"], np.full((8, 8), 20000, dtype=np.uint16))
            write_mask(folder / row["patch_breast_file"], np.ones((8, 8), dtype=np.bool_))
    return copied


def job(**changes: Any) -> dict[str, Any]:
    prompts = {"margins_mm": [2.0], "default_margin_mm": 2.0}
    intervals = {"bootstrap": 200, "fewest_patients": 2}
    return {"degradations": DEGRADATIONS, "prompts": prompts, "intervals": intervals, **changes}


def test_the_stage_writes_curves_that_start_at_the_scores_of_the_run(
    study: Any, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mammoflow.segmentation.prompted.stage.load_promptable", lambda *_, **__: tiny.FakeModel())
    trained = tiny.train(study, CLASSIFIER, "crop")
    (study.root / "cohort").mkdir()
    (study.root / "cohort" / "study.json").write_text(json.dumps({"phantom": True}), encoding="utf-8")
    (tmp_path / "job.yaml").write_text(json.dumps(job()), encoding="utf-8")
    segment_settings = {"iterations": 1, "device": "cpu", "precision": "fp32"}
    (tmp_path / "segment.yaml").write_text(json.dumps(segment_settings), encoding="utf-8")
    words = ["robustness", "--settings", str(tmp_path / "job.yaml"), "--cohort", str(study.root / "cohort")]
    words += [word for folder in study.images for word in ("--images", str(folder))]
    words += ["--promptable", "fake", "small", str(study.root / "fake.safetensors"), str(tmp_path / "segment.yaml")]
    words += ["--classifier", str(trained), "fake", "--threads", "1"]
    tables = []
    for name in ("one", "two"):
        result = CliRunner().invoke(main, [*words, "--output", str(tmp_path / name / "robustness.csv")])
        assert result.exit_code == 0, result.output
        tables.append((tmp_path / name / "robustness.csv").read_bytes())
    assert tables[0] == tables[1]
    table = pd.read_csv(tmp_path / "one" / "robustness.csv")
    assert (tmp_path / "one" / "curves.svg").is_file()
    assert len(pd.read_csv(tmp_path / "one" / "curves.csv")) == len(table)
    assert list(zip(table["model"], table["degradation"], strict=True)) == [
        (model, name) for model in ("fake", "crop") for name in ("none", "gaussian_noise", "spacing")
    ]
    assert set(table["note"]) == {"phantom"}
    predictions = pd.read_parquet(trained / "predictions.parquet")
    predictions = predictions[predictions["split"] == "test"]
    pairs = [
        (first > second) + 0.5 * (first == second)
        for first in predictions.loc[predictions["malignant"] == 1, "probability"]
        for second in predictions.loc[predictions["malignant"] == 0, "probability"]
    ]
    at = {(str(row["model"]), str(row["degradation"])): row for row in table.to_dict("records")}
    assert at["crop", "none"]["value"] == pytest.approx(np.mean(pairs), abs=1e-6)
    assert at["crop", "none"]["n"] == len(predictions)
    scores = pd.concat([pd.read_parquet(file) for file in study.scores])
    of_run = scores[(scores["model"] == "fake") & (scores["margin_mm"] == 2) & scores["chosen"]]
    dice = of_run.loc[of_run["lesion_id"].isin(predictions["lesion_id"]), "dice"].mean()
    assert at["fake", "none"]["value"] == pytest.approx(dice, abs=1e-6)
    assert (table.loc[table["degradation"] == "none", "difference"] == 0).all()
    assert at["crop", "gaussian_noise"]["difference"] != 0
    assert at["fake", "spacing"]["difference"] != 0  # the box has another margin in pixels
    assert at["crop", "none"]["difference_low"] != at["crop", "none"]["difference_low"]  # no interval of nothing
    changed = table[table["difference"] != 0]
    assert set(changed["model"]) == {"fake", "crop"}
    assert changed[["difference_low", "difference_high"]].notna().to_numpy().all()
    assert (table["value"] - table["undegraded"]).to_numpy() == pytest.approx(table["difference"].to_numpy(), abs=1e-5)
    wrong = at["fake", "spacing"]
    assert wrong["difference_low"] < wrong["difference"] < wrong["difference_high"]


def test_a_classifier_on_embeddings_takes_boxes_where_masks_come_from_another_kind_of_prompts(
    study: Any, tiny: Any, tmp_path: Path, fake_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mammoflow.segmentation.prompted.stage.load_promptable", lambda *_, **__: fake_model)
    perceptron = {"input": "prompted", "network": "perceptron", "epochs": 1, "batch_size": 8, "device": "cpu"}
    trained = tiny.train(study, perceptron, "perceptron")
    (tmp_path / "study.json").write_text(json.dumps({"phantom": True}), encoding="utf-8")
    prompts = {"margins_mm": [2.0], "default_margin_mm": 2.0, "kinds": ["box_point"]}
    settings = RobustnessJob(**job(degradations={}, prompts=prompts))
    model = Segmenting(
        ModelSpec("fake", "small", study.root / "fake.safetensors"),
        SegmentSettings(iterations=1, device="cpu", precision="fp32"),
    )
    output = tmp_path / "robustness.csv"
    robustness(settings, tmp_path, study.images, [model], [Classifying(trained, "fake")], output, 1)
    table = pd.read_csv(output).set_index("model")
    predictions = pd.read_parquet(trained / "predictions.parquet")
    predictions = predictions[predictions["split"] == "test"]
    auc = roc_auc_score(predictions["malignant"].astype(int), predictions["probability"])
    assert table.loc["perceptron", "n"] == len(predictions)
    assert table.loc["perceptron", "value"] == pytest.approx(auc, abs=1e-6)


def test_a_degraded_shard_has_the_masks_of_the_study(study: Any, tmp_path: Path) -> None:
    cases = drawn_cases(study.images, RobustnessSettings())
    assert set(cases.lesions["split"]) == {"test"}
    write_degraded(cases, "spacing", 0.5, 0, tmp_path / "spacing", 1)
    write_degraded(cases, "gamma", 2.0, 0, tmp_path / "gamma", 1)
    images = [read_table(tmp_path / name / "images.parquet", CANONICAL_IMAGES) for name in ("spacing", "gamma")]
    lesions = read_table(tmp_path / "gamma" / "lesions.parquet", CANONICAL_LESIONS)
    assert (images[0]["row_spacing_mm"] == 1.5).all()
    assert (images[0]["film_spacing_mm"] == 1.5).all()
    assert (images[1]["row_spacing_mm"] == 1.0).all()
    assert list(images[0]["digest"]) == list(cases.images["digest"])
    assert not set(images[1]["digest"]) & set(cases.images["digest"])
    patches = read_table(tmp_path / "spacing" / "lesions.parquet", CANONICAL_LESIONS)
    assert (patches["patch_spacing_mm"] == 1.5).all()
    first = cases.lesions.iloc[0]
    kept = lesions.set_index("lesion_id").loc[first["lesion_id"]]
    before, after = Path(first["folder"]), tmp_path / "gamma"
    assert np.array_equal(read_mask(after / kept["mask_file"]), read_mask(before / first["mask_file"]))
    assert read_image(after / kept["patch_file"]).mean() < read_image(before / first["patch_file"]).mean()


def test_patients_are_drawn_with_all_of_their_lesions(study: Any) -> None:
    everything = drawn_cases(study.images, RobustnessSettings()).lesions
    few = [drawn_cases(study.images, RobustnessSettings(lesions=5, seed=seed)).lesions for seed in (0, 0, 1)]
    assert len(few[0]) == 5 < len(everything)
    assert list(few[0]["lesion_id"]) == list(few[1]["lesion_id"]) != list(few[2]["lesion_id"])
    study_without = study.copy(study.root.parent / "train")
    study_without.rewrite_lesions(lambda table: table[table["split"] != "test"])
    with pytest.raises(StudyError, match="test split"):
        drawn_cases(study_without.images, RobustnessSettings())


def test_lesions_of_unknown_malignancy_are_on_the_images_and_in_no_score(
    study: Any, tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mammoflow.segmentation.prompted.stage.load_promptable", lambda *_, **__: tiny.FakeModel())
    kept = study.copy(tmp_path / "kept")
    two = study.lesions["image_id"].duplicated(keep=False)
    beside, alone = study.lesions.loc[two, "lesion_id"].iloc[0], study.lesions.loc[~two, "lesion_id"].iloc[0]
    kept.rewrite_lesions(
        lambda table: table.assign(
            split="test", malignant=table["malignant"].mask(table["lesion_id"].isin([beside, alone]))
        )
    )
    cases = drawn_cases(kept.images, RobustnessSettings())
    everything = set(study.lesions["lesion_id"])
    assert set(cases.lesions["lesion_id"]) == everything - {alone}
    assert set(cases.scored["lesion_id"]) == everything - {alone, beside}
    (tmp_path / "study.json").write_text(json.dumps({"phantom": True}), encoding="utf-8")
    model = Segmenting(
        ModelSpec("fake", "small", study.root / "fake.safetensors"),
        SegmentSettings(iterations=1, device="cpu", precision="fp32"),
    )
    output = tmp_path / "robustness.csv"
    robustness(RobustnessJob(**job(degradations={})), tmp_path, kept.images, [model], [], output, 1)
    assert pd.read_csv(output)["n"].tolist() == [len(everything) - 2]
    kept.rewrite_lesions(lambda table: table.assign(malignant=table["malignant"].mask(table["malignant"].notna())))
    assert set(drawn_cases(kept.images, RobustnessSettings()).scored["lesion_id"]) == everything


def test_differences_are_paired_on_the_lesions_that_both_have() -> None:
    lesions = pd.DataFrame(
        {"patient_id": list("aabcdef"), "malignant": pd.array([1, 0, 1, 0, 1, 0, None], dtype="Int64")},
        index=list("1234567"),
    )
    plain = pd.DataFrame({"dice": [0.9, 0.8, 0.7, 0.9, 0.8, np.nan, 0.6]}, index=lesions.index)
    seen = Observed(
        "m", "segmentation", "", plain - pd.DataFrame({"dice": [0.1, 0.2, 0.3, 0.1, 0.2, 0, 0.3]}, lesions.index)
    )
    rule = PatientBootstrap(500, 0.95, 0, 2)
    row: dict[str, Any] = robustness_row(("blur", 1), Observed("m", "segmentation", "", plain), seen, lesions, rule)
    assert (row["n"], row["patients"]) == (6, 5)
    assert row["difference"] == pytest.approx(-0.2)
    assert -0.3 <= row["difference_low"] < -0.2 < row["difference_high"] <= -0.1
    right = pd.DataFrame({3: [0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.5]}, index=lesions.index)
    swapped = right.assign(**{"3": 0}).drop(columns="3")
    swapped.loc["5", 3] = 0.0
    found: dict[str, Any] = robustness_row(
        ("blur", 1),
        Observed("c", "classification", "", right),
        Observed("c", "classification", "", swapped),
        lesions,
        rule,
    )
    assert (found["n"], found["patients"]) == (6, 5)
    assert found["value"] == pytest.approx(6 / 9)
    assert found["difference"] == pytest.approx(-3 / 9)
    assert (found["undegraded"], row["undegraded"]) == pytest.approx((1.0, 4.7 / 6))


def test_intervals_of_differences_count_patients_and_not_lesions() -> None:
    """Three lesions of a patient are one observation; the bounds were computed by hand."""
    lesions = pd.DataFrame({"patient_id": list("aaab"), "malignant": pd.array([1] * 4, dtype="Int64")}, list("1234"))
    plain = pd.DataFrame({"dice": [0.8] * 4}, index=lesions.index)
    seen = plain - pd.DataFrame({"dice": [0.1, 0.1, 0.1, 0.5]}, index=lesions.index)
    rule = PatientBootstrap(2000, 0.95, 0, 2)
    found: dict[str, Any] = robustness_row(
        ("blur", 1), Observed("m", "segmentation", "", plain), Observed("m", "segmentation", "", seen), lesions, rule
    )
    # a quarter of the resamples is patient a twice, and a quarter is patient b twice
    assert [found[f"difference{end}"] for end in ("", "_low", "_high")] == pytest.approx([-0.2, -0.5, -0.1])


def test_intervals_of_differences_in_auc_are_delongs_over_patients() -> None:
    """Each class has two patients, one of them with two lesions; the error was computed by hand."""
    patients, label = list("aabccd"), [1, 1, 1, 0, 0, 0]
    lesions = pd.DataFrame({"patient_id": patients, "malignant": pd.array(label, dtype="Int64")}, list("123456"))
    plain = pd.DataFrame({0: [0.7, 0.8, 0.9, 0.1, 0.2, 0.3]}, index=lesions.index)
    seen = pd.DataFrame({0: [0.7, 0.8, 0.25, 0.1, 0.2, 0.3]}, index=lesions.index)
    rule = PatientBootstrap(100, 0.95, 0, 2)
    first, second = (Observed("c", "classification", "", values) for values in (plain, seen))
    found: dict[str, Any] = robustness_row(("blur", 1), first, second, lesions, rule)
    # Lesion 3 falls below one of three benign lesions: the AUC goes from 1 to 8/9. The components change by 0, 0, -1/3
    # (malignant) and 0, 0, -1/3 (benign). Their deviations from -1/9, summed over patients and divided by three, are
    # 2/27 and -2/27 in each class, so its variance is 2/1 x 2 x (2/27)^2; no patient is in both classes. Two variances
    # of one degree of freedom each, which are equal, have two: Student's quantile is 4.3027.
    error = (2 * 4 * (2 / 27) ** 2) ** 0.5
    assert (found["undegraded"], found["value"]) == pytest.approx((1.0, 8 / 9))
    assert found["difference"] == pytest.approx(-1 / 9)
    assert found["difference_high"] - found["difference"] == pytest.approx(4.302653 * error, rel=1e-5)
    assert -1 / 9 - 4.302653 * error < found["difference_low"] == -1  # no difference is lower
    few: dict[str, Any] = robustness_row(("blur", 1), first, second, lesions, PatientBootstrap(100, 0.95, 0, 3))
    assert few["difference"] == found["difference"]
    assert np.isnan([few["difference_low"], few["difference_high"], few["low"]]).all()


def test_the_report_needs_the_table_only_where_the_setting_asks_for_it() -> None:
    config = validate_settings(StudyConfig, {}, "the test")
    assert reported_robustness(config) == []
    shown = validate_settings(StudyConfig, {"report": {"robustness": True}}, "the test")
    assert reported_robustness(shown)[0] == "results/phantom/robustness/robustness.csv"
    assert {job for job, settings in shown.stages().items() if settings != config.stages()[job]} == {"report"}
    folds = {"cohort": {"split": {"method": "kfold", "fold": "all"}}, "report": {"robustness": True}}
    with pytest.raises(ConfigError, match=r"report\.robustness is true.*fold: all.*or set report\.robustness to false"):
        reported_robustness(validate_settings(StudyConfig, folds, "the test"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"degradations": {"fog": [1]}}, "fog"),
        ({"degradations": {"jpeg": [0]}}, "whole number from 1 to 100"),
        ({"degradations": {"blur": [1, 1]}}, "each level once"),
    ],
)
def test_wrong_degradations_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        RobustnessJob(**values)


def test_what_cannot_be_degraded_is_refused_and_left_out_by_default() -> None:
    run = ["context_crop", "efficientnet_whole_image_radiomics", "perceptron_frozen"]
    values: dict[str, Any] = {"classification": {"run": run}}
    config = validate_settings(StudyConfig, values, "the test")
    assert robustness_classifiers(config) == {"context_crop": "", "perceptron_frozen": "small"}
    assert robustness_models(config) == ["small"]
    words = robustness_arguments(config)
    assert words[:3] == ["--promptable", "small", "small"]
    assert words[-3:] == ["--classifier", "results/phantom/classification/perceptron_frozen", "small"]
    assert robustness_memory_mb(config) > 1000
    assert len(robustness_inputs(config)["predictions"]) == 2
    with pytest.raises(ConfigError, match="radiomics"):
        validate_settings(StudyConfig, values | {"robustness": {"classifiers": run}}, "the test")
    with pytest.raises(ConfigError, match="sam_vit_b"):
        validate_settings(StudyConfig, {"robustness": {"models": ["sam_vit_b"]}}, "the test")


def test_models_whose_given_weights_see_colours_are_left_out_and_refused_by_name(tmp_path: Path) -> None:
    for colour in ("rgb", "grey"):
        header = WeightsHeader("unet_16", automatic=AutomaticSetup(64, None, 0.5, colour=colour))
        save_file({"x": np.zeros(1)}, tmp_path / f"{colour}.safetensors", header.text())
    models = {
        name: {"architecture": "unet_16", "weights": str(tmp_path / f"{name}.safetensors")} for name in ("rgb", "grey")
    }
    values: dict[str, Any] = {
        "images": {"colour": "keep"},
        "segmentation": {"run": ["rgb", "grey"], "default_model": "rgb", "models": models},
        "classification": {"run": ["context_crop", "masked"], "classifiers": {"masked": CLASSIFIER}},
    }
    config = validate_settings(StudyConfig, values, "the test")
    assert robustness_models(config) == ["grey"]
    assert robustness_classifiers(config) == {"context_crop": ""}
    assert robustness_inputs(config)["weights"] == [models["grey"]["weights"]]
    for key, name in (("models", "rgb"), ("classifiers", "masked")):
        named = validate_settings(StudyConfig, values | {"robustness": {key: [name]}}, "the test")
        with pytest.raises(ConfigError, match=rf"robustness.{key} names '{name}', .* see colours"):
            robustness_inputs(named)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cohort": {"split": {"method": "kfold", "fold": "all"}}}, "fold: all"),
        ({"robustness": {"models": [], "classifiers": []}}, "nothing to make"),
        ({"prompts": {"reference": False, "readers": [{"name": "A", "table": "boxes.csv"}]}}, "prompts.reference"),
    ],
)
def test_a_run_without_robustness_says_why(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        robustness_inputs(validate_settings(StudyConfig, values, "the test"))


def test_a_row_says_if_the_reference_chose_masks_and_which_patients_were_seen() -> None:
    scores = pd.DataFrame(
        {
            "model": "unet",
            "patient_id": ["a", "a", "b"],
            "choice": pd.array([None, None, None], dtype="str"),
            "head_choice": ["single", "single", "single"],
            "seen": [True, True, False],
        }
    )
    assert _note(scores) == "seen: unet was trained on 1 of the patients"
    assert _note(scores.assign(head_choice="oracle", seen=False)).startswith("oracle: ")
    assert _note(scores.assign(seen=False)) == ""
