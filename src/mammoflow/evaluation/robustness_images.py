"""Degraded images of some test patients, in a folder that looks like a shard of the image stage."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.config.robustness import RobustnessSettings
from mammoflow.errors import StudyError
from mammoflow.imaging.degradations import DEGRADATIONS, Levels, Picture, label_corner, wrong_spacing
from mammoflow.imaging.grey import Grey
from mammoflow.storage.files import array_digest, read_image, read_mask, text_digest, write_image
from mammoflow.tables.cohort import measured
from mammoflow.tables.files import read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.robustness import NONE

SPACING = "spacing"
IMAGE_SPACINGS, LESION_SPACINGS = ("row_spacing_mm", "column_spacing_mm", "film_spacing_mm"), ("patch_spacing_mm",)
COLOURS = ["colour_file", "colour_digest"]

Row = dict[str, Any]


@dataclass(frozen=True)
class DrawnCases:
    """Images and lesions of the drawn test patients.

    Attributes
    ----------
    images, lesions
        Tables CANONICAL_IMAGES and CANONICAL_LESIONS with `folder`, the shard that has their files.
    scored
        The rows of `lesions` whose scores are taken; other lesions of unknown malignancy are on the same images.
    """

    images: pd.DataFrame
    lesions: pd.DataFrame
    scored: pd.DataFrame


def drawn_cases(folders: Sequence[Path], settings: RobustnessSettings) -> DrawnCases:
    """Draw test patients, with all of their measured lesions and with the images that have one.

    Patients are taken in a drawn order as long as their measured lesions fit into the number, at least one.

    Parameters
    ----------
    folders
        Shards of the image stage.
    settings
        Number of lesions and seed.

    Raises
    ------
    StudyError
        If no measured lesion is in the test split.
    """
    images = _joined(folders, "images.parquet")
    lesions = _joined(folders, "lesions.parquet")
    of_study = measured(lesions)
    test = of_study[of_study["split"] == "test"].sort_values("lesion_id", ignore_index=True)
    if test.empty:
        labelled = " and has a label" if of_study["malignant"].notna().any() else ""
        raise StudyError(f"no lesion is in the test split{labelled}; expected some, whose images are degraded")
    counts = test.groupby("patient_id").size().sample(frac=1.0, random_state=settings.seed)
    total = counts.cumsum()
    chosen = counts.index[(total <= settings.lesions) | (total == counts.iloc[0])]
    scored = test[test["patient_id"].isin(chosen)].reset_index(drop=True)
    shown = images[images["image_id"].isin(scored["image_id"])].sort_values("image_id", ignore_index=True)
    kept = lesions[lesions["image_id"].isin(shown["image_id"])].sort_values("lesion_id", ignore_index=True)
    return DrawnCases(shown, kept, scored)


def _joined(folders: Sequence[Path], name: str) -> pd.DataFrame:
    schema = CANONICAL_IMAGES if name == "images.parquet" else CANONICAL_LESIONS
    tables = [read_table(folder / name, schema).assign(folder=str(folder)) for folder in folders]
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def write_degraded(cases: DrawnCases, degradation: str, level: float, seed: int, output: Path, threads: int) -> None:
    """Write the images under one degradation, with tables, as the image stage writes a shard.

    Masks and breast regions are those of the undegraded images, by symbolic links. Colours are left out.

    Parameters
    ----------
    cases
        Whose images.
    degradation, level
        One of `DEGRADATIONS` with its level, or "none".
    seed
        Of the noise; every image and patch has its own from its id.
    output
        Folder for the tables and pictures.
    threads
        Images at a time.
    """
    patches = {str(image): table.to_dict("records") for image, table in cases.lesions.groupby("image_id")}
    work = partial(_write_image, degradation=degradation, level=level, seed=seed, output=output)
    rows = cases.images.to_dict("records")
    with ThreadPoolExecutor(max(1, threads)) as pool:
        done = list(pool.map(work, rows, [patches.get(str(row["image_id"]), []) for row in rows]))
    images = pd.DataFrame([image for image, _ in done]).drop(columns=["folder", *COLOURS], errors="ignore")
    lesions = pd.DataFrame([lesion for _, of_image in done for lesion in of_image]).drop(columns="folder")
    write_table(images, CANONICAL_IMAGES, output / "images.parquet")
    write_table(lesions.sort_values("lesion_id"), CANONICAL_LESIONS, output / "lesions.parquet")


def _write_image(
    image: Row, lesions: list[Row], degradation: str, level: float, seed: int, output: Path
) -> tuple[Row, list[Row]]:
    """Write an image and the patches of its lesions; return their rows."""
    source = Path(image["folder"])
    grey, breast = _grey(source / image["image_file"]), read_mask(source / image["breast_file"])
    size = float(image["height"]) * image["row_spacing_mm"], float(image["width"]) * image["column_spacing_mm"]
    picture = Picture(
        grey,
        breast,
        (image["row_spacing_mm"], image["column_spacing_mm"]),
        Levels.of(grey, breast),
        label_at=label_corner(breast),
        image_size_mm=size,
        seed=_seed(seed, image["image_id"]),
    )
    changed = _degraded(picture, degradation, level)
    write_image(output / image["image_file"], changed)
    _link(image, source, output, but=("image_file", "colour_file"))
    row = {**image, "digest": array_digest(changed), **_spacings(image, IMAGE_SPACINGS, degradation, level)}
    return row, [_write_patch(lesion, picture, degradation, level, seed, output) for lesion in lesions]


def _write_patch(lesion: Row, image: Picture, degradation: str, level: float, seed: int, output: Path) -> Row:
    source = Path(lesion["folder"])
    step = float(lesion["patch_spacing_mm"])
    patch = Picture(
        _grey(source / lesion["patch_file"]),
        read_mask(source / lesion["patch_breast_file"]),
        (step, step),
        image.levels,
        sum(image.spacing_mm) / 2 / step,
        (lesion["patch_y0"], lesion["patch_x0"]),
        image.label_at,
        image.image_size_mm,
        _seed(seed, lesion["lesion_id"]),
    )
    changed = _degraded(patch, degradation, level)
    write_image(output / lesion["patch_file"], changed)
    _link(lesion, source, output, but=("patch_file",))
    digest = text_digest(str(lesion.get("digest", "")), array_digest(changed))
    return {**lesion, "digest": digest, **_spacings(lesion, LESION_SPACINGS, degradation, level)}


def _grey(path: Path) -> Grey:
    return read_image(path).astype(np.uint16, copy=False)


def _degraded(picture: Picture, degradation: str, level: float) -> Grey:
    return picture.grey if degradation == NONE else DEGRADATIONS[degradation](picture, level)


def _spacings(row: Row, columns: Sequence[str], degradation: str, level: float) -> Row:
    return {name: wrong_spacing(row[name], level) for name in columns} if degradation == SPACING else {}


def _link(row: Row, source: Path, output: Path, but: Sequence[str]) -> None:
    """Link the files that a row names and that no degradation changes."""
    for name, file in row.items():
        if name.endswith("_file") and name not in but and isinstance(file, str) and file:
            target = output / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to((source / file).resolve())


def _seed(seed: int, identifier: str) -> int:
    return int(text_digest(str(seed), str(identifier))[:12], 16)
