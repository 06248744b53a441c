"""The stage: every kind of input to predictions, records and weights; seeds, resume, and what test rows may not do."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from mammoflow.classification import results
from mammoflow.classification.learner import ClassifierLearner
from mammoflow.classification.stage import train_classifier
from mammoflow.classification.threshold import choose_threshold
from mammoflow.config.base import validate_settings
from mammoflow.config.classification import ClassifierSettings
from mammoflow.errors import StudyError, WeightsError
from mammoflow.segmentation.tuning import methods
from mammoflow.storage.files import file_digest, write_mask
from mammoflow.tables.features import FEATURES
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.masks import SEGMENTATION_SCORES
from mammoflow.tables.predictions import PREDICTIONS
from mammoflow.training.record import EFFORT

pytestmark = pytest.mark.long(15)

OUTPUTS = {"history.csv", "predictions.parquet", "training.json", "seeds"}
PICTURE = {
    "network": "efficientnet_b0",
    "epochs": 1,
    "batch_size": 8,
    "device": "cpu",
    "input_options": {"image_px": 32},
}
SMALL = {**PICTURE, "network": "resnet_small", "network_options": {"width": 8, "blocks": 1}}
PERCEPTRON = {
    "input": "prompted", "network": "perceptron", "epochs": 12, "batch_size": 8, "learning_rate": 3e-3, "dropout": 0.3,
    "device": "cpu",
}  # fmt: skip


def settings_of(values: dict[str, Any], **changes: Any) -> ClassifierSettings:
    return validate_settings(ClassifierSettings, {**values, **changes}, "test")


def tuned(tune: str) -> dict[str, Any]:
    return {"input_options": {"tune": tune, "tuning_epochs": 2}}


def train(study: Any, settings: ClassifierSettings, name: str = "classifier", **changes: Any) -> Path:
    output = Path(study.root / "classification" / name)
    train_classifier(settings, name, dataclasses.replace(study.files(), **changes), output, 1)
    return output


def predictions(output: Path) -> pd.DataFrame:
    return read_table(output / "predictions.parquet", PREDICTIONS)


def record_of(output: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((output / "training.json").read_text())
    return record


def permute_test_labels(study: Any) -> None:
    def flip(table: pd.DataFrame) -> pd.DataFrame:
        test = table["split"] == "test"
        table.loc[test, "malignant"] = 1 - table.loc[test, "malignant"]
        return table

    study.rewrite_lesions(flip)


def check_whole(study: Any, output: Path) -> dict[str, Any]:
    """Hold the outputs of a training to what every one of them promises."""
    assert {path.name for path in output.iterdir()} == OUTPUTS
    assert not (output.parent / ".training").exists()
    table, record = predictions(output), record_of(output)
    assert set(table["model"]) == {output.name} == {record["model"]}
    history = pd.read_csv(output / "history.csv")
    assert {"seed", "phase", "epoch", "train_loss", "validation_loss", "validation_auc"} <= set(history)
    assert record["n"]["train"]["lesions"] == (study.lesions["split"] == "train").sum()
    assert set(record["seeds"]) == {str(seed) for seed in table["seed"].unique()}
    for seed, rows in table.groupby("seed"):
        assert set(rows["lesion_id"]) == set(study.lesions["lesion_id"])
        validation = rows[(rows["split"] == "validation") & rows["probability"].notna()]
        expected = choose_threshold(validation["malignant"].to_numpy(float), validation["probability"].to_numpy())
        assert rows["threshold"].unique().tolist() == [expected.value] == [record["seeds"][str(seed)]["threshold"]]
        called = rows["probability"].notna()
        assert (rows["predicted"][called] == (rows["probability"] >= expected.value)[called]).all()
        assert record["seeds"][str(seed)]["epochs_run"] == (history["seed"] == seed).sum()
        folder = output / "seeds" / str(seed)
        own = json.loads((folder / "record.json").read_text())
        assert own["seed"] == seed
        assert own.pop("weights_sha256") == file_digest(folder / "model.safetensors")
        with safe_open(folder / "model.safetensors", "numpy") as file:
            assert json.loads(file.metadata()["training"]) == {key: own[key] for key in own if key not in EFFORT}
        trained = rows[(rows["split"] == "train") & rows["malignant"].notna()]
        assert own["patients"] == sorted({f"tiny/{patient}" for patient in trained["patient_id"]})
    return record


def test_masked_crop(study: Any) -> None:
    lesion = study.lesions["lesion_id"].iloc[3]
    path = next(path for folder in study.masks if (path := folder / "mask" / f"{lesion}.png").is_file())
    write_mask(path, np.zeros((64, 48), dtype=np.bool_))
    record = check_whole(study, train(study, settings_of(PICTURE, input="masked_crop", title="Crops")))
    assert record["lesions_without_mask"] == 1
    assert record["title"] == "Crops"
    assert record["seen_test_patients"] == 0
    assert not record["sees_reference_mask"]


def test_lesions_with_a_poor_mask_are_left_out_where_that_is_asked_for(study: Any) -> None:
    lesion = study.lesions["lesion_id"].iloc[3]
    path = next(path for folder in study.masks if (path := folder / "mask" / f"{lesion}.png").is_file())
    write_mask(path, np.zeros((64, 48), dtype=np.bool_))
    settings = settings_of(
        SMALL, input="masked_crop", input_options={"image_px": 32, "least_dice": 0.0}, note="published protocol",
        threshold={"method": "fixed"}, covariates=["lesion_type", "density"], hidden=[4], outputs="softmax",
    )  # fmt: skip
    output = train(study, settings)
    table, record = predictions(output).set_index("lesion_id"), record_of(output)
    assert table.index[table["probability"].isna()].tolist() == [lesion]
    assert (record["lesions_left_out_by_dice"], record["sees_reference_mask"]) == (1, True)
    assert record["note"] == "published protocol"
    assert set(table["threshold"]) == {0.5}
    assert record["threshold_origin"] == "fixed at 0.5"
    assert record["seeds"]["0"]["temperature"] == 1.0
    assert "fewer than 10" in record["seeds"]["0"]["temperature_origin"]


@pytest.mark.usefixtures("fake_model")
def test_calibration_changes_probabilities_and_neither_order_nor_weights(
    study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mammoflow.classification.threshold.FEWEST_CASES", 2)
    tables = {}
    for calibrate in ("none", "temperature"):
        output = train(study, settings_of(PERCEPTRON, epochs=3, calibrate=calibrate), calibrate)
        tables[calibrate] = predictions(output)["probability"].to_numpy(float)
    temperature = record_of(study.root / "classification" / "temperature")["seeds"]["0"]["temperature"]
    assert temperature != 1.0
    logit = np.log(tables["none"] / (1 - tables["none"]))
    np.testing.assert_allclose(tables["temperature"], 1 / (1 + np.exp(-logit / temperature)), rtol=1e-6)
    np.testing.assert_array_equal(np.argsort(tables["none"]), np.argsort(tables["temperature"]))


@pytest.mark.usefixtures("fake_model")
def test_whole_image_embedding_reads_neither_masks_nor_prompts(study: Any) -> None:
    values = {**PERCEPTRON, "input": "whole_image_embedding", "epochs": 2, "network_options": {"batch_norm": True}}
    output = train(study, settings_of(values), masks=[], prompts=[])
    record = check_whole(study, output)
    table = predictions(output).set_index("lesion_id")
    assert table.loc["P000_L_CC_0", "probability"] == table.loc["P000_L_CC_1", "probability"]
    assert record["promptable_model"]["name"] == "fake"
    assert record["seen_test_patients"] == 0


def test_whole_image_gives_lesions_of_an_image_one_probability_and_reads_no_mask(study: Any) -> None:
    output = train(study, settings_of(PICTURE, input="whole_image"), masks=[], prompts=[], scores=[], model=None)
    record = check_whole(study, output)
    table = predictions(output).set_index("lesion_id")
    assert table.loc["P000_L_CC_0", "probability"] == table.loc["P000_L_CC_1", "probability"]
    assert table.loc["P000_L_CC_0", "malignant"] != table.loc["P000_L_CC_1", "malignant"]
    assert "seen_test_patients" not in record


def test_vectors_tell_lesions_of_an_image_apart_and_nothing_is_learnt_from_test(study: Any) -> None:
    settings = settings_of(PICTURE, input="whole_image", vectors=["radiomics"])
    output = train(study, settings)
    record = check_whole(study, output)
    assert record["vector_columns"] == ["radiomics_signal", "radiomics_gaps"]  # neither the constant nor the spacing
    before = predictions(output).set_index("lesion_id")
    assert before.loc["P000_L_CC_0", "probability"] != before.loc["P000_L_CC_1", "probability"]
    permute_test_labels(study)
    test = before.index[before["split"] == "test"]
    for path in study.features:
        table = read_table(path, FEATURES)
        table.loc[table["lesion_id"].isin(test), ["radiomics_signal", "radiomics_constant"]] = 1e6
        write_table(table, FEATURES, path)
    after = predictions(train(study, settings, "again")).set_index("lesion_id")
    others = before.index[before["split"] != "test"]
    assert (after.loc[others, "probability"] == before.loc[others, "probability"]).all()
    assert (after["threshold"].to_numpy() == before["threshold"].to_numpy()).all()
    assert (after.loc[test, "probability"] != before.loc[test, "probability"]).any()


@pytest.mark.usefixtures("fake_model")
def test_frozen_perceptron_learns_what_can_be_told_apart(study: Any) -> None:
    output = train(study, settings_of(PERCEPTRON))
    record = check_whole(study, output)
    table = predictions(output)
    test = table[table["split"] == "test"]
    assert roc_auc_score(test["malignant"].astype(int), test["probability"]) > 0.8
    assert not record["constant"]
    assert record["seeds"]["0"]["trainable_parameters"] < record["seeds"]["0"]["total_parameters"]
    assert {name.split(".")[0] for name in load_file(output / "seeds/0/model.safetensors")} == {
        "mean", "deviation", "network", "head",
    }  # fmt: skip


@pytest.mark.usefixtures("fake_model")
def test_permuted_test_labels_change_no_prediction(study: Any) -> None:
    before = predictions(train(study, settings_of(PERCEPTRON)))
    permute_test_labels(study)
    after = predictions(train(study, settings_of(PERCEPTRON), "again"))
    columns = ["lesion_id", "probability", "threshold", "predicted"]
    pd.testing.assert_frame_equal(after[columns], before[columns], check_exact=True)
    assert (after["malignant"] != before["malignant"]).sum() == (before["split"] == "test").sum()


@pytest.mark.parametrize(("tune", "moved"), [("decoder", {"decoder"}), ("all", {"decoder", "encoder"})])
def test_tuned_variants_train_what_they_say(study: Any, fake_model: Any, tune: str, moved: set[str]) -> None:
    output = train(study, settings_of(PERCEPTRON, **tuned(tune)))
    record = check_whole(study, output)
    history = pd.read_csv(output / "history.csv")
    assert history["phase"].unique().tolist() == ["network", "together"]
    saved = load_file(output / "seeds/0/model.safetensors")
    prefix = "front.network." if tune == "all" else "front."
    changed = {
        name.split(".")[0]
        for name, fresh in fake_model.network.state_dict().items()
        if prefix + name in saved and not np.allclose(saved[prefix + name].numpy(), fresh.numpy())
    }
    assert changed == moved
    masks = record["seeds"]["0"]["masks"]
    assert set(masks) == {"train", "validation", "test"}
    assert 0 < masks["test"]["dice_before"] < 1
    assert 0 <= masks["test"]["dice_after"] <= 1


@pytest.mark.usefixtures("fake_model")
def test_classification_and_segmentation_losses_are_kept_apart(study: Any) -> None:
    weights = (0.0, 1000.0)
    losses = {}
    for weight in weights:
        options = {"tune": "decoder", "tuning_epochs": 1, "tuning_learning_rate": 1e-9, "segmentation_weight": weight}
        output = train(study, settings_of(PERCEPTRON, input_options=options, epochs=2), f"weight_{weight:g}")
        history = pd.read_csv(output / "history.csv").set_index("phase")
        losses[weight] = history.loc["together", ["train_loss", "validation_loss", "train_segmentation_loss"]]
    # with a rate of nearly 0 the weight of the segmentation changes what is reported of it, and nothing else
    assert losses[1000.0]["train_loss"] == pytest.approx(losses[0.0]["train_loss"], rel=1e-3)
    assert losses[0.0]["train_segmentation_loss"] == 0
    assert losses[1000.0]["train_segmentation_loss"] > 100
    assert losses[1000.0]["train_loss"] < 2


class NormalisedEncoder(torch.nn.Module):
    """The tiny model's encoder with batch normalisation behind it."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.convolution, self.norm = encoder, torch.nn.BatchNorm2d(6)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.norm(self.convolution(batch))
        return features


