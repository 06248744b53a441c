"""The record of a training: its content, the learning curve, and weights that carry it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import nn

from mammoflow.config.training import TrainingSettings
from mammoflow.storage.files import file_digest
from mammoflow.training.loop import Fit
from mammoflow.training.plan import Plan
from mammoflow.training.record import (
    EFFORT,
    TrainingRecord,
    count_parameters,
    last_precision,
    write_history,
    write_training,
    write_weights,
)

HISTORY = [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25}]


def make_record(computed: tuple[tuple[str, str], ...] = (("cpu", "32-true"),), **changes: Any) -> TrainingRecord:
    settings = TrainingSettings(epochs=2, seed=3)
    fitted = Fit(HISTORY, 2, 1, seconds=1.234, peak_memory=1000, halvings=1, computed=computed)
    values: dict[str, Any] = {
        "patients": ["b/P_2", "a/P_1", "a/P_1"],
        "validation_patients": ["a/P_3"],
        "phantom": True,
        "parameters": (5, 7),
        "facts": {"lesions": {"a": 3}},
        **changes,
    }
    return TrainingRecord.of("line", settings, Plan.of(settings, torch.device("cpu")), fitted, 2, **values)


def test_record_says_what_was_done() -> None:
    content = make_record().content()
    assert content["patients"] == ["a/P_1", "b/P_2"]
    assert (content["trainable_parameters"], content["total_parameters"]) == (5, 7)
    assert (content["epochs"], content["chosen_epoch"], content["resumed_from"]) == (2, 2, 1)
    assert (content["device"], content["threads"], content["precision"]) == ("cpu", 2, "32-true")
    assert (content["seconds"], content["peak_memory_bytes"], content["halvings"]) == (1.23, 1000, 1)
    assert content["phantom"] is True
    assert content["lesions"] == {"a": 3}
    assert content["settings"]["seed"] == 3
    assert content["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert "facts" not in content


def test_weights_of_a_killed_training_have_the_bytes_of_an_unbroken_one(tmp_path: Path) -> None:
    state = {"weight": torch.ones(2), "bias": torch.zeros(1)}
    for name, effort in (("whole", {"resumed_from": 0, "seconds": 2.0}), ("killed", {"peak_memory_bytes": 7})):
        record = dataclasses.replace(make_record(), **effort)
        write_weights(tmp_path / name, state, record, {"architecture": "line", "setup": "{}", "another": "key"})
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "killed").read_bytes()


def test_several_devices_and_precisions_are_named_in_order() -> None:
    gpu, cpu = ("cuda", "bf16-mixed"), ("cpu", "32-true")
    record = make_record(computed=(gpu, cpu))
    assert (record.device, record.precision) == ("cuda, cpu", "bf16-mixed, 32-true")
    assert last_precision(record.precision) == "32-true"
    record = make_record(computed=(("cpu", "bf16-mixed"), cpu))
    assert (record.device, record.precision) == ("cpu", "bf16-mixed, 32-true")
    assert last_precision(make_record().precision) == "32-true"


def test_a_fact_does_not_hide_what_every_record_says() -> None:
    with pytest.raises(ValueError, match=r"\['seconds'\]; expected other keys"):
        make_record(facts={"seconds": 0}).content()


def test_versions_of_further_packages_are_recorded_and_a_missing_one_is_empty() -> None:
    versions = make_record(packages=("safetensors", "no-such-package")).versions
    assert versions["safetensors"]
    assert versions["no-such-package"] == ""


def test_parameters_are_counted_once() -> None:
    layer = nn.Linear(2, 3)
    network = nn.Sequential(layer, layer)
    assert count_parameters([layer.weight], network, layer) == (6, 9)
    assert count_parameters([nn.Parameter(torch.zeros(4)), layer.bias], layer) == (7, 13)


def test_weights_carry_the_record_and_the_record_names_the_weights(tmp_path: Path) -> None:
    state = {"weight": torch.arange(6.0).reshape(2, 3).T}
    write_training(tmp_path, "model.safetensors", "record.json", state, make_record(), HISTORY, {"mammoflow": "{}"})
    assert {path.name for path in tmp_path.iterdir()} == {"model.safetensors", "record.json", "history.csv"}
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert torch.equal(file.get_tensor("weight"), state["weight"])
        assert file.metadata()["mammoflow"] == "{}"
        carried = json.loads(file.metadata()["training"])
    record = json.loads((tmp_path / "record.json").read_text())
    assert record.pop("weights_sha256") == file_digest(tmp_path / "model.safetensors")
    assert carried == {key: value for key, value in record.items() if key not in EFFORT}
    assert record["phantom"] is True


def test_learning_curve_has_all_columns(tmp_path: Path) -> None:
    write_history(tmp_path / "history.csv", [*HISTORY, {"epoch": 3, "train_loss": 0.1, "validation_auc": 0.75}])
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines == ["epoch,train_loss,validation_auc", "1,0.5,", "2,0.25,", "3,0.1,0.75"]
