"""The table of few labels against differences computed by hand."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mammoflow.config.automatic import AutomaticTrainingSettings
from mammoflow.evaluation.bootstrap import PatientBootstrap
from mammoflow.evaluation.candidates import CLASSIFIER, Candidate
from mammoflow.evaluation.few_labels import FEW_LABELS_COLUMNS, few_labels_table
from mammoflow.evaluation.few_labels_figure import draw_few_labels
from mammoflow.storage.files import file_digest
from mammoflow.weights.origin import settings_digest, write_origin
from mammoflow.weights.registry import ModelSpec

BOOTSTRAP = PatientBootstrap(resamples=200, confidence=0.95, seed=1)
IMAGES = 12

MODELS: dict[str, dict[str, Any]] = {
    "full": {"trainer": "supervised", "label_fraction": 1.0, "dice": 0.8},
    "plain_0": {"trainer": "supervised", "label_fraction": 0.1, "dice": 0.4},
    "plain_1": {"trainer": "supervised", "label_fraction": 0.1, "label_draw": 1, "dice": 0.5},
    "mean_0": {"trainer": "mean_teacher", "label_fraction": 0.1, "dice": 0.6},
    "mean_1": {"trainer": "mean_teacher", "label_fraction": 0.1, "label_draw": 1, "dice": 0.65},
    "mean_2": {"trainer": "mean_teacher", "label_fraction": 0.1, "label_draw": 2, "dice": 0.1, "steps": 99},
    "boxes": {"trainer": "supervised", "label_fraction": 1.0, "labels": "boxes from small", "dice": 0.75},
}
"""Models, what their record says, and the mean of their Dice."""


def made_up() -> Any:
    """Return the parts of a run that the table reads; each model differs from the others by a constant and noise."""
    maps, weights = [], {}
    for place, (model, facts) in enumerate(MODELS.items()):
        noise = np.random.default_rng(place).uniform(-0.05, 0.05, IMAGES)
        dice = facts["dice"] + noise - noise.mean()
        for image in range(IMAGES):
            maps.append(
                {
                    "model": model, "image_id": f"I{image}", "patient_id": f"P{image // 2}", "split": "test",
                    "fully_annotated": True, "reference_area_mm2": 50.0, "dice": dice[image], "seen": False,
                }
            )  # fmt: skip
        maps.append({**maps[-1], "image_id": "normal", "reference_area_mm2": 0.0, "dice": 1.0})
        maps.append({**maps[-1], "image_id": "train", "split": "train", "reference_area_mm2": 9.0, "dice": 0.0})
        training = {"label_draw": 0, "labels": "masks", "seed": 0, "steps": 100, "labelled_patients": 7, **facts}
        weights[model] = {"architecture": "unet_16", "training": training}
    weights["small"] = {"architecture": "small"}
    images = pd.DataFrame({"image_id": [*{row["image_id"]: None for row in maps}]})
    return SimpleNamespace(maps=pd.DataFrame(maps), images=images, weights=weights, training={})


def no_lesions() -> pd.DataFrame:
    return pd.DataFrame({"split": [], "malignant": [], "patient_id": []})


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return few_labels_table(made_up(), [], no_lesions(), BOOTSTRAP)


def row(table: pd.DataFrame, method: str, fraction: float, labels: str = "masks") -> pd.Series:
    found = table[(table["method"] == method) & (table["label_fraction"] == fraction) & (table["labels"] == labels)]
    assert len(found) == 1
    return found.iloc[0]


def test_a_row_joins_draws_and_counts_images_with_a_lesion(table: pd.DataFrame) -> None:
    assert len(table) == 4
    plain = row(table, "supervised", 0.1)
    assert plain["value"] == pytest.approx(0.45)
    assert (plain["n"], plain["patients"], plain["trainings"], plain["draws"], plain["seeds"]) == (12, 6, 2, 2, 1)
    assert plain["spread"] == pytest.approx(np.std([0.4, 0.5], ddof=1))
    assert plain["value_low"] < 0.45 < plain["value_high"]
    assert plain["labelled_patients"] == 7


def test_differences_are_those_of_the_same_draws(table: pd.DataFrame) -> None:
    mean = row(table, "mean_teacher", 0.1)
    assert mean["value"] == pytest.approx((0.6 + 0.65 + 0.1) / 3)
    assert mean["pairs"] == 2  # the third draw has no supervised training beside it
    assert mean["against_supervised"] == pytest.approx(0.625 - 0.45)
    maps = made_up().maps.pivot(index="image_id", columns="model", values="dice").loc[[f"I{n}" for n in range(IMAGES)]]
    paired = (maps["mean_0"] + maps["mean_1"] - maps["plain_0"] - maps["plain_1"]) / 2
    bounds = BOOTSTRAP.mean(paired.to_numpy(), [f"P{n // 2}" for n in range(IMAGES)])
    assert (mean["against_supervised_low"], mean["against_supervised_high"]) == pytest.approx((bounds.low, bounds.high))
    assert mean["against_full"] == pytest.approx(0.45 - 0.8)
    assert mean["equal_steps"]
    assert np.isnan(row(table, "supervised", 0.1)["against_supervised"])
    assert row(table, "supervised", 0.1)["against_full"] == pytest.approx(0.45 - 0.8)
    assert np.isnan(row(table, "supervised", 1.0)["against_full"])


def test_weak_labels_are_compared_with_masks(table: pd.DataFrame) -> None:
    boxes = row(table, "supervised", 1.0, "boxes from small")
    assert boxes["against_supervised"] == pytest.approx(-0.05)
    assert boxes["against_full"] == pytest.approx(-0.05)


@pytest.mark.parametrize(("malignant", "n"), [(1, IMAGES - 2), (None, IMAGES)])
def test_images_of_unknown_malignancy_take_no_part_beside_known_ones(malignant: int | None, n: int) -> None:
    run = made_up()
    first = run.images["image_id"].isin(["I0", "I1"])
    run.images = run.images.assign(labelled=~first & (malignant is not None))
    known = np.where(first, None, malignant)
    run.lesions = pd.DataFrame({"image_id": run.images["image_id"], "malignant": known})
    full = row(few_labels_table(run, [], no_lesions(), BOOTSTRAP), "supervised", 1.0)
    assert (full["n"], full["patients"]) == (n, n // 2)
    dice = run.maps[(run.maps["model"] == "full") & run.maps["image_id"].str.startswith("I")].set_index("image_id")
    measured = dice["dice"] if malignant is None else dice["dice"].drop(["I0", "I1"])
    assert full["value"] == pytest.approx(measured.mean())


def test_models_with_other_settings_are_another_network() -> None:
    run = made_up()
    for model in MODELS:
        run.weights[model]["training"]["settings_digest"] = "b" if model in ("plain_1", "mean_1") else "a"
    table = few_labels_table(run, [], no_lesions(), BOOTSTRAP)
    first, second = (table[table["network"] == f"unet_16, settings {number}"] for number in (1, 2))
    assert len(first) + len(second) == len(table)
    plain, other = (row(part, "supervised", 0.1) for part in (first, second))
    assert (plain["value"], plain["trainings"]) == (pytest.approx(0.4), 1)
    assert (other["value"], other["trainings"]) == (pytest.approx(0.5), 1)
    assert np.isnan(other["against_full"])  # no training with all labels has these settings
    assert row(second, "mean_teacher", 0.1)["against_supervised"] == pytest.approx(0.65 - 0.5)


def test_other_steps_are_marked() -> None:
    run = made_up()
    run.weights["mean_0"]["training"]["steps"] = 50
    assert not row(few_labels_table(run, [], no_lesions(), BOOTSTRAP), "mean_teacher", 0.1)["equal_steps"]


def test_ordinary_trainings_give_no_row() -> None:
    run = made_up()
    run.weights = {name: run.weights[name] for name in ("full", "small")}
    empty = few_labels_table(run, [], no_lesions(), BOOTSTRAP)
    assert empty.empty
    assert list(empty.columns) == list(FEW_LABELS_COLUMNS)


def test_classifiers_are_compared_by_auc() -> None:
    lesions = pd.DataFrame(
        {"split": "test", "malignant": [1, 0] * 10, "patient_id": [f"P{n}" for n in range(20)]},
        index=[f"L{n}" for n in range(20)],
    )
    generator = np.random.default_rng(0)
    names, training, candidates = ("plain", "better"), {}, []
    for name, distance in zip(names, (0.3, 2.5), strict=True):
        runs = {}
        for seed in (0, 1):
            score = generator.normal(size=20) + distance * lesions["malignant"].to_numpy()
            runs[seed] = pd.DataFrame({"score": score, "predicted": 1.0}, index=lesions.index)
        candidates.append(Candidate(name, CLASSIFIER, runs))
        trainer = "supervised" if name == "plain" else "fixmatch"
        settings = {"network": "resnet_small", "trainer": trainer, "seeds": [0, 1], "title": name}
        training[name] = {"settings": settings, "label_fraction": 0.1, "label_draw": 0, "steps": 10}
    run = SimpleNamespace(maps=made_up().maps[:0], images=made_up().images, weights={}, training=training)
    table = few_labels_table(run, candidates, lesions, BOOTSTRAP)  # type: ignore[arg-type]
    assert table["figure"].tolist() == ["auc", "auc"]
    assert table["network"].tolist() == ["classifier 1", "classifier 1"]
    plain, better = (row(table, method, 0.1) for method in ("supervised", "fixmatch"))
    aucs = [
        np.mean(
            [
                np.mean([[a > b for b in one["score"][1::2]] for a in one["score"][::2]])
                for one in candidate.runs.values()
            ]
        )
        for candidate in candidates
    ]
    assert (plain["value"], better["value"]) == pytest.approx(tuple(aucs))
    assert better["against_supervised"] == pytest.approx(aucs[1] - aucs[0])
    assert better["against_supervised_low"] < aucs[1] - aucs[0] < better["against_supervised_high"]
    assert (better["trainings"], better["pairs"]) == (2, 2)


def test_the_figure_is_drawn(table: pd.DataFrame, tmp_path: Path, not_rendered: Any) -> None:
    with not_rendered():
        draw_few_labels(tmp_path / "few_labels.png", table, phantom=True)
    assert (tmp_path / "few_labels.png").is_file()


def test_the_digest_of_settings_tells_losses_apart_but_not_labels_method_seed_and_device() -> None:
    settings = AutomaticTrainingSettings().model_dump(mode="json")
    digest = settings_digest(settings)
    few = {"few_labels": {"fraction": 0.1}, "labels": {"kind": "boxes"}, "copy_paste": 0.3}
    same = few | {"synthetic_lesions": {"model": "lesions"}, "seed": 7, "device": "cuda", "trainer": "fixmatch"}
    assert settings_digest(dict(reversed((settings | same).items()))) == digest
    changes = ({"loss": "bce"}, {"augmentation": "none"}, {"side_px": 96}, {"encoder_weights": "x"}, {"epochs": 3})
    assert len({digest, *(settings_digest(settings | change) for change in changes)}) == 6


def test_the_record_of_weights_goes_beside_the_tables_of_their_segmentation(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    record = {"weights_sha256": file_digest(weights), "trainer": "fixmatch", "settings": {"seed": 3}, "seconds": 9}
    (tmp_path / "record.json").write_text(json.dumps(record), encoding="utf-8")
    write_origin(tmp_path, ModelSpec("mine", "unet_16", weights))
    origin = json.loads((tmp_path / "weights.json").read_text(encoding="utf-8"))
    assert (origin["training"]["trainer"], origin["training"]["seed"]) == ("fixmatch", 3)
    assert origin["training"]["settings_digest"] == settings_digest({})
    weights.write_bytes(b"other weights")
    write_origin(tmp_path, ModelSpec("mine", "unet_16", weights))
    assert "training" not in json.loads((tmp_path / "weights.json").read_text(encoding="utf-8"))