def test_a_tuned_encoder_keeps_its_statistics(study: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: Any, **__: Any) -> Any:
        model = tiny.FakeModel()
        model.network.encoder = NormalisedEncoder(model.network.encoder)
        model.network.eval()
        return model

    monkeypatch.setattr("mammoflow.segmentation.loading.load_promptable", load)
    output = train(study, settings_of(PERCEPTRON, **tuned("all")))
    saved = load_file(output / "seeds/0/model.safetensors")
    assert saved["front.network.encoder.norm.num_batches_tracked"] == 0
    assert torch.equal(saved["front.network.encoder.norm.running_mean"], torch.zeros(6))
    assert not torch.equal(saved["front.network.encoder.norm.weight"], torch.ones(6))


@pytest.mark.usefixtures("fake_model")
@pytest.mark.parametrize("recomputes", [True, False])
def test_the_options_say_whether_activations_are_computed_again(
    study: Any, monkeypatch: pytest.MonkeyPatch, recomputes: bool
) -> None:
    class PreparedError(Exception):
        """Ends the test before the training."""

    def stop(*given: Any) -> Any:
        raise PreparedError(whole(*given).recomputes)

    whole = methods.prepare
    monkeypatch.setattr(methods, "prepare", stop)
    options = {"tune": "all", "gradient_checkpointing": recomputes}
    with pytest.raises(PreparedError, match=str(recomputes)):
        train(study, settings_of(PERCEPTRON, input_options=options))


