"""The real sets at hand by way of the generic table and of the presets: to the cohort table and to canonical images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from mammoflow.cohort.stage import build_cohort
from mammoflow.config.base import validate_settings
from mammoflow.config.study import StudyConfig
from mammoflow.imaging.stage import prepare_images
from mammoflow.tables.cohort import EXCLUDED, IMAGES, LESIONS
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS

PRESETS = Path(__file__).parents[2] / "workflow" / "presets"
SHARDS = 40
"""So many that one of them holds about 15 patients: images are prepared for one only."""


class Prepared:
    """A study's whole cohort, and the canonical images of its first shard."""

    def __init__(self, values: dict[str, Any], study: Path, root: Path) -> None:
        values["cohort"]["dataset"]["folder"] = str(study)
        values["cohort"]["shards"] = SHARDS
        config = validate_settings(StudyConfig, values, "overlay")
        self.study = study
        self.output = root / "images"
        build_cohort(config.cohort, study, root / "cohort")
        prepare_images(config.images, study, root / "cohort" / "shards" / "00", self.output, 1)
        self.all_images = read_table(root / "cohort" / "images.parquet", IMAGES)
        self.all_lesions = read_table(root / "cohort" / "lesions.parquet", LESIONS)
        self.images = read_table(self.output / "images.parquet", CANONICAL_IMAGES)
        self.lesions = read_table(self.output / "lesions.parquet", CANONICAL_LESIONS)
        self.excluded = read_table(self.output / "excluded.parquet", EXCLUDED)

    def check(self) -> None:
        """Nothing is lost, no patient is on two sides, and grey levels and masks are those of the files."""
        shard = self.all_images[self.all_images["shard"] == 0]
        assert 10 < len(shard) < 100
        assert sorted(self.images["image_id"]) == sorted(shard["image_id"])
        assert len(self.lesions) == (self.all_lesions["shard"] == 0).sum() > 5
        assert self.excluded.empty
        assert not self.images["flag_polarity_implausible"].any()
        assert self.lesions.filter(like="flag_").sum(axis=None) <= 1
        assert (self.all_images.groupby("patient_id")["split"].nunique() == 1).all()
        for row in self.images.itertuples():
            stored = cv2.imread(str(self.study / row.image_path), cv2.IMREAD_ANYDEPTH)
            written = cv2.imread(str(self.output / row.image_file), cv2.IMREAD_ANYDEPTH)
            assert np.array_equal(written, stored.astype(np.uint16) * (1 if stored.dtype == np.uint16 else 257))
        spacing = self.images.set_index("image_id")["row_spacing_mm"]
        for row in self.lesions.itertuples():
            mask = cv2.imread(str(self.study / row.mask_path), cv2.IMREAD_GRAYSCALE) > 127
            assert row.area_mm2 == pytest.approx(mask.sum() * spacing[row.image_id] ** 2)
            inside = np.argwhere(mask)
            assert (row.y0, row.x0) == tuple(inside.min(axis=0))
            assert (row.y1, row.x1) == tuple(inside.max(axis=0) + 1)

    def share_in_breast(self) -> pd.Series:
        """Which part of each lesion's reference mask lies in the region that was found."""
        breast = self.images.set_index("image_id")["breast_file"]
        shares = {}
        for row in self.lesions.itertuples():
            mask = cv2.imread(str(self.output / row.mask_file), cv2.IMREAD_GRAYSCALE) > 127
            region = cv2.imread(str(self.output / breast[row.image_id]), cv2.IMREAD_GRAYSCALE) > 127
            shares[row.lesion_id] = region[mask].mean()
        return pd.Series(shares)


def preset(name: str) -> dict[str, Any]:
    return yaml.safe_load((PRESETS / f"{name}.yaml").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_preset_of_the_256_set(real_data, tmp_path):
    found = Prepared(preset("cbis-ddsm-mass-256"), real_data / "cbis-ddsm-mass-256", tmp_path)
    assert len(found.all_lesions) == 1308
    assert found.all_images["patient_id"].nunique() == 691
    found.check()
    assert (found.images["spacing_origin"] == "table").all()
    assert found.images["film_spacing_mm"].between(0.5, 1.3).all()
    assert (found.share_in_breast() > 0.9).mean() > 0.9


ULTRASOUND = """
run: ultrasound-table
cohort:
  dataset:
    reader: table
    name: BUSI
    tables: [images.csv]
    options:
      columns:
        image: "{label}/{image}.png"
        mask: "{label}/{image}_mask.png"
        patient: near_duplicate_group
    spacing_mm: 0.18
images:
  breast_region: whole
"""


@pytest.mark.slow
def test_the_ultrasound_set_by_its_table(real_data, tmp_path):
    found = Prepared(yaml.safe_load(ULTRASOUND), real_data / "busi", tmp_path)
    assert len(found.all_images) == 626
    assert len(found.all_lesions) == 519
    found.check()
    assert (found.images["spacing_origin"] == "default").all()
    assert (found.share_in_breast() == 1).all()


def test_the_preset_of_the_ultrasound_set(real_data, tmp_path):
    found = Prepared(preset("busi"), real_data / "busi", tmp_path)
    assert len(found.all_images) == 626 - 16  # the same picture under two labels
    assert len(found.all_lesions) == 519 - 14
    assert found.all_images["patient_id"].nunique() == 484
    found.check()
    assert (found.share_in_breast() == 1).all()
