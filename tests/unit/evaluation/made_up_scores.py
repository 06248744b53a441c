"""Made-up rows of the segmentation scores, for tests whose answers are computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mammoflow.evaluation.segmentation_summary import SCORES
from mammoflow.tables.masks import SEGMENTATION_SCORES

KEYS = ["model", "field_of_view", "prompts", "feed", "margin_mm"]
Table = pd.DataFrame


def mask(lesion: str, dice: float, **columns: Any) -> dict[str, Any]:
    """Return the row of one mask around a lesion named by patient and letter, such as `P1a`; a miss is empty."""
    margin = columns.get("margin_mm", 10.0)
    origin = columns.get("origin", "reference")
    draw = columns.get("draw", 0)
    floor = columns.get("model") == "ellipse"
    missed = dice == 0
    row = {
        "lesion_id": lesion,
        "image_id": lesion,
        "patient_id": lesion[:-1],
        "model": "small",
        "field_of_view": "" if floor else "image",
        "view_spacing_mm": np.nan,
        "prompt_id": f"{lesion}@{columns.get('kind', 'box')}+{margin}#{draw}@{origin}",
        "kind": "box",
        "origin": origin,
        "draw": draw,
        "margin_mm": margin,
        "iteration": 1,
        "dice": dice,
        **{name: (np.nan if missed and "_mm" in name else dice) for name in SCORES if name != "dice"},
        "predicted_iou": np.nan if floor else 0.5,
        "area_mm2": 0.0 if missed else 30.0,
        "missed": missed,
        "chosen": columns.get("iteration", 1) == 1,
        "choice": "" if floor else "first",
        "feed": "" if floor else "logits",
        "head": None if floor else 0,
        "head_choice": "" if floor else "single",
        **{f"head_{head}_{of}": np.nan for head in (1, 2, 3) for of in ("predicted_iou", "dice")},
        "seen": False,
    }
    return row | columns


def masks(dice: dict[str, float], **columns: Any) -> Table:
    return SEGMENTATION_SCORES.validate(
        pd.DataFrame([mask(lesion, value, **columns) for lesion, value in dice.items()])
    )


def lesions_of(*tables: Table, **columns: Any) -> Table:
    """Return test lesions of 1, 2, ... mm for all that the tables score."""
    ids = sorted({lesion for table in tables for lesion in table["lesion_id"]})
    facts = {"split": "test", "mask_file": "mask.png", "diameter_mm": np.arange(1.0, len(ids) + 1)}
    facts |= {"lesion_type": "mass", "source": "A"}
    whole = {name: pd.array([1] * len(ids), dtype="Int64") for name in ("density", "malignant")}
    return pd.DataFrame(facts | whole | columns, index=pd.Index(ids, name="lesion_id"))


def one(table: Table, **wanted: Any) -> pd.Series:
    for column, value in wanted.items():
        table = table[table[column] == value]
    assert len(table) == 1, table
    return table.iloc[0]