@pytest.mark.usefixtures("fake_model")
def test_unknown_labels_are_predicted_and_lesions_without_a_prompt_are_kept(study: Any) -> None:
    def hide(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table["lesion_id"] == "P002_L_CC_0", "malignant"] = pd.NA
        return table

    study.rewrite_lesions(hide)
    for path in study.prompts:
        table = pd.read_parquet(path)
        table[table["lesion_id"] != "P001_L_CC_0"].to_parquet(path)
    output = train(study, settings_of(PERCEPTRON))
    table = predictions(output).set_index("lesion_id")
    assert pd.isna(table.loc["P002_L_CC_0", "malignant"])
    assert 0 <= table.loc["P002_L_CC_0", "probability"] <= 1
    assert pd.isna(table.loc["P001_L_CC_0", "probability"])
    assert pd.isna(table.loc["P001_L_CC_0", "predicted"])
    assert len(table) == len(study.lesions)
    assert record_of(output)["lesions_without_prompt"] == 1


@pytest.mark.usefixtures("fake_model")
def test_several_seeds_are_trained_apart_and_stand_in_one_table(study: Any) -> None:
    settings = settings_of(PERCEPTRON, **tuned("decoder"), seeds=[3, 5])
    both = train(study, settings, "both")
    check_whole(study, both)
    table = predictions(both)
    assert sorted(table["seed"].unique()) == [3, 5]
    for seed in (3, 5):
        alone = train(study, settings_of(PERCEPTRON, **tuned("decoder"), seeds=[seed]), "both")
        expected = predictions(alone)["probability"].to_numpy()
        np.testing.assert_array_equal(table.loc[table["seed"] == seed, "probability"].to_numpy(), expected)


