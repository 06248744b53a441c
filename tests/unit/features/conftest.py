"""A tiny shard as the image and segment stages leave it: films of 200 mm, patches of 100 mm, round lesions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from mammoflow.storage.files import write_image, write_mask
from mammoflow.tables.files import empty_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import MASKS

ROW_SPACING, COLUMN_SPACING = 1.0, 0.8  # canonical, in mm; unlike, so that mixed up axes show
CANONICAL_SHAPE = (200, 250)
CORNER_MM = (20.0, 40.0)  # top left corner of every patch on its film
PATCH_MM = 100.0


def disc_mask(
    shape: tuple[int, int], spacing: tuple[float, float], centre_mm: tuple[float, float], radius_mm: float
) -> npt.NDArray[np.bool_]:
    """Pixels whose centres lie in a circle."""
    y = (np.arange(shape[0]) + 0.5) * spacing[0] - centre_mm[0]
    x = (np.arange(shape[1]) + 0.5) * spacing[1] - centre_mm[1]
    return np.asarray(y[:, None] ** 2 + x[None, :] ** 2 <= radius_mm**2)


@dataclass
class Lesion:
    """One lesion on a film of its own; lengths in mm from the patch's corner."""

    spacing: float = 0.5
    centre: tuple[float, float] = (50.0, 50.0)
    radius: float = 8.0
    predicted: str = "disc"  # "disc", "empty", "none"
    reference: bool = True
    image: npt.NDArray[np.uint16] | None = None
    breast: npt.NDArray[np.bool_] | None = None
    seed: int = 0
    shape: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        side = round(PATCH_MM / self.spacing)
        self.shape = (side, side)
        if self.image is None:
            noise = np.random.default_rng(self.seed).normal(30000, 2000, self.shape)
            self.image = noise.clip(0, 65535).astype(np.uint16)
        if self.breast is None:
            self.breast = np.ones(self.shape, dtype=bool)


@dataclass(frozen=True)
class Shard:
    images: Path
    masks: Path
    output: Path


def _image_row(key: str) -> dict[str, object]:
    return {
        "image_id": f"image-{key}",
        "patient_id": f"patient-{key}",
        "source": "tiny",
        "laterality": "L",
        "view": "CC",
        "image_path": "film.png",
        "spacing_mm": 0.05,
        "default_spacing_mm": 0.05,
        "official_split": "",
        "split": "train",
        "shard": 0,
        "film_height": 4000,
        "film_width": 4000,
        "film_spacing_mm": 0.05,
        "height": CANONICAL_SHAPE[0],
        "width": CANONICAL_SHAPE[1],
        "row_spacing_mm": ROW_SPACING,
        "column_spacing_mm": COLUMN_SPACING,
        "image_file": "image/unused.png",
        "breast_file": "breast/unused.png",
        "breast_area_mm2": 40000.0,
        "digest": "unused",
    }


def _lesion_row(key: str, lesion: Lesion) -> dict[str, object]:
    return {
        "lesion_id": f"lesion-{key}",
        "finding_id": f"finding-{key}",
        "image_id": f"image-{key}",
        "patient_id": f"patient-{key}",
        "source": "tiny",
        "laterality": "L",
        "view": "CC",
        "lesion_type": "mass",
        "malignant": 1,
        "mask_path": "mask.png",
        "official_split": "",
        "split": "train",
        "shard": 0,
        "y0": 60.0,
        "x0": 100.0,
        "y1": 80.0,
        "x1": 120.0,
        "patch_file": f"patch/{key}.png",
        "patch_breast_file": f"patch/{key}-breast.png",
        "patch_mask_file": f"patch/{key}-mask.png" if lesion.reference else None,
        "patch_spacing_mm": lesion.spacing,
        "patch_y0": CORNER_MM[0] / ROW_SPACING,
        "patch_x0": CORNER_MM[1] / COLUMN_SPACING,
    }


def _write_lesion(shard: Shard, key: str, lesion: Lesion) -> dict[str, object] | None:
    """Write the files of a lesion; return its row of the mask table."""
    assert lesion.image is not None
    assert lesion.breast is not None
    write_image(shard.images / f"patch/{key}.png", lesion.image)
    write_mask(shard.images / f"patch/{key}-breast.png", lesion.breast)
    reference = disc_mask(lesion.shape, (lesion.spacing, lesion.spacing), lesion.centre, lesion.radius)
    if lesion.reference:
        write_mask(shard.images / f"patch/{key}-mask.png", reference)
    if lesion.predicted == "none":
        return None
    centre = (CORNER_MM[0] + lesion.centre[0], CORNER_MM[1] + lesion.centre[1])
    radius = lesion.radius if lesion.predicted == "disc" else -1.0
    mask = disc_mask(CANONICAL_SHAPE, (ROW_SPACING, COLUMN_SPACING), centre, radius) & (radius > 0)
    write_mask(shard.masks / f"mask/{key}.png", mask)
    return {
        "lesion_id": f"lesion-{key}",
        "image_id": f"image-{key}",
        "patient_id": f"patient-{key}",
        "model": "small",
        "field_of_view": "image",
        "prompt_id": f"prompt-{key}",
        "mask_file": f"mask/{key}.png",
        "iteration": 1,
        "choice": "first",
        "head_choice": "single",
    }


@pytest.fixture
def make_shard(tmp_path: Path) -> Callable[[list[Lesion]], Shard]:
    """Write the shard of these lesions, named 0, 1, ... in the table's order."""

    def make(lesions: list[Lesion]) -> Shard:
        shard = Shard(tmp_path / "images", tmp_path / "masks", tmp_path / "features.parquet")
        keys = [str(number) for number in range(len(lesions))]
        masks = [_write_lesion(shard, key, lesion) for key, lesion in zip(keys, lesions, strict=True)]
        rows = {
            "images.parquet": (CANONICAL_IMAGES, shard.images, [_image_row(key) for key in keys]),
            "lesions.parquet": (
                CANONICAL_LESIONS,
                shard.images,
                [_lesion_row(key, lesion) for key, lesion in zip(keys, lesions, strict=True)],
            ),
            "masks.parquet": (MASKS, shard.masks, [row for row in masks if row is not None]),
        }
        for name, (schema, folder, table) in rows.items():
            needed = [name for name, column in schema.columns.items() if column.required]
            filled = pd.DataFrame(table).reindex(columns=needed) if table else empty_table(schema)
            write_table(filled, schema, folder / name)
        return shard

    return make
