"""The command of the stage, and what the workflow plans for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from mammoflow.cli import main
from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError
from mammoflow.planning.dicom import dicom_folds, dicom_inputs


def config(**changes: object) -> StudyConfig:
    return validate_settings(StudyConfig, changes, "the test")


def test_classifier_of_the_settings_must_be_given(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("classifier: context_crop\n", encoding="utf-8")
    folders = [word for name in ("study", "images", "masks") for word in (f"--{name}", str(tmp_path))]
    words = ["dicom", "--settings", str(tmp_path / "settings.yaml"), *folders, "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "expected the folder of context_crop" in result.output


def test_an_unknown_classifier_stops_before_the_first_job() -> None:
    with pytest.raises(ConfigError, match=r"dicom\.classifier is 'crop'; expected one of classification\.run"):
        config(dicom={"classifier": "crop"})


def test_inputs_name_the_default_models_masks_and_the_classifiers_predictions() -> None:
    plain = dicom_inputs(config(), "00", "")
    assert plain["masks"] == "results/phantom/segmentation/small/00/masks.parquet"
    assert plain["weights"] == "results/phantom/segmentation/small/00/weights.json"
    assert "predictions" not in plain
    with_classifier = dicom_inputs(config(dicom={"classifier": "context_crop"}), "00", "")
    assert with_classifier["predictions"] == "results/phantom/classification/context_crop/predictions.parquet"


def test_folds_write_for_themselves_where_what_they_write_differs() -> None:
    folds = {"split": {"method": "kfold", "folds": 3, "validation_fraction": 0.2}}
    each = ["fold-0/", "fold-1/", "fold-2/"]
    assert dicom_folds(config()) == [""]
    assert dicom_folds(config(cohort=folds)) == [""]  # `small` is not trained, so its masks are the same in each fold
    assert dicom_folds(config(cohort=folds, dicom={"classifier": "context_crop"})) == each
    inputs = dicom_inputs(config(cohort=folds, dicom={"classifier": "context_crop"}), "01", "fold-2/")
    assert inputs["images"] == "results/phantom/fold-2/images/01/images.parquet"
    assert inputs["masks"] == "results/phantom/segmentation/small/01/masks.parquet"
    assert inputs["predictions"] == "results/phantom/fold-2/classification/context_crop/predictions.parquet"
