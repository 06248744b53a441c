from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mammoflow.config.base import validate_settings
from mammoflow.config.prompts import PromptSettings
from mammoflow.config.study import StudyConfig
from mammoflow.errors import ConfigError, StudyError
from mammoflow.planning.models import prompt_tables
from mammoflow.segmentation.prompting.boxes import expand_boxes
from mammoflow.segmentation.prompting.prompts import make_prompts, prompt_table
from mammoflow.segmentation.prompting.sources import reference_source
from mammoflow.tables.cohort import EXCLUDED
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.prompts import PROMPTS


def test_a_margin_in_millimetres_follows_each_axis_spacing_and_stops_at_the_border(shard: Path, tmp_path: Path) -> None:
    make_prompts(PromptSettings(margins_mm=[0.0, 4.0, 10.0]), shard, tmp_path / "prompts.parquet")
    table = read_table(tmp_path / "prompts.parquet", PROMPTS).set_index("prompt_id")
    box = ["y0", "x0", "y1", "x1"]
    assert table.loc["one/a@box+0mm", box].to_list() == [20, 10, 40, 30]
    assert table.loc["one/a@box+4mm", box].to_list() == [15, 2, 45, 38]  # 0.8 mm a row, 0.5 mm a column
    assert table.loc["one/a@box+10mm", box].to_list() == [7.5, 0, 52.5, 50]
    assert table.loc["one_b@box+10mm", box].to_list() == [47.5, 20, 96, 72]
    assert len(table) == 9
    assert table["lesion_id"].to_list() == ["one/a"] * 3 + ["one_b"] * 3 + ["two_a"] * 3


def test_default_margin_is_among_the_prompts(shard: Path, tmp_path: Path) -> None:
    settings = PromptSettings()
    make_prompts(settings, shard, tmp_path / "prompts.parquet")
    assert settings.default_margin_mm in set(read_table(tmp_path / "prompts.parquet", PROMPTS)["margin_mm"])


def test_a_shard_without_lesions_gives_an_empty_table(empty_shard: Path, tmp_path: Path) -> None:
    make_prompts(PromptSettings(), empty_shard, tmp_path / "prompts.parquet")
    assert read_table(tmp_path / "prompts.parquet", PROMPTS).empty


def test_boxes_off_the_image_and_lesions_without_an_image_are_refused(shard: Path) -> None:
    images = read_table(shard / "images.parquet", CANONICAL_IMAGES)
    lesions = read_table(shard / "lesions.parquet", CANONICAL_LESIONS)
    references = reference_source(shard, lesions)
    with pytest.raises(StudyError, match=r"images table lacks.*two"):
        prompt_table(PromptSettings(), images[images["image_id"] != "two"], references, references)
    outside = lesions.assign(x0=lesions["x0"] + 500, x1=lesions["x1"] + 500)
    with pytest.raises(StudyError, match="without a pixel"):
        prompt_table(PromptSettings(), images, reference_source(shard, outside), references)


def test_expanding_never_shrinks_a_box_and_never_leaves_the_image() -> None:
    generator = np.random.default_rng(1)
    sizes = generator.uniform(50, 500, (200, 2))
    corners = np.sort(generator.uniform(0, 1, (200, 2, 2)), axis=1) * sizes[:, None]
    boxes = corners.reshape(200, 4)
    larger = expand_boxes(boxes, 3.0, generator.uniform(0.05, 2, (200, 2)), sizes)
    assert (larger[:, :2] <= boxes[:, :2]).all()
    assert (larger[:, 2:] >= boxes[:, 2:]).all()
    assert (larger >= 0).all()
    assert (larger[:, 2:] <= sizes).all()


@pytest.mark.parametrize("margins", [[10.0, 10.0], [-1.0], []])
def test_margins_that_are_repeated_negative_or_absent_are_refused(margins: list[float]) -> None:
    with pytest.raises(ConfigError, match="margins_mm"):
        validate_settings(PromptSettings, {"margins_mm": margins}, "test")


def test_lesions_of_other_splits_have_no_prompt_and_are_not_left_out(shard: Path, tmp_path: Path) -> None:
    lesions = read_table(shard / "lesions.parquet", CANONICAL_LESIONS)
    lesions["split"] = ["train", "validation", "test"]
    write_table(lesions, CANONICAL_LESIONS, shard / "lesions.parquet")
    settings = PromptSettings(kinds=["point"], splits=["validation", "test"])
    make_prompts(settings, shard, tmp_path / "prompts.parquet", tmp_path / "excluded.parquet")
    table = read_table(tmp_path / "prompts.parquet", PROMPTS)
    assert table["lesion_id"].to_list() == lesions["lesion_id"].to_list()[1:]
    assert read_table(tmp_path / "excluded.parquet", EXCLUDED).empty


def test_readers_of_masks_of_prompts_need_prompts_of_every_split() -> None:
    values: dict[str, Any] = {"prompts": {"splits": ["test"]}}
    nothing = {"features": {"run": []}, "classification": {"run": []}}
    with pytest.raises(ConfigError, match=r"prompts.splits is \['test'\], but gabor, radiomics, .* need the masks"):
        validate_settings(StudyConfig, values, "test")
    validate_settings(StudyConfig, values | nothing, "test")
    # an automatic model needs no prompts, and a picture of the whole image no mask
    crops = {"input": "masked_crop", "network": "resnet_small"}
    classification = {"run": ["crops"], "classifiers": {"crops": crops}}
    with pytest.raises(ConfigError, match=r"but crops need the masks of every split"):
        validate_settings(StudyConfig, values | nothing | {"classification": classification}, "test")
    plain = {"run": ["plain"], "classifiers": {"plain": {**crops, "input": "whole_image"}}}
    validate_settings(StudyConfig, values | nothing | {"classification": plain}, "test")
    unet = {"architecture": "unet_16", "train": {"recipe": "automatic"}}
    segmentation = {"run": ["small", "net"], "default_model": "net", "models": {"net": unet}}
    automatic = nothing | {"classification": classification, "segmentation": segmentation}
    validate_settings(StudyConfig, values | automatic, "test")


def test_prompts_of_one_split_are_made_for_each_fold_of_a_model_that_differs_by_fold() -> None:
    tuned = {"train": {"recipe": "tune", "from": "small"}}
    base: dict[str, Any] = {
        "run": "r", "cohort": {"split": {"method": "kfold"}}, "features": {"run": []}, "classification": {"run": []},
        "segmentation": {"run": ["small", "tuned"], "models": {"tuned": tuned}},
    }  # fmt: skip
    some = validate_settings(StudyConfig, base | {"prompts": {"splits": ["test"]}}, "test")
    every = validate_settings(StudyConfig, base, "test")
    assert prompt_tables(some, "tuned", "fold-1/") == ["results/r/fold-1/prompts/{shard}.parquet"]
    assert prompt_tables(some, "small", "fold-1/") == ["results/r/prompts/{shard}.parquet"]
    assert prompt_tables(every, "tuned", "fold-1/") == ["results/r/prompts/{shard}.parquet"]
