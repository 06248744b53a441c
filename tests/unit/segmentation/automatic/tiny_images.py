"""Shards of small images with bright discs as lesions, for automatic models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mammoflow.storage.files import array_digest, write_image, write_mask
from mammoflow.tables.files import empty_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS

SIZE = (64, 48)
SPACING = 0.5


@dataclass(frozen=True)
class Disc:
    """A lesion; `box` says that the study has its box and no mask."""

    y: float
    x: float
    radius: float = 6.0
    box: bool = False

    def mask(self) -> np.ndarray:
        """Return its pixels."""
        y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
        return np.asarray(np.hypot(y - self.y, x - self.x) <= self.radius)


@dataclass(frozen=True)
class Film:
    """An image with its lesions."""

    image_id: str
    patient_id: str
    split: str
    discs: Sequence[Disc] = ()


def study(patients: int = 6) -> list[Film]:
    """Patients over the three splits, each with an image with a lesion and one without."""
    generator = np.random.default_rng(2)
    films = []
    for number in range(patients):
        patient, split = f"P{number}", ("train", "train", "train", "validation", "test", "train")[number % 6]
        disc = Disc(*generator.uniform([12, 12], [52, 36]))
        films += [Film(f"{patient}_a", patient, split, [disc]), Film(f"{patient}_b", patient, split)]
    return films


def write_shard(folder: Path, films: Sequence[Film], lost: Sequence[str] = ()) -> Path:
    """Write the tables and files of the image stage; `lost` are images with a lesion that is in no table."""
    generator = np.random.default_rng(1)
    images, lesions = [], []
    for film in films:
        grey = generator.uniform(12000, 18000, SIZE)
        keys = {"image_id": film.image_id, "patient_id": film.patient_id, "source": "discs", "split": film.split}
        common = {**keys, "laterality": "L", "view": "CC", "density": 2, "official_split": "", "shard": 0}
        for number, disc in enumerate(film.discs):
            grey = np.where(disc.mask(), 50000, grey)
            lesion_id = f"{film.image_id}/{number}"
            file = None if disc.box else f"mask/{film.image_id}_{number}.png"
            if file:
                write_mask(folder / file, disc.mask())
            box = {
                name: getattr(disc, name[0]) + (-1, 1)[int(name[1])] * disc.radius for name in ("y0", "x0", "y1", "x1")
            }
            lesions.append(
                {
                    **common,
                    **box,
                    "lesion_id": lesion_id,
                    "finding_id": lesion_id,
                    "lesion_type": "mass",
                    "malignant": 1,
                    "pathology": "MALIGNANT",
                    "birads": 4,
                    "subtlety": 3,
                    "shape": None,
                    "margins": None,
                    "mask_path": file,
                    **{f"box_{name}": value if disc.box else np.nan for name, value in box.items()},
                    "mask_file": file,
                    "area_mm2": np.pi * (disc.radius * SPACING) ** 2,
                    "diameter_mm": 2 * disc.radius * SPACING,
                    "patch_file": "patch/none.png",
                    "patch_breast_file": "patch/none.png",
                    "patch_mask_file": None,
                    "patch_spacing_mm": SPACING,
                    "patch_y0": 0.0,
                    "patch_x0": 0.0,
                }
            )
        pixels = grey.astype(np.uint16)
        write_image(folder / "image" / f"{film.image_id}.png", pixels)
        images.append(
            {
                **common,
                "image_path": f"{film.image_id}.dcm",
                "spacing_mm": SPACING,
                "spacing_origin": "table",
                "default_spacing_mm": np.nan,
                "film_height": SIZE[0],
                "film_width": SIZE[1],
                "film_spacing_mm": SPACING,
                "height": SIZE[0],
                "width": SIZE[1],
                "row_spacing_mm": SPACING,
                "column_spacing_mm": SPACING,
                "image_file": f"image/{film.image_id}.png",
                "breast_file": f"breast/{film.image_id}.png",
                "breast_area_mm2": 100.0,
                "digest": array_digest(pixels),
                "fully_annotated": film.image_id not in lost,
            }
        )
    for rows, schema, name in (
        (images, CANONICAL_IMAGES, "images"),
        (lesions, CANONICAL_LESIONS, "lesions"),
    ):
        write_table(pd.DataFrame(rows) if rows else empty_table(schema), schema, folder / f"{name}.parquet")
    return folder
