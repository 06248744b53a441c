"""Points that are drawn for tuning: none beside a lesion lies on another lesion of the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mammoflow.config.tuning import TuneSettings
from mammoflow.segmentation.tuning.lesions import draw_prompts, read_lesions
from mammoflow.storage.files import read_mask, write_mask
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_LESIONS


def test_points_beside_a_lesion_lie_on_no_other_lesion(discs: Path) -> None:
    table = read_table(discs / "lesions.parquet", CANONICAL_LESIONS)
    own = table.iloc[0]
    mask = read_mask(discs / own["mask_file"])
    # A second lesion on the image: everything right of the disc's right edge.
    other = np.zeros_like(mask)
    other[:, int(own["x1"]) - 4 :] = True
    other &= ~mask
    write_mask(discs / "mask" / "other.png", other)
    box = {"y0": 0.0, "x0": own["x1"] - 4, "y1": float(mask.shape[0]), "x1": float(mask.shape[1])}
    second = own.to_dict() | {"lesion_id": "other", "finding_id": "other", "mask_file": "mask/other.png"} | box
    write_table(pd.concat([table, pd.DataFrame([second])]), CANONICAL_LESIONS, discs / "lesions.parquet")
    data = read_lesions([discs])
    row = int(np.flatnonzero(data.lesions["lesion_id"] == own["lesion_id"])[0])
    settings = TuneSettings(prompts=20, negative_points=10, positive_points=1, margins_mm=[4.0, 8.0], jitter_mm=0.0)
    drawn = draw_prompts(data, row, "box_point", settings, np.random.default_rng(2))
    assert drawn.points is not None
    assert drawn.labels is not None
    beside = drawn.points[drawn.labels == 0].astype(int)
    assert len(beside) > 100
    assert not any(mask[y, x] or other[y, x] for x, y in beside)