@pytest.mark.usefixtures("fake_model")
def test_a_margin_that_no_prompt_has(study: Any) -> None:
    model = dataclasses.replace(study.files().model, margin_mm=7.0)
    with pytest.raises(StudyError, match=r"no box prompt at 7 mm; found margins \[0.0, 2.0\]"):
        train(study, settings_of(PERCEPTRON), model=model)


def test_test_patients_that_the_model_has_seen_are_counted(study: Any) -> None:
    test = study.lesions.loc[study.lesions["split"] == "test", "patient_id"].unique()
    seen = {test[0], study.lesions.loc[study.lesions["split"] == "train", "patient_id"].iloc[0]}
    for path in study.scores:
        table = read_table(path, SEGMENTATION_SCORES)
        write_table(table.assign(seen=table["patient_id"].isin(seen)), SEGMENTATION_SCORES, path)
    crops = train(study, settings_of(SMALL, input="masked_crop"), "crops")
    assert record_of(crops)["seen_test_patients"] == 1
    features = train(study, settings_of(SMALL, input="whole_image", vectors=["radiomics"]), "features")
    assert record_of(features)["seen_test_patients"] == 1
    options = {"image_px": 32, "mask": "reference"}
    oracle = train(study, settings_of(SMALL, input="masked_crop", input_options=options), "oracle")
    assert "seen_test_patients" not in record_of(oracle)
    assert record_of(oracle)["sees_reference_mask"]


