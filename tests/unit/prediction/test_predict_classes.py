"""The classifiers of a run name the class of single pictures, with the probabilities that the run would give them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from mammoflow import predict_classes
from mammoflow.classification.classes.stage import train_class_classifier
from mammoflow.classification.samples import Files
from mammoflow.cli import main
from mammoflow.config.base import validate_settings
from mammoflow.config.classification import ClassifierSettings
from mammoflow.config.documentation import settings_text
from mammoflow.config.images import ImagesSettings
from mammoflow.errors import ConfigError, StudyError, WeightsError
from mammoflow.prediction import films
from mammoflow.prediction.classes import read_class_run
from mammoflow.prediction.films import prepare_films
from mammoflow.prediction.requests import FilmRequest, LesionRequest
from mammoflow.storage.files import write_text
from mammoflow.tables.classes import CLASS_PREDICTIONS, IMAGE_CLASSES
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS

LEVELS = {"dark": 40, "grey": 120, "bright": 210}
NAMES = tuple(LEVELS)
SPLITS = ("train", "train", "validation", "test")
THREE = {
    "input": "whole_image", "network": "resnet_small", "network_options": {"width": 8, "blocks": 1},
    "target": "classes", "epochs": 1, "seeds": [0, 1], "batch_size": 4, "device": "cpu", "calibrate": "none",
    "input_options": {"image_px": 32},
}  # fmt: skip


def in_this_process(work: Callable[[Any], Any], cases: list[Any], *_: object, **__: object) -> Iterator[Any]:
    """Do what `map_isolated` does, without starting processes."""
    yield from ((number, work(case)) for number, case in enumerate(cases))


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(films, "map_isolated", in_this_process)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose classifier tells dark, grey and bright pictures apart; the pictures are in `pictures/`."""
    root = tmp_path_factory.mktemp("classes")
    (root / "pictures").mkdir()
    requests, classes = [], []
    for number in range(12):
        name = NAMES[number % 3]
        pixels = np.random.default_rng(number).normal(LEVELS[name], 9, (48, 64)).clip(0, 255).astype(np.uint8)
        path = root / "pictures" / f"{number:02d}.png"
        Image.fromarray(pixels).save(path)
        requests.append(FilmRequest(path, path.stem, (LesionRequest((10, 10, 30, 30)),), None, (48, 64)))
        keys = {"image_id": f"film-{number}", "patient_id": f"film-{number}"}
        classes.append({**keys, "image_class": name, "class_number": number % 3})
    settings = ImagesSettings(longest_side_px=128, breast_region="whole", without_spacing="pixels", patch_mm=40.0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(films, "map_isolated", in_this_process)
        prepared = prepare_films(requests, settings, root / "images", 1, None)
    for table, schema, name in (
        (prepared.images, CANONICAL_IMAGES, "images"),
        (prepared.lesions, CANONICAL_LESIONS, "lesions"),
    ):
        number = table["image_id"].str.removeprefix("film-").astype(int)
        write_table(
            table.assign(split=[SPLITS[each // 3] for each in number]), schema, root / "images" / f"{name}.parquet"
        )
    write_table(pd.DataFrame(classes), IMAGE_CLASSES, root / "classes.parquet")
    write_text(root / "settings" / "images.yaml", settings_text(settings))
    chosen = validate_settings(ClassifierSettings, THREE, "test")
    files = Files([root / "images"], classes=root / "classes.parquet")
    train_class_classifier(chosen, "three", files, root / "classification" / "three", 1)
    malignancy = {**THREE, "target": "malignant"}
    record = {"settings": validate_settings(ClassifierSettings, malignancy, "test").model_dump(mode="json")}
    write_text(root / "classification" / "malignancy" / "training.json", json.dumps({**record, "seeds": {"0": {}}}))
    return root


def test_pictures_get_the_probabilities_of_the_run(run: Path) -> None:
    pictures = sorted((run / "pictures").iterdir())
    found = predict_classes(pictures, run).set_index("image")
    trained = read_table(run / "classification" / "three" / "class_predictions.parquet", CLASS_PREDICTIONS)
    mean = trained.groupby(["image_id", "predicted_class"])["probability"].mean().unstack()
    columns = [f"probability_{name}" for name in NAMES]
    assert list(found.columns) == ["classifier", "predicted_class", *columns]
    expected = mean.loc[[f"film-{number}" for number in range(12)], list(NAMES)].to_numpy()
    assert found.loc[list(map(str, pictures)), columns].to_numpy() == pytest.approx(expected, abs=1e-6)
    assert found["predicted_class"].tolist() == [NAMES[place] for place in expected.argmax(axis=1)]


def test_a_table_is_answered_in_files_and_what_cannot_be_used_is_listed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = run / "films.csv"
    table.write_text("image\npictures/03.png\npictures/99.png\n\npictures/04.png\n", encoding="utf-8")
    found = predict_classes(table, run, out=tmp_path / "out")
    assert found["image"].tolist() == ["pictures/03.png", "pictures/04.png"]
    assert found["row"].tolist() == ["films.csv row 2", "films.csv row 5"]
    written = pd.read_csv(tmp_path / "out" / "results.csv")
    assert written["predicted_class"].tolist() == found["predicted_class"].tolist()
    left_out = pd.read_csv(tmp_path / "out" / "left_out.csv")
    assert left_out[["row", "image"]].to_numpy().tolist() == [["films.csv row 3", "pictures/99.png"]]
    assert "99.png" in capsys.readouterr().err
    record = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert record["classifiers"]["three"]["classes"] == list(NAMES)
    assert record["classifiers"]["three"]["trained_on"]["images"] == 6
    assert list(record["classifiers_left_out"]) == ["malignancy"]


def test_impossible_spacings_are_refused_and_their_rows_left_out(run: Path, tmp_path: Path) -> None:
    picture = run / "pictures" / "03.png"
    with pytest.raises(ConfigError, match="found 70 mm a pixel"):
        predict_classes([picture], run, spacing_mm=70)
    table = run / "spacings.csv"
    table.write_text("image,spacing\npictures/03.png,70\npictures/04.png,0.07\n", encoding="utf-8")
    found = predict_classes(table, run, out=tmp_path / "out")
    assert [Path(path).name for path in found["image"]] == ["04.png"]
    left_out = pd.read_csv(tmp_path / "out" / "left_out.csv")
    assert left_out["reason"].str.contains("found 70 mm a pixel").tolist() == [True]


def test_weights_that_are_not_those_of_their_record_are_refused(run: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    for name in ("settings", "classification"):
        shutil.copytree(run / name, changed / name)
    seeds = changed / "classification" / "three" / "seeds"
    shutil.copyfile(seeds / "1" / "model.safetensors", seeds / "0" / "model.safetensors")
    with pytest.raises(WeightsError, match=r"have the digest .*, and their record names"):
        predict_classes([run / "pictures" / "03.png"], changed)


def test_a_device_that_is_named_counts_before_that_of_the_training(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for name in ("settings", "classification"):
        shutil.copytree(run / name, other / name)
    path = other / "classification" / "three" / "training.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    write_text(path, json.dumps({**record, "settings": {**record["settings"], "device": "cuda"}}))
    for asked, used in (("cpu", "cpu"), ("auto", "cuda")):
        assert [one.settings.device for one in read_class_run(other, device=asked).classifiers] == [used]
    words = ["predict", str(run / "pictures" / "02.png"), "--classify", str(other), "--out", str(tmp_path / "out")]
    said = CliRunner().invoke(main, [*words, "--device", "cpu"])
    assert said.exit_code == 0, said.output


def test_a_file_name_that_is_no_utf_8_is_written_as_an_escape(run: Path, tmp_path: Path) -> None:
    picture, absent = (tmp_path / os.fsdecode(name) for name in (b"M\xfcller.png", b"\xfc.png"))
    shutil.copyfile(run / "pictures" / "03.png", picture)
    found = predict_classes([picture, absent], run, out=tmp_path / "out")
    assert found["image"].tolist() == [str(tmp_path / "M\\udcfcller.png")]
    for name, written in (("results", "M\\udcfcller.png"), ("left_out", "\\udcfc.png")):
        assert pd.read_csv(tmp_path / "out" / f"{name}.csv")["image"].tolist() == [str(tmp_path / written)]


def test_a_fold_has_the_settings_of_its_run(run: Path) -> None:
    fold = run / "fold-0"
    fold.mkdir()
    (fold / "classification").symlink_to(run / "classification")
    picture = run / "pictures" / "00.png"
    assert predict_classes([picture], fold).equals(predict_classes([picture], run))


def test_the_command_names_the_class_and_refuses_options_of_masks(run: Path, tmp_path: Path) -> None:
    words = ["predict", str(run / "pictures" / "02.png"), "--classify", str(run), "--out", str(tmp_path / "out")]
    said = CliRunner().invoke(main, words)
    assert said.exit_code == 0, said.output
    probabilities = [float(word.rstrip("),")) for word in said.output.splitlines()[0].split() if word[0].isdigit()]
    assert sum(probabilities) == pytest.approx(1, abs=0.02)
    assert " by three (dark 0." in said.output
    (run / "two.csv").write_text("image\npictures/02.png\npictures/05.png\n", encoding="utf-8")
    many = CliRunner().invoke(main, ["predict", str(run / "two.csv"), *words[2:]])
    counts = [line.rpartition(" by three: ")[2] for line in many.output.splitlines() if " by three: " in line]
    assert sum(map(int, counts)) == 2, many.output
    refused = CliRunner().invoke(main, [*words, "--window"])
    assert refused.exit_code == 2
    assert "--window is given without a box or a point" in refused.output


def test_a_run_without_such_a_classifier_is_refused(run: Path, tmp_path: Path) -> None:
    picture = run / "pictures" / "00.png"
    with pytest.raises(ConfigError, match="predicts the malignancy of lesions; expected target: classes"):
        predict_classes([picture], run, classifiers=["malignancy"])
    with pytest.raises(ConfigError, match=r"classifier 'four' is not in .*; expected some of malignancy, three"):
        predict_classes([picture], run, classifiers=["four"])
    (tmp_path / "classification").mkdir()
    (tmp_path / "classification" / "malignancy").symlink_to(run / "classification" / "malignancy")
    with pytest.raises(ConfigError, match="neither a box nor a point, and no classifier of"):
        predict_classes([picture], tmp_path)
    (tmp_path / "fold-0").mkdir()
    (tmp_path / "classification" / "malignancy").unlink()
    with pytest.raises(StudyError, match=r"has no trained classifier; .*fold-0"):
        predict_classes([picture], tmp_path)
    with pytest.raises(StudyError, match="no picture can be used"):
        predict_classes([run / "pictures" / "99.png"], run)
