from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from mammoflow.classification import training
from mammoflow.classification.stage import train_efficientnet, train_perceptron
from mammoflow.classification.threshold import choose_threshold
from mammoflow.config.classification import EfficientNetTraining, PerceptronTraining
from mammoflow.errors import StudyError
from mammoflow.storage.files import write_mask
from mammoflow.tables.files import read_table
from mammoflow.tables.predictions import PREDICTIONS

QUICK = EfficientNetTraining(epochs=1, image_px=32, batch_size=8, device="cpu")
PERCEPTRON = PerceptronTraining(epochs=12, tuning_epochs=2, batch_size=8, learning_rate=3e-3, device="cpu")
OUTPUTS = {"history.csv", "model.safetensors", "predictions.parquet", "training.json"}


def efficientnet(study, kind, name="", settings=QUICK) -> Path:
    output = study.root / "classification" / f"efficientnet_{kind}{name}"
    train_efficientnet(settings, kind, study.images, study.masks, study.radiomics, output, 1)
    return output


def perceptron(study, variant, name="", settings=PERCEPTRON) -> Path:
    output = study.root / "classification" / f"perceptron_{variant}{name}"
    train_perceptron(
        settings, variant, "fake", None, study.images, study.masks, study.prompts, study.root / "store", 2.0, output, 1
    )
    return output


def predictions(output: Path) -> pd.DataFrame:
    return read_table(output / "predictions.parquet", PREDICTIONS)


def permute_test_labels(study) -> None:
    def flip(table: pd.DataFrame) -> pd.DataFrame:
        test = table["split"] == "test"
        table.loc[test, "malignant"] = 1 - table.loc[test, "malignant"]
        return table

    study.rewrite_lesions(flip)


def check_whole(study, output: Path) -> dict[str, object]:
    """Hold the outputs of a training to what every one of them promises."""
    assert {path.name for path in output.iterdir()} == OUTPUTS
    assert not (output.parent / ".training").exists()
    table = predictions(output)
    assert set(table["lesion_id"]) == set(study.lesions["lesion_id"])
    assert set(table["model"]) == {output.name}
    record = json.loads((output / "training.json").read_text())
    validation = table[(table["split"] == "validation") & table["probability"].notna()]
    expected = choose_threshold(validation["malignant"].to_numpy(float), validation["probability"].to_numpy())
    assert table["threshold"].unique().tolist() == [expected.value] == [record["threshold"]]
    called = table["probability"].notna()
    assert (table["predicted"][called] == (table["probability"] >= expected.value)[called]).all()
    history = pd.read_csv(output / "history.csv")
    assert record["epochs_run"] == len(history)
    assert {"epoch", "train_loss", "validation_loss", "validation_auc"} <= set(history)
    assert record["n"]["train"]["lesions"] == (table["split"] == "train").sum()
    return record


def test_masked_crop(study) -> None:
    lesion = study.lesions["lesion_id"].iloc[3]
    path = next(
        folder / "mask" / f"{lesion}.png" for folder in study.masks if (folder / "mask" / f"{lesion}.png").is_file()
    )
    write_mask(path, np.zeros((64, 48), dtype=np.bool_))
    record = check_whole(study, efficientnet(study, "masked_crop"))
    assert record["lesions_without_mask"] == 1


def test_whole_image_gives_lesions_of_an_image_one_probability(study) -> None:
    output = efficientnet(study, "whole_image")
    check_whole(study, output)
    table = predictions(output).set_index("lesion_id")
    assert table.loc["P000_L_CC_0", "probability"] == table.loc["P000_L_CC_1", "probability"]
    assert table.loc["P000_L_CC_0", "malignant"] != table.loc["P000_L_CC_1", "malignant"]


def test_radiomics_tell_lesions_of_an_image_apart_and_nothing_is_learnt_from_test(study) -> None:
    output = efficientnet(study, "whole_image_radiomics")
    record = check_whole(study, output)
    assert record["radiomics_columns"] == ["radiomics_signal", "radiomics_gaps"]
    before = predictions(output).set_index("lesion_id")
    assert before.loc["P000_L_CC_0", "probability"] != before.loc["P000_L_CC_1", "probability"]
    permute_test_labels(study)
    test = before.index[before["split"] == "test"]
    for path in study.radiomics:
        table = pd.read_parquet(path)
        table.loc[table["lesion_id"].isin(test), ["radiomics_signal", "radiomics_constant"]] = 1e6
        table.to_parquet(path)
    after = predictions(efficientnet(study, "whole_image_radiomics", "_again")).set_index("lesion_id")
    others = before.index[before["split"] != "test"]
    assert (after.loc[others, "probability"] == before.loc[others, "probability"]).all()
    assert (after["threshold"].to_numpy() == before["threshold"].to_numpy()).all()
    assert (after.loc[test, "probability"] != before.loc[test, "probability"]).any()


