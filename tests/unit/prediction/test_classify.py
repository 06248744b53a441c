"""The classifiers of a finished run judge single films with the settings, calibration and threshold of the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from click.testing import CliRunner

from mammoflow.cli import main
from mammoflow.config.base import validate_settings
from mammoflow.config.classification import ClassifierSettings
from mammoflow.config.documentation import settings_text
from mammoflow.config.images import ImagesSettings
from mammoflow.config.prompted import SegmentSettings
from mammoflow.config.prompts import PromptSettings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.prediction.api import make_plan, predict
from mammoflow.prediction.runs import _reported, read_run
from mammoflow.storage.files import write_text

CROP = {
    "input": "context_crop",
    "network": "resnet_small",
    "network_options": {"width": 8, "blocks": 1},
    "epochs": 1,
    "batch_size": 8,
    "device": "cpu",
    "input_options": {"image_px": 32},
}
MARGIN_MM = 4.0


@pytest.fixture(scope="module")
def run(written_study: Any, tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with a classifier of crops and one that also takes features."""
    tiny_study = written_study.copy(tmp_path_factory.mktemp("run") / "tiny")
    root = Path(tiny_study.root)
    tiny.train(tiny_study, {**CROP, "seeds": [0, 1]}, "crop")
    tiny.train(tiny_study, {**CROP, "vectors": ["radiomics"]}, "with_features")
    prompts = PromptSettings(margins_mm=[0.0, MARGIN_MM], default_margin_mm=MARGIN_MM)
    stages = {"images": ImagesSettings(longest_side_px=256), "prompts": prompts}
    for name, settings in {**stages, "segmentation/small": SegmentSettings(device="cpu")}.items():
        write_text(root / "settings" / f"{name}.yaml", settings_text(settings))
    return root


def test_lesions_are_judged_with_the_settings_of_the_run(run: Path, film: Path, made_up: ModuleType) -> None:
    out = film.parent / "out"
    answered = predict(film, [made_up.BOX], out=out, spacing_mm=0.25, threads=1, classify=run)
    content = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert content["model"]["box_margin_mm"] == MARGIN_MM
    assert list(content["classifiers_left_out"]) == ["with_features"]
    said = content["lesions"][0]["malignancy"]["crop"]
    record = json.loads((run / "classification" / "crop" / "training.json").read_text(encoding="utf-8"))
    thresholds = [record["seeds"][seed]["threshold"] for seed in ("0", "1")]
    assert said["threshold"] == pytest.approx(np.mean(thresholds), abs=1e-4)
    assert 0 < said["probability"] < 1
    assert said["malignant"] == (said["probability"] >= said["threshold"])
    assert said["calibration"] == "temperature"
    assert said["trained_on"]["patients"] > 0
    assert said["masks_of_other_weights"] is False
    assert answered.lesions[0].malignancy["crop"].probability == pytest.approx(said["probability"], abs=1e-4)
    report = hd.sr.srread(out / "report.dcm")
    (group,) = report.content.get_planar_roi_measurement_groups()
    percent = {item.name.meaning: item.value for item in group.get_measurements()}["Probability of cancer"]
    assert percent == pytest.approx(100 * said["probability"], abs=0.01)


def with_embedding(run: Path, folder: Path) -> Path:
    """Copy a run, and give it a classifier that says to read the embedding of a lesion."""
    both = folder / "both"
    shutil.copytree(run, both)
    record = json.loads((both / "classification" / "crop" / "training.json").read_text(encoding="utf-8"))
    shutil.copytree(both / "classification" / "crop", both / "classification" / "embedding")
    settings = record["settings"] | {"input": "prompted", "network": "perceptron", "test_time_flips": "none"}
    settings |= {"input_options": {}, "network_options": {}}
    text = json.dumps({**record, "settings": settings})
    (both / "classification" / "embedding" / "training.json").write_text(text, encoding="utf-8")
    return both


def test_points_have_no_embedding_of_a_lesion_and_the_other_classifiers_answer(
    run: Path, film: Path, made_up: ModuleType, tmp_path: Path
) -> None:
    both = with_embedding(run, tmp_path)
    x0, y0, x1, y1 = made_up.BOX
    point = ((x0 + x1) / 2, (y0 + y1) / 2)
    for boxes in ([], [made_up.BOX]):
        answered = predict(film, boxes, points=[point], out=tmp_path / f"out{len(boxes)}", spacing_mm=0.25,
                           threads=1, classify=both)  # fmt: skip
        (lesion,) = answered.lesions
        assert lesion.malignancy["embedding"].probability is None
        assert lesion.malignancy["embedding"].malignant is None
        assert lesion.malignancy["embedding"].threshold == pytest.approx(lesion.malignancy["crop"].threshold)
        assert 0 < lesion.malignancy["crop"].probability < 1


def test_another_margin_leaves_classifiers_of_embeddings_without_an_answer(
    run: Path, film: Path, made_up: ModuleType, tmp_path: Path
) -> None:
    both = with_embedding(run, tmp_path)
    answered = predict(film, [made_up.BOX], out=tmp_path / "out", spacing_mm=0.25, threads=1, classify=both,
                       margin_mm=MARGIN_MM + 1)  # fmt: skip
    assert answered.lesions[0].malignancy["embedding"].probability is None
    assert 0 < answered.lesions[0].malignancy["crop"].probability < 1


