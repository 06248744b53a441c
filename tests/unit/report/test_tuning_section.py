"""The section of tuning methods, heads and images without a lesion, from tables to the page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from mammoflow.evaluation.segmentation_empty import EMPTY_COLUMNS
from mammoflow.evaluation.segmentation_heads import HEAD_COLUMNS
from mammoflow.evaluation.tuning_methods import METHOD_COLUMNS
from mammoflow.report.content import Tables
from mammoflow.report.page import render
from mammoflow.report.segmentation import prompt_words
from mammoflow.tables.files import write_csv

FILTERS = {"prompt": prompt_words, "shown": lambda name: name}
SHARED = {"split": "test", "field_of_view": "image", "prompts": "point", "margin_mm": np.nan, "n": 250, "patients": 130}
MEAN = {f"{name}{end}": 0.5 for name in ("dice", "iou") for end in ("", "_low", "_high")}


def page(folder: Path, **tables: pd.DataFrame) -> str:
    names = {"tuning_methods": METHOD_COLUMNS, "segmentation_heads": HEAD_COLUMNS, "segmentation_empty": EMPTY_COLUMNS}
    for name, columns in names.items():
        write_csv(folder / f"{name}.csv", tables.get(name, pd.DataFrame()).reindex(columns=[*columns]))
    rows = {name: Tables(folder).rows(name) for name in names}
    return re.sub(r"\s+", " ", render({"percent": 95, "marks": " phantom", **rows}, "tuning_methods.html.j2", FILTERS))


def test_methods_stand_with_what_they_train_and_take(tmp_path: Path) -> None:
    untuned = {
        **SHARED,
        **MEAN,
        "model": "base",
        "method": "none",
        "trainable_parameters": 0,
        "missed": 250,
        "patients_seen": 0,
    }
    cost = {"training_patients": 100, "chosen_epoch": 2, "epochs": 5, "training_peak_mb": 3012.4}
    tuned = {"model": "tuned", "method": "vpt", "trainable_parameters": 4_076_900, "seconds_per_image": 9.514, **cost}
    difference = {f"difference_to_untuned{end}": value for end, value in (("", 0.25), ("_low", 0.2), ("_high", 0.3))}
    table = pd.DataFrame([untuned, {**untuned, **tuned, **difference, "patients_seen": 3, "missed": 1}])
    text = page(tmp_path, tuning_methods=table)
    first, second = re.findall(r"<tr>.*?</tr>", text[text.index("<tbody>") :])
    assert "reference" in first
    for found in ("4,076,900", "2 / 5", "3012", "9.51", "+0.250", "0.20", "3 seen in training", "tuned", "point"):
        assert found in second, found
    # a line of its own, which in a row's heading only `small` gives
    assert '<th scope="row">tuned<span class="small">point</span></th>' in second
    assert "phantom" in text
    assert "segmentation-heads" not in text


def test_heads_and_images_without_a_lesion_stand_with_their_marks(tmp_path: Path) -> None:
    shares = {"selected_share": 0.4, **{f"iou_error{end}": 0.1 for end in ("", "_low", "_high")}}
    heads = [{**SHARED, **MEAN, **shares, "model": "m", "head": name, "missed": 4} for name in ("head 1", "selected")]
    heads.append({**heads[0], "head": "best by the reference", "mark": "oracle"})
    empty = {"split": "test", "model": "m", "n": 12, "patients": 7, "empty_against_empty": 9, "dice": 0.75}
    text = page(tmp_path, segmentation_heads=pd.DataFrame(heads), segmentation_empty=pd.DataFrame([empty]))
    assert text.count('best by the reference <span class="pill">oracle</span>') == 1
    assert "<td>9</td>" in text
    assert "0.750" in text
    assert "tuning-methods" not in text


def test_a_run_with_neither_has_no_section(tmp_path: Path) -> None:
    assert "<table" not in page(tmp_path)