@pytest.mark.usefixtures("fake_model")
def test_frozen_perceptron_learns_what_can_be_told_apart(study) -> None:
    output = perceptron(study, "frozen")
    record = check_whole(study, output)
    table = predictions(output)
    test = table[table["split"] == "test"]
    assert roc_auc_score(test["malignant"].astype(int), test["probability"]) > 0.8
    assert record["parameters"]["trainable"] < record["parameters"]["total"]
    assert {name.split(".")[0] for name in load_file(output / "model.safetensors")} == {"perceptron"}


@pytest.mark.usefixtures("fake_model")
def test_permuted_test_labels_change_no_prediction(study) -> None:
    before = predictions(perceptron(study, "frozen"))
    permute_test_labels(study)
    after = predictions(perceptron(study, "frozen", "_again"))
    columns = ["lesion_id", "probability", "threshold", "predicted"]
    pd.testing.assert_frame_equal(after[columns], before[columns], check_exact=True)
    assert (after["malignant"] != before["malignant"]).sum() == (before["split"] == "test").sum()


@pytest.mark.parametrize(("variant", "moved"), [("decoder_tuned", {"decoder"}), ("all_tuned", {"decoder", "encoder"})])
def test_tuned_variants_train_what_they_say(study, fake_model, variant: str, moved: set[str]) -> None:
    output = perceptron(study, variant)
    record = check_whole(study, output)
    history = pd.read_csv(output / "history.csv")
    assert history["phase"].unique().tolist() == ["perceptron", "tuning"]
    saved = load_file(output / "model.safetensors")
    prefix = "network." if variant == "all_tuned" else ""
    found = set()
    for name, fresh in fake_model.network.state_dict().items():
        tuned = saved.get(prefix + name)
        if tuned is not None and not np.allclose(tuned.numpy(), fresh.numpy()):
            found.add(name.split(".")[0])
    assert found == moved
    assert set(record["masks"]) == {"train", "validation", "test"}
    assert 0 <= record["masks"]["test"]["dice_after"] <= 1
    assert record["masks"]["test"]["dice_before"] == 1  # the study hands its reference masks on


@pytest.mark.usefixtures("fake_model")
def test_unknown_labels_are_predicted_and_lesions_without_a_prompt_are_kept(study) -> None:
    def hide(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table["lesion_id"] == "P002_L_CC_0", "malignant"] = pd.NA
        return table

    study.rewrite_lesions(hide)
    for path in study.prompts:
        table = pd.read_parquet(path)
        table[table["lesion_id"] != "P001_L_CC_0"].to_parquet(path)
    table = predictions(perceptron(study, "frozen")).set_index("lesion_id")
    assert pd.isna(table.loc["P002_L_CC_0", "malignant"])
    assert 0 <= table.loc["P002_L_CC_0", "probability"] <= 1
    assert pd.isna(table.loc["P001_L_CC_0", "probability"])
    assert pd.isna(table.loc["P001_L_CC_0", "predicted"])
    assert len(table) == len(study.lesions)


@pytest.mark.usefixtures("fake_model")
def test_a_margin_that_no_prompt_has(study) -> None:
    with pytest.raises(StudyError, match=r"no box prompt at 7 mm; found margins \[0.0, 2.0\]"):
        train_perceptron(
            PERCEPTRON, "frozen", "fake", None, study.images, study.masks, study.prompts, study.root / "store", 7.0,
            study.root / "classification" / "x", 1,
        )  # fmt: skip


@pytest.mark.usefixtures("fake_model")
def test_a_killed_stage_resumes_and_a_changed_one_begins_anew(study, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = training._Loop.on_train_epoch_start

    def die(loop: training._Loop) -> None:
        if loop.current_epoch == 5:
            raise RuntimeError("killed")
        plain(loop)

    whole = perceptron(study, "frozen", "_whole")
    monkeypatch.setattr(training._Loop, "on_train_epoch_start", die)
    with pytest.raises(RuntimeError, match="killed"):
        perceptron(study, "frozen")
    output = study.root / "classification" / "perceptron_frozen"
    assert not output.exists()
    states = output.parent / ".training" / output.name
    kept = [path.name for path in states.iterdir()]
    with pytest.raises(RuntimeError, match="killed"):
        perceptron(study, "frozen", settings=PERCEPTRON.model_copy(update={"dropout": 0.1}))
    assert [path.name for path in states.iterdir()] != kept  # another setting, another state, the old one is gone
    with pytest.raises(RuntimeError, match="killed"):
        perceptron(study, "frozen")
    monkeypatch.setattr(training._Loop, "on_train_epoch_start", plain)
    resumed = perceptron(study, "frozen")
    assert json.loads((resumed / "training.json").read_text())["resumed_from_epoch"] == 5
    pd.testing.assert_frame_equal(pd.read_csv(resumed / "history.csv"), pd.read_csv(whole / "history.csv"))
    np.testing.assert_array_equal(predictions(resumed)["probability"], predictions(whole)["probability"])
    check_whole(study, resumed)
