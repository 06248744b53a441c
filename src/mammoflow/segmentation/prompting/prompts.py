"""The stage that makes prompts: a table of their own, so that sources, kinds, margins and models cross freely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammoflow.cohort.table_files import records
from mammoflow.config.prompts import PromptKind, PromptSettings
from mammoflow.config.split_names import SPLITS
from mammoflow.errors import ConfigError, StudyError
from mammoflow.imaging.geometry import Mask
from mammoflow.segmentation.prompting.boxes import Floats, expand_boxes, jitter_box
from mammoflow.segmentation.prompting.points import lesion_points, lesion_region, points_text, united
from mammoflow.segmentation.prompting.prompt_names import prompt_name
from mammoflow.segmentation.prompting.sources import (
    Excluded,
    model_source,
    reader_source,
    reference_source,
    unprompted,
)
from mammoflow.storage.files import text_digest
from mammoflow.tables.cohort import EXCLUDED
from mammoflow.tables.files import empty_table, read_table, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.listing import announce, by_flag, by_reason, lines
from mammoflow.tables.prompts import BOX, CLIPPED, MISSES, PROMPTS


def prompt_table(
    settings: PromptSettings, images: pd.DataFrame, sources: pd.DataFrame, references: pd.DataFrame
) -> pd.DataFrame:
    """Make the prompts of a shard: every kind, margin and draw for every row of the sources.

    Parameters
    ----------
    settings
        Kinds, margins, points, draws, seed.
    images
        Table CANONICAL_IMAGES.
    sources
        Rows of `prompting.sources`: lesion, origin, box and mask file.
    references
        The reference of every lesion on the images, as `reference_source` returns them. Points beside a lesion are on
        none of them.

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
    on_image = {str(image_id): table for image_id, table in references.groupby("image_id")}
    rows: list[dict[str, Any]] = []
    for source in sources.to_dict("records"):
        others = on_image.get(str(source["image_id"]), references[:0])
        others = others[others["lesion_id"] != source["lesion_id"]]
        rows += _Target(settings, {str(name): value for name, value in source.items()}, facts, others).prompts()
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
    """One row of the sources, and the prompts around it; `others` are the references of the image's other lesions."""

    def __init__(
        self, settings: PromptSettings, source: dict[str, Any], images: pd.DataFrame, others: pd.DataFrame
    ) -> None:
        image = images.loc[source["image_id"]]
        self.settings = settings
        self.source = source
        self.others = others
        self.box = np.array([source[name] for name in BOX], dtype=np.float64)
        self.size = np.array([image["height"], image["width"]], dtype=np.float64)
        self.spacing = np.array([image["row_spacing_mm"], image["column_spacing_mm"]], dtype=np.float64)
        self.counts = (settings.positive_points, settings.negative_points)
        self.jitter = f"{settings.jitter_mm:g}mm" if settings.jitter_mm else f"{settings.jitter_share:g}"

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
            drawn = lesion_points(self._region, self._neighbours, near, spacing, self.counts, exact, generator)
            points = points_text(drawn)
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
            CLIPPED: bool(self.source[CLIPPED]),
            MISSES: bool(self.source[MISSES]),
        }

    def _box(self, margin_mm: float) -> Floats:
        return np.asarray(expand_boxes(self.box[None], margin_mm, self.spacing[None], self.size[None])[0])

    def _jittered(self, box: Floats, generator: np.random.Generator) -> Floats:
        if self.settings.jitter_mm:
            most = self.settings.jitter_mm / self.spacing
        else:
            most = self.settings.jitter_share * (box[2:] - box[:2])
        return jitter_box(box, np.asarray(most, dtype=np.float64), self.size, generator)

    @cached_property
    def _region(self) -> Mask:
        """The region (height, width) that points are taken from."""
        return self._region_of(self.source)

    @cached_property
    def _neighbours(self) -> Mask | None:
        """The image's other lesions (height, width); not read where no point is drawn beside a lesion."""
        if not self.settings.negative_points:
            return None
        return united(self._region_of(other) for other in records(self.others))

    def _region_of(self, row: Mapping[str, Any]) -> Mask:
        box = np.array([row[name] for name in BOX], dtype=np.float64)
        path = str(row["mask_path"])
        return lesion_region(Path(path) if path else None, box, (int(self.size[0]), int(self.size[1])))


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
        Folder of the cohort stage; needed for boxes of readers, whose ids are compared with it.
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
    # a lesion of a single film has no split
    prompted = lesions if set(settings.splits) == set(SPLITS) else lesions[lesions["split"].isin(settings.splits)]
    sources, left_out = _sources(settings, images, image_table, prompted, cohort, masks)
    references = reference_source(images, lesions)
    tables = [prompt_table(settings, image_table, source, references) for source in sources]
    tables = [table for table in tables if not table.empty]
    prompts = pd.concat(tables, ignore_index=True) if tables else empty_table(PROMPTS)
    write_table(prompts, PROMPTS, output)
    if excluded is not None:
        write_table(pd.DataFrame(left_out) if left_out else empty_table(EXCLUDED), EXCLUDED, excluded)
    _announce(prompts, sources, left_out)


def _announce(prompts: pd.DataFrame, sources: list[pd.DataFrame], left_out: Excluded) -> None:
    """Print how many prompts there are, and what was clipped or left out."""
    drawn = [row for source in sources for row in records(source)]
    announce(
        [
            *lines("box left out", by_reason(left_out, ("row",), "lesion_id")),
            *lines("lesion without a prompt", by_reason(left_out, ("lesion",), "lesion_id")),
            *lines("box flagged", by_flag(drawn, "lesion_id")),
            f"prompts: {len(prompts)} for {len({row['lesion_id'] for row in drawn})} lesions",
        ]
    )


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