def test_a_classifier_that_left_the_configuration_is_not_applied(run: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(run, changed)
    shutil.copytree(changed / "classification" / "crop", changed / "classification" / "old")
    assert {one.folder.name for one in read_run(changed).classifiers} == {"crop", "old"}
    write_text(changed / "run.json", json.dumps({"values": {"classification": {"run": ["crop"]}}}))
    found = read_run(changed)
    assert [one.folder.name for one in found.classifiers] == ["crop"]
    assert "no longer in classification.run" in found.left_out["old"]
    with pytest.raises(ConfigError, match=r"'old' is no longer in classification\.run"):
        read_run(changed, ["old"])


def test_a_fold_has_the_settings_and_models_of_its_run(run: Path, tmp_path: Path) -> None:
    folds = tmp_path / "folds"
    shutil.copytree(run, folds)
    (folds / "fold-0").mkdir()
    (folds / "classification").rename(folds / "fold-0" / "classification")
    of_run, of_fold = read_run(run), read_run(folds / "fold-0")
    assert (of_fold.images, of_fold.segment, of_fold.margin_mm) == (of_run.images, of_run.segment, of_run.margin_mm)
    assert (of_fold.model, of_fold.reported) == (of_run.model, of_run.reported)


def test_masks_of_other_weights_than_those_of_the_run_are_said(
    run: Path, film: Path, made_up: ModuleType, tmp_path: Path
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(run, changed)
    record = changed / "segmentation" / "small" / "00" / "weights.json"
    write_text(record, json.dumps({"architecture": "small", "sha256": "another"}))
    (lesion,) = predict(film, [made_up.BOX], spacing_mm=0.25, threads=1, classify=changed).lesions
    assert lesion.malignancy["crop"].facts["masks_of_other_weights"] is True
    assert lesion.notes == ("the mask is of other weights than the masks that the training of crop read",)


def test_a_device_that_is_named_counts_before_those_of_the_run(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    write_text(other / "settings" / "segmentation" / "small.yaml", settings_text(SegmentSettings(device="cuda")))
    path = other / "classification" / "crop" / "training.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    write_text(path, json.dumps({**record, "settings": {**record["settings"], "device": "cuda"}}))
    for asked, used in (("cpu", "cpu"), ("auto", "cuda")):
        plan = make_plan("", None, "", None, None, asked, "auto", None, 1, other)
        assert plan.run is not None
        assert [plan.segment.device, *(one.settings.device for one in plan.run.classifiers)] == [used, used]


def test_what_a_run_lacks_is_said(run: Path, film: Path, made_up: ModuleType, tmp_path: Path) -> None:
    asked = {"spacing_mm": 0.25, "threads": 1, "classify": run}
    with pytest.raises(ConfigError, match=r"classifier 'crops' is not in .* expected some of crop, with_features"):
        predict(film, [made_up.BOX], classifiers=["crops"], **asked)
    with pytest.raises(ConfigError, match="also takes radiomics"):
        predict(film, [made_up.BOX], classifiers=["with_features"], **asked)
    with pytest.raises(ConfigError, match="model 'lite_medsam' did not segment the run"):
        predict(film, [made_up.BOX], model="lite_medsam", **asked)
    with pytest.raises(StudyError, match="has no trained classifier"):
        predict(film, [made_up.BOX], **{**asked, "classify": tmp_path})
    with pytest.raises(ConfigError, match="named without a run"):
        predict(film, [made_up.BOX], spacing_mm=0.25, classifiers=["crop"])


def test_command_prints_the_probability(run: Path, film: Path, made_up: ModuleType) -> None:
    box = ",".join(map(str, made_up.BOX))
    words = ["predict", str(film), "--box", box, "--spacing", "0.25", "--out", str(film.parent / "out")]
    result = CliRunner().invoke(main, [*words, "--threads", "1", "--classify", str(run), "--classifier", "crop"])
    assert result.exit_code == 0, result.output
    assert "malignancy by crop 0." in result.output


def test_a_run_that_only_applied_classifiers_is_refused(tmp_path: Path) -> None:
    settings = validate_settings(ClassifierSettings, CROP, "test").model_dump(mode="json")
    record = {"settings": settings, "seeds": {"0": {}}, "trained_elsewhere": {"folder": "results/other"}}
    write_text(tmp_path / "classification" / "crop" / "training.json", json.dumps(record))
    with pytest.raises(StudyError, match=r"no classifier of the run .* can be applied: .*results/other"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("named", "configured", "applied", "reported"),
    [
        (["b", "a"], "a", ["b", "a"], "b"),
        ([], "b", ["a", "b"], "b"),
        ([], "", ["a", "b"], ""),
        ([], "left_out", ["a", "b"], ""),
        ([], "", ["a"], "a"),
    ],
)
def test_the_report_has_the_first_named_the_configured_or_the_only_classifier(
    tmp_path: Path, named: list[str], configured: str, applied: list[str], reported: str
) -> None:
    write_text(tmp_path / "settings" / "dicom.yaml", f"classifier: {configured!r}\n")
    assert _reported(tmp_path, named, applied) == reported
