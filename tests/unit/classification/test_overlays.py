"""Whole images with masks over them: whose mask it is, where it lies, and that training moves both alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mammoflow.classification.cases import read_cases
from mammoflow.classification.inputs import whole_image
from mammoflow.classification.overlays import OPACITY, OverlaidSamples, image_masks, tinted
from mammoflow.classification.samples import Files, Job, Samples
from mammoflow.config.base import validate_settings
from mammoflow.config.classification import ClassifierSettings
from mammoflow.config.pictures import PictureOptions
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError
from mammoflow.planning.classifiers import classifier_inputs
from mammoflow.storage.files import read_mask, write_image
from mammoflow.tables.detections import DETECTIONS, MAPS
from mammoflow.tables.files import write_table

WITH_TWO = "P000_L_CC"


def read(study: Any, overlay: str, cache: Path, masks: list[Path] | None = None, side: int = 64) -> Samples:
    options = whole_image.Options(mask_overlay=overlay, image_px=side)  # type: ignore[arg-type]
    files = Files(study.images, study.masks if masks is None else masks)
    return whole_image.read(options, read_cases(study.images), files, Job(cache, 1, torch.device("cpu")))


def write_maps(study: Any, folder: Path) -> list[Path]:
    """Write maps of an automatic model that has seen one large component on the first image, and a dropped one."""
    folders = []
    for images in study.images:
        table = pd.read_parquet(images / "images.parquet")
        maps, found = [], []
        for image in table["image_id"]:
            levels = np.zeros((64, 48), dtype=np.uint16)
            keys = {"image_id": image, "patient_id": image[:4], "split": "train", "model": "net", "seen": False}
            if image == WITH_TWO:
                levels[40:50, 5:15], levels[5, 5] = 60000, 60000
                found.append({
                    **keys, "component": 1, "score": 0.9, "area_mm2": 100.0, "y": 45.0, "x": 10.0, "y0": 40.0,
                    "x0": 5.0, "y1": 50.0, "x1": 15.0, "lesion_id": None, "is_mask": False, "iou": 0.0,
                })  # fmt: skip
            write_image(folder / images.name / "map" / f"{image}.png", levels)
            numbers = {name: None for name in MAPS.columns if name not in keys}
            maps.append({
                **numbers, **keys, "map_file": f"map/{image}.png", "threshold": 0.5, "hit_rule": "", "lesions": 1,
                "fully_annotated": True, "components": 1, "area_mm2": 100.0,
            })  # fmt: skip
        write_table(pd.DataFrame(maps), MAPS, folder / images.name / "maps.parquet")
        detections = pd.DataFrame(found, columns=[*DETECTIONS.columns])
        write_table(detections, DETECTIONS, folder / images.name / "detections.parquet")
        folders.append(folder / images.name)
    return folders


def test_the_tint_is_red_where_the_mask_is_and_leaves_the_rest_grey() -> None:
    grey, cover = np.array([[0.2, 0.8]], np.float32), np.array([[0.0, 1.0]], np.float32)
    picture = tinted(grey, cover)
    assert picture[:, 0, 0].tolist() == pytest.approx([0.2] * 3)
    assert picture[:, 0, 1].tolist() == pytest.approx([0.8 + OPACITY * 0.2, (1 - OPACITY) * 0.8, (1 - OPACITY) * 0.8])


def test_the_reference_of_an_image_is_that_of_all_its_lesions_and_is_marked(study: Any, tmp_path: Path) -> None:
    samples = read(study, "reference", tmp_path, [])
    assert samples.notes["sees_reference_mask"] is True
    assert (samples.notes["overlay"], samples.notes["images_without_overlay"]) == ("reference", 0)
    assert not samples.rests_on_model
    cases = read_cases(study.images)
    row = cases.images["image_id"].tolist().index(WITH_TWO)
    picture = samples[row]["picture"]
    masks = [read_mask(study.images[0] / "mask" / f"{WITH_TWO}_{number}.png") for number in (0, 1)]
    # red less green is the opacity times the cover; the picture is the square of 56 pixels around the breast
    covered = float((picture[0] - picture[1]).mean()) / OPACITY * 56**2
    assert covered == pytest.approx(masks[0].sum() + masks[1].sum(), rel=0.02)
    assert (picture[1] == picture[2]).all()


def test_masks_of_prompts_are_those_of_the_segmentation(study: Any, tmp_path: Path) -> None:
    samples = read(study, "predicted", tmp_path)
    assert (samples.notes["overlay"], samples.notes["sees_reference_mask"]) == ("prompts", False)
    assert samples.rests_on_model
    assert read(study, "none", tmp_path / "none", [])[0]["picture"].shape[0] == 1


def test_an_automatic_model_shows_its_false_positives_and_nothing_where_it_found_nothing(
    study: Any, tmp_path: Path
) -> None:
    folders = write_maps(study, tmp_path / "net")
    cases = read_cases(study.images)
    masks = image_masks(cases, folders, "predicted")
    row = cases.images["image_id"].tolist().index(WITH_TWO)
    expected = np.zeros((64, 48), dtype=bool)
    expected[40:50, 5:15] = True  # not the pixel, which the stage dropped
    np.testing.assert_array_equal(masks.read(row), expected)
    assert masks.read(row + 1) is None
    samples = read(study, "predicted", tmp_path / "cache", folders)
    assert samples.notes["overlay"] == "map"
    assert samples.notes["images_without_overlay"] == len(cases.images) - 1


def test_training_moves_picture_and_mask_alike() -> None:
    y, x = np.mgrid[:64, :64]
    disc = np.hypot(y - 20, x - 40) < 9
    planes = np.stack([np.where(disc, 40000, 8000), np.where(disc, 65535, 0)]).astype(np.uint16)
    one = np.zeros(1, dtype=np.intp)
    options = PictureOptions(rotation_degrees=90, brightness=0.4)
    samples = OverlaidSamples(planes[None], one, one.astype(np.float32), np.array(["train"], object), one, {}, options)
    places = set()
    for seed in range(6):
        picture = samples.drawn(0, np.random.default_rng(seed))["picture"]
        tint, grey = picture[0] - picture[1], picture[1]
        inside = tint > 0.3
        assert float(tint[inside].max()) <= OPACITY + 1e-6  # brightness changes the grey levels alone
        edge = (tint > 0.02) & ~inside
        assert float(grey[inside].min()) > float(grey[~inside & ~edge].max())
        places.add(tuple(int(number) for number in np.argwhere(inside.numpy()).mean(axis=0)))
    assert len(places) > 3


def test_a_job_reads_masks_only_for_predicted_ones() -> None:
    entry = {"input": "whole_image", "network": "resnet_small"}
    values = {f"with_{kind}": {**entry, "input_options": {"mask_overlay": kind}}
              for kind in ("none", "predicted", "reference")}  # fmt: skip
    config = validate_settings(StudyConfig, {"classification": {"run": list(values), "classifiers": values}}, "test")
    inputs = {name: classifier_inputs(config, name) for name in values}
    assert [bool(inputs[name]["masks"]) for name in values] == [False, True, False]
    assert [bool(inputs[name]["scores"]) for name in values] == [False, True, False]


def test_a_classifier_trains_on_overlaid_pictures(study: Any, tiny: Any) -> None:
    options = {"image_px": 32, "mask_overlay": "predicted"}
    values = {"input": "whole_image", "network": "resnet_small", "epochs": 1, "device": "cpu", "input_options": options}
    assert ClassifierSettings.model_validate(values).needs() == ("images", "masks")
    output = tiny.train(study, values, "overlaid", prompts=[], features=[], model=None)
    record = tiny.record_in(output / "seeds" / "0" / "model.safetensors")
    assert record["overlay"] == "prompts"
    assert record["seen_test_patients"] == 0


def test_masks_of_prompts_over_images_of_classes_are_refused() -> None:
    entry = {"input": "whole_image", "network": "resnet_small", "target": "classes"}
    shown = {**entry, "input_options": {"mask_overlay": "predicted"}}
    values: dict[str, Any] = {
        "classification": {"run": ["shown"], "classifiers": {"shown": shown}},
        "cohort": {"classes": ["normal", "mass"]},
    }
    with pytest.raises(ConfigError, match="which tells images without a lesion"):
        validate_settings(StudyConfig, values, "test")
    unet = {"architecture": "unet_16", "train": {"recipe": "automatic"}}
    segmentation = {"run": ["net"], "default_model": "net", "models": {"net": unet}}
    nothing = {"features": {"run": []}}
    validate_settings(StudyConfig, values | nothing | {"segmentation": segmentation}, "test")