def test_constant_outputs_are_marked(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain: Callable[..., Any] = ClassifierLearner.predict

    def constant(learner: ClassifierLearner, plan: Any) -> Any:
        return 0.4 + 1e-4 * plain(learner, plan)

    assert not record_of(train(study, settings_of(SMALL, input="masked_crop", epochs=3), "varies"))["constant"]
    monkeypatch.setattr(ClassifierLearner, "predict", constant)
    record = record_of(train(study, settings_of(SMALL, input="masked_crop"), "constant"))
    assert record["constant"]
    assert record["seeds"]["0"]["constant"]
    assert 1e-4 < results.CONSTANT_BELOW < 1e-2


def test_the_record_says_whether_patients_are_phantoms(study: Any) -> None:
    study.rewrite_lesions(lambda table: table.assign(phantom=True))
    output = train(study, settings_of(SMALL, input="whole_image"), "phantoms")
    assert json.loads((output / "seeds/0/record.json").read_text())["phantom"] is True


def test_weights_that_do_not_exist(study: Any) -> None:
    settings = settings_of(PICTURE, input="whole_image", weights=str(study.root / "none.pth"))
    with pytest.raises((WeightsError, FileNotFoundError), match=r"none\.pth"):
        train(study, settings)


@pytest.mark.parametrize("tune", ["none", "all"])
@pytest.mark.usefixtures("fake_model")
def test_a_killed_stage_resumes_and_a_changed_one_begins_anew(
    study: Any, monkeypatch: pytest.MonkeyPatch, tune: str
) -> None:
    settings = settings_of(PERCEPTRON, **tuned(tune))
    whole = train(study, settings, "whole")
    plain = ClassifierLearner.batches
    last = {"none": 5, "all": 1}[tune]

    def die(learner: ClassifierLearner, epoch: int) -> Any:
        phase_dies = (type(learner) is ClassifierLearner) == (tune == "none")
        if epoch == last and phase_dies:
            raise RuntimeError("killed")
        return plain(learner, epoch)

    monkeypatch.setattr(ClassifierLearner, "batches", die)
    with pytest.raises(RuntimeError, match="killed"):
        train(study, settings)
    output = study.root / "classification" / "classifier"
    assert not output.exists()
    states = output.parent / ".training" / output.name
    before = [path.name for path in states.iterdir()]
    with pytest.raises(RuntimeError, match="killed"):
        train(study, settings.model_copy(update={"dropout": 0.1}))
    assert [path.name for path in states.iterdir()] != before  # another setting, another state, the old one is gone
    with pytest.raises(RuntimeError, match="killed"):
        train(study, settings)
    monkeypatch.setattr(ClassifierLearner, "batches", plain)
    resumed = train(study, settings)
    assert record_of(resumed)["seeds"]["0"]["resumed_from"] == last
    pd.testing.assert_frame_equal(pd.read_csv(resumed / "history.csv"), pd.read_csv(whole / "history.csv"))
    np.testing.assert_array_equal(predictions(resumed)["probability"], predictions(whole)["probability"])
    assert (
        load_file(resumed / "seeds/0/model.safetensors").keys() == load_file(whole / "seeds/0/model.safetensors").keys()
    )
    check_whole(study, resumed)


def annotate_some_images_in_part(study: Any) -> None:
    benign = study.lesions.loc[study.lesions["malignant"] == 0, "image_id"].iloc[:4]
    study.rewrite_images(lambda table: table.assign(fully_annotated=~table["image_id"].isin(benign)))


def empty_some_masks(study: Any) -> None:
    for folder in study.masks:
        for file in pd.read_parquet(folder / "masks.parquet")["mask_file"].iloc[:4]:
            write_mask(folder / file, np.zeros((64, 48), dtype=np.bool_))


@pytest.mark.parametrize(
    ("given", "options", "change"),
    [
        ("whole_image", {}, annotate_some_images_in_part),
        ("masked_crop", {"mask": "reference", "least_dice": 0.0}, empty_some_masks),
    ],
)
def test_a_killed_training_begins_anew_where_other_rows_are_trained_on(
    study: Any, monkeypatch: pytest.MonkeyPatch, given: str, options: dict[str, Any], change: Callable[[Any], None]
) -> None:
    settings = settings_of(SMALL, input=given, input_options={"image_px": 32, **options}, epochs=2)
    plain = ClassifierLearner.batches

    def die(learner: ClassifierLearner, epoch: int) -> Any:
        if epoch == 1:
            raise RuntimeError("killed")
        return plain(learner, epoch)

    monkeypatch.setattr(ClassifierLearner, "batches", die)
    with pytest.raises(RuntimeError, match="killed"):
        train(study, settings)
    monkeypatch.setattr(ClassifierLearner, "batches", plain)
    change(study)
    assert record_of(train(study, settings))["seeds"]["0"]["resumed_from"] == 0


def test_lightning_is_not_loaded() -> None:
    assert "mammoflow.classification.stage" in sys.modules
    assert "lightning" not in sys.modules
