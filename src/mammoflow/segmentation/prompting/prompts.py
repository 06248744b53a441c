"""The stage that makes prompts: a table of their own, so that sources, kinds, margins and models cross freely."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.config.prompts import PromptKind, PromptSettings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.imaging.geometry import Mask
from mammoflow.segmentation.prompting.boxes import Floats, expand_boxes, jitter_box
from mammoflow.segmentation.prompting.points import lesion_points, points_text
from mammoflow.segmentation.prompting.prompt_names import prompt_name
from mammoflow.segmentation.prompting.sources import (
    Excluded,
    model_source,
    reader_source,
    reference_source,
    unprompted,
)
from mammoflow.segmentation.scoring.scores import box_mask, ellipse_in_box
from mammoflow.storage.files import read_mask, text_digest
from mammoflow.tables.cohort import EXCLUDED
from mammoflow.tables.files import empty_table, read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.prompts import BOX, PROMPTS


def prompt_table(settings: PromptSettings, images: pd.DataFrame, sources: pd.DataFrame) -> pd.DataFrame:
    """Make the prompts of a shard: every kind, margin and draw for every row of the sources.

    Parameters
    ----------
    settings
        Kinds, margins, points, draws, seed.
    images
        Table CANONICAL_IMAGES.
    sources
        Rows of `prompting.sources`: lesion, origin, box and mask file.

    Returns
    -------
    DataFrame
        Table PROMPTS, source by source.

    Raises
    ------
    StudyError
        If a lesion's image is not among the images, or a box has no pixel on its image.
    """
    absent = sorted(set(sources["image_id"]) - set(images["image_id"]))
    if absent:
        raise StudyError(f"lesions name images that the images table lacks: {absent[:5]}; run the image stage again")
    facts = images.set_index("image_id")
    rows: list[dict[str, Any]] = []
    for source in sources.to_dict("records"):
        rows += _Target(settings, {str(name): value for name, value in source.items()}, facts).prompts()
    if not rows:
        return empty_table(PROMPTS)
    prompts = pd.DataFrame(rows)
    empty = prompts[(prompts["y1"] <= prompts["y0"]) | (prompts["x1"] <= prompts["x0"])]
    if not empty.empty:
        raise StudyError(
            f"boxes without a pixel on their image: {empty['prompt_id'].head().to_list()}; expected boxes inside the "
            "image, as the image stage writes them; run it again"
        )
    return prompts


class _Target:
    """One row of the sources, and the prompts around it."""

    def __init__(self, settings: PromptSettings, source: dict[str, Any], images: pd.DataFrame) -> None:
        image = images.loc[source["image_id"]]
        self.settings = settings
        self.source = source
        self.box = np.array([source[name] for name in BOX], dtype=np.float64)
        self.size = np.array([image["height"], image["width"]], dtype=np.float64)
        self.spacing = np.array([image["row_spacing_mm"], image["column_spacing_mm"]], dtype=np.float64)
        self.counts = (settings.positive_points, settings.negative_points)
        self.jitter = f"{settings.jitter_mm:g}mm" if settings.jitter_mm else f"{settings.jitter_share:g}"
        self._mask: Mask | None = None

    def prompts(self) -> list[dict[str, Any]]:
        """Return rows of the table PROMPTS: kind by kind, margin by margin, the exact one before those drawn."""
        return [row for kind in self.settings.kinds for row in self._prompts_of(kind)]

    def _prompts_of(self, kind: PromptKind) -> Iterator[dict[str, Any]]:
        # A reader may have drawn several boxes; none of them is drawn at random.
        reader = str(self.source["origin"]).startswith("reader:")
        draws = [int(self.source["draw"])] if reader else list(range(self.settings.draws + 1))
        for margin in [None] if kind == "point" else self.settings.margins_mm:
            for draw in draws:
                yield self._prompt(kind, margin, draw, exact=reader or draw == 0)

    def _prompt(self, kind: PromptKind, margin: float | None, draw: int, exact: bool) -> dict[str, Any]:
        name = {key: str(self.source[key]) for key in ("lesion_id", "origin")}
        prompt_id = prompt_name(name["lesion_id"], margin, kind, name["origin"], draw, self.counts, self.jitter)
        # A generator of the prompt's own: neither order, shard nor other prompts change what it draws.
        seed = int(text_digest("prompt", str(self.settings.seed), prompt_id)[:16], 16)
        generator = np.random.default_rng(seed)
        # Points beside a lesion that is prompted without a box lie near it all the same.
        near = self._box(self.settings.default_margin_mm if margin is None else margin)
        if not exact and margin is not None:
            near = self._jittered(near, generator)
        points = ""
        if kind != "box":
            spacing = (float(self.spacing[0]), float(self.spacing[1]))
            points = points_text(lesion_points(self._region(), near, spacing, self.counts, exact, generator))
        box = np.full(4, np.nan) if margin is None else near
        return {
            "prompt_id": prompt_id,
            **name,
            "image_id": self.source["image_id"],
            "kind": kind,
            "draw": draw,
            "margin_mm": np.nan if margin is None else float(margin),
            **dict(zip(BOX, map(float, box), strict=True)),
            "points": points,
        }

    def _box(self, margin_mm: float) -> Floats:
        return np.asarray(expand_boxes(self.box[None], margin_mm, self.spacing[None], self.size[None])[0])

    def _jittered(self, box: Floats, generator: np.random.Generator) -> Floats:
        if self.settings.jitter_mm:
            most = self.settings.jitter_mm / self.spacing
        else:
            most = self.settings.jitter_share * (box[2:] - box[:2])
        return jitter_box(box, np.asarray(most, dtype=np.float64), self.size, generator)

    def _region(self) -> Mask:
        """Return the mask that points are taken from; of a box alone the ellipse inscribed in it."""
        if self._mask is None:
            size = (int(self.size[0]), int(self.size[1]))
            path = str(self.source["mask_path"])
            mask = read_mask(Path(path)) if path else ellipse_in_box(self.box, size)
            if mask.shape != size:
                raise StudyError(f"mask {path} is {mask.shape}, expected {size}; run the image stage again")
            # A box smaller than a pixel holds the centre of none.
            self._mask = mask if mask.any() else _pixels_touched(self.box, size)
        return self._mask


def _pixels_touched(box: Floats, size: tuple[int, int]) -> Mask:
    whole = np.concatenate([np.floor(box[:2]), np.ceil(box[2:])])
    return box_mask(whole, size)


def make_prompts(
    settings: PromptSettings,
    images: Path,
    output: Path,
    excluded: Path | None = None,
    cohort: Path | None = None,
    masks: Path | None = None,
) -> None:
    """Write the prompts of a shard: around the reference and readers' boxes, or around another model's masks.

    Parameters
    ----------
    settings
        Sources, kinds, margins, points, draws, seed.
    images
        Folder of the shard's canonical images, with `images.parquet` and `lesions.parquet`.
    output
        Parquet file of the table PROMPTS.
    excluded
        Parquet file of the table EXCLUDED: boxes of readers and masks of models that cannot be prompts, and lesions
        that have no prompt at all.
    cohort
        Folder of the cohort stage; needed for boxes of readers, whose ids are held to it.
    masks
        Folder of the shard that another model was segmented into: prompts are made around its masks and nothing else.

    Raises
    ------
    ConfigError
        If there are readers and no cohort.
    StudyError
        If a table or mask is missing or does not fit, or a reader's table names ids that the study does not have.
    """
    image_table = read_table(images / "images.parquet", CANONICAL_IMAGES)
    lesions = read_table(images / "lesions.parquet", CANONICAL_LESIONS)
    sources, left_out = _sources(settings, images, image_table, lesions, cohort, masks)
    tables = [table for source in sources if not (table := prompt_table(settings, image_table, source)).empty]
    write_table(pd.concat(tables, ignore_index=True) if tables else empty_table(PROMPTS), PROMPTS, output)
    if excluded is not None:
        write_table(pd.DataFrame(left_out) if left_out else empty_table(EXCLUDED), EXCLUDED, excluded)


def _sources(
    settings: PromptSettings,
    folder: Path,
    images: pd.DataFrame,
    lesions: pd.DataFrame,
    cohort: Path | None,
    masks: Path | None,
) -> tuple[list[pd.DataFrame], Excluded]:
    """Return the sources of a shard's prompts, and what of them cannot be prompts."""
    if masks is not None:
        source, left_out = model_source(masks, lesions)
        return [source], left_out
    sources = [reference_source(folder, lesions)] if settings.reference else []
    left_out = []
    for reader in settings.readers:
        if cohort is None:
            raise ConfigError(f"prompts.readers names {reader.name}; expected the folder of the cohort too, --cohort")
        source, unusable = reader_source(reader, images, lesions, cohort)
        sources.append(source)
        left_out += unusable
    return sources, left_out + unprompted(lesions, sources)
