"""The gallery: every test case with its picture, outlines, and what each model says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mammoflow.evaluation.birads import assessment_words
from mammoflow.evaluation.segmentation_diameter import case_numbers
from mammoflow.evaluation.segmentation_summary import ORACLE, prompt_labels
from mammoflow.imaging.geometry import Mask
from mammoflow.report.case_calls import CaseCalls
from mammoflow.report.pictures import (
    PictureTables,
    box_path,
    outline,
    picture_uri,
    prompt_box,
    prompt_points,
    prompted,
)
from mammoflow.report.rings import Rings, ring_paths
from mammoflow.storage.files import Array, read_image, read_mask

NEAR, AROUND, LEAST_SIDE_MM = 2.2, 1.12, 30.0
"""Side of the near view: multiples of the lesion's box and of the box around lesion and prompt, and the least side."""

WIDE = 1.8
"""Side of the wide view as a multiple of that of the near view, if rings need no more."""

QUALITY = 74
TOLERANCE_PX = 0.35
"""Largest error of an outline in pixels of the picture."""

DENSITIES = {1: "a", 2: "b", 3: "c", 4: "d"}


@dataclass(frozen=True)
class CaseMask:
    """The mask of one model: its place among the models, outline, Dice (None without one), prompt and marks."""

    place: int
    model: str
    path: str
    dice: float | None
    prompted: str
    marks: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A lesion of the gallery.

    Attributes
    ----------
    number
        As in `dice_by_diameter.csv`; it contains no patient id.
    malignant
        1, 0, or None where it is not known.
    facts
        Type, truth, BI-RADS, size, view, side and density in words.
    picture
        The wide view as a data URI.
    width, height
        Of the wide view in canonical pixels, the unit of all outlines.
    near
        x, y, width and height of the near view.
    bar
        10 mm in pixels.
    reference, box
        SVG path data; "" where there is none.
    points
        The prompt's points as (x, y, on the lesion).
    rings
        Circles in which features are computed, as SVG path data; none where there is no mask to compute them on.
    masks
        Of the models that have one.
    """

    number: int
    malignant: int | None
    facts: tuple[str, ...]
    picture: str
    width: int
    height: int
    near: tuple[int, int, int, int]
    bar: float
    reference: str
    box: str
    points: list[tuple[float, float, bool]]
    rings: list[str]
    masks: list[CaseMask]

    def dice_list(self, models: int) -> str:
        """Return the Dice of each model, parted by commas; empty where a model has none."""
        by_place = {mask.place: f"{mask.dice:.3f}" for mask in self.masks if mask.dice is not None}
        return ",".join(by_place.get(place, "") for place in range(models))


@dataclass(frozen=True)
class Gallery:
    """Cases, the segmentation models in their order, what classifiers say of the cases, and the number of all cases."""

    cases: list[Case]
    models: list[str]
    calls: CaseCalls
    total: int


def read_gallery(
    tables: PictureTables,
    predictions: Path,
    side_px: int,
    most: int,
    rings: Rings | None = None,
    titles: Mapping[str, str] | None = None,
) -> Gallery | None:
    """Return the test cases (all cases where no lesion is test); None where there are none or `most` is 0.

    Parameters
    ----------
    tables
        Of images and masks, those of the default model first.
    predictions
        `predictions.csv` of the comparison.
    side_px
        Longest side of a picture.
    most
        Most cases; of more, the first by number are shown.
    rings
        Diameters of the rings of the features, if the run has features with rings.
    titles
        Titles of classifiers by name.
    """
    if most == 0:
        return None
    lesions = tables.lesions.assign(case=lambda rows: rows["lesion_id"].map(case_numbers(pd.Index(rows["lesion_id"]))))
    shown = lesions[lesions["split"] == "test"] if (lesions["split"] == "test").any() else lesions
    total, shown = len(shown), shown.sort_values("case").head(most)
    if shown.empty:
        return None
    of_models = _masks(tables)
    models = list(dict.fromkeys(of_models["model"]))
    by_lesion = dict(list(of_models.groupby("lesion_id", sort=False)))
    cases = []
    for image_id, part in shown.groupby("image_id", sort=False):
        film = tables.films.loc[[image_id]].iloc[0]
        image = read_image(Path(film["folder"]) / film["image_file"])
        for _, lesion in part.iterrows():
            rows = by_lesion.get(lesion["lesion_id"], of_models.iloc[:0])
            cases.append(_case(lesion, film, image, rows, models, tables.default_model, side_px, rings))
    numbers = dict(zip(shown["lesion_id"], shown["case"], strict=True))
    calls = CaseCalls.read(predictions, numbers, titles or {})
    return Gallery(sorted(cases, key=lambda case: case.number), models, calls, total)


def _masks(tables: PictureTables) -> pd.DataFrame:
    """Return the chosen masks with their Dice and prompt."""
    keys = ["lesion_id", "model", "field_of_view", "prompt_id"]
    scores = tables.scores
    chosen = scores[scores["chosen"]].assign(prompts=prompt_labels)[[*keys, "prompts", "margin_mm", "dice", "seen"]]
    return tables.masks.merge(chosen, on=keys, how="left").drop_duplicates(["lesion_id", "model"])


def _case(
    lesion: pd.Series,
    film: pd.Series,
    image: Array,
    rows: pd.DataFrame,
    models: Sequence[str],
    default_model: str,
    side_px: int,
    rings: Rings | None,
) -> Case:
    spacing = float(film["row_spacing_mm"]), float(film["column_spacing_mm"])
    first = rows.iloc[0] if len(rows) else pd.Series(dtype="object")
    box = lesion[["y0", "x0", "y1", "x1"]].astype("float64").to_numpy().reshape(2, 2)
    near, wide = _views(box, first, spacing, (image.shape[0], image.shape[1]), rings)
    tolerance = TOLERANCE_PX * max(1.0, max(wide[2:]) / side_px)

    def outlined(path: Path) -> tuple[str, Mask]:
        mask = read_mask(path)[wide[1] : wide[1] + wide[3], wide[0] : wide[0] + wide[2]]
        return outline(mask, tolerance), mask

    of_predicted = rings is not None and rings.of_predicted
    reference = ""
    around: Mask | None = None
    if pd.notna(lesion["mask_file"]):
        reference, mask = outlined(Path(lesion["folder"]) / lesion["mask_file"])
        around = None if of_predicted else mask
    found: list[CaseMask] = []
    for _, row in rows.iterrows():
        path, mask = outlined(Path(row["folder"]) / row["mask_file"])
        if of_predicted and row["model"] == default_model:
            around = mask
        found.append(_case_mask(row, path, models))
    prompt = prompt_box(first) if len(first) else first
    return Case(
        number=int(lesion["case"]),
        malignant=None if pd.isna(lesion["malignant"]) else int(lesion["malignant"]),
        facts=_facts(lesion),
        picture=picture_uri(
            image[wide[1] : wide[1] + wide[3], wide[0] : wide[0] + wide[2]], side_px, ".webp", QUALITY, enlarge=False
        ),
        width=wide[2],
        height=wide[3],
        near=(near[0] - wide[0], near[1] - wide[1], near[2], near[3]),
        bar=10.0 / spacing[1],
        reference=reference,
        box=box_path(prompt, wide[1], wide[0]) if len(prompt) else "",
        points=prompt_points(first, wide[1], wide[0]) if len(first) else [],
        rings=ring_paths(rings, around, spacing) if rings is not None and around is not None else [],
        masks=found,
    )


def _case_mask(row: pd.Series, path: str, models: Sequence[str]) -> CaseMask:
    marks = [ORACLE] if ORACLE in (row["choice"], row["head_choice"]) else []
    marks += ["patient seen in training"] if row["seen"] is True or row["seen"] == 1 else []
    dice = None if pd.isna(row["dice"]) else float(row["dice"])
    model = str(row["model"])
    return CaseMask(models.index(model), model, path, dice, prompted(row), tuple(marks))


def _views(
    box: Array, row: pd.Series, spacing: tuple[float, float], size: tuple[int, int], rings: Rings | None
) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
    """Return the near and the wide view as x, y, width and height; the near one is inside the wide one."""
    corners = [*box]
    if len(row):
        corners += [
            *prompt_box(row).to_numpy().reshape(-1, 2),
            *(np.array([y, x]) for x, y, _ in prompt_points(row, 0, 0)),
        ]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    longest = float(np.ptp(box, axis=0).max())
    side = max(NEAR * longest, AROUND * float((high - low).max()), LEAST_SIDE_MM / min(spacing))
    wide_side = max(WIDE * side, 1.04 * rings.outer_mm / min(spacing) if rings else 0.0)
    middle = (low + high) / 2
    wide = _square(middle, wide_side, (0, 0), size)
    near = _square(middle, side, (wide[1], wide[0]), (wide[1] + wide[3], wide[0] + wide[2]))
    return near, wide


def _square(middle: Array, side: float, start: tuple[int, int], end: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return x, y, width and height of a square, moved and cut so that it is between two corners (y, x)."""
    length = round(side)
    places = [
        int(np.clip(round(float(middle[axis]) - length / 2), start[axis], max(start[axis], end[axis] - length)))
        for axis in (0, 1)
    ]
    height, width = (min(length, end[axis] - places[axis]) for axis in (0, 1))
    return places[1], places[0], width, height


def _facts(lesion: pd.Series) -> tuple[str, ...]:
    facts = [str(lesion["lesion_type"] or "lesion")]
    facts.append({1: "malignant", 0: "benign"}.get(lesion["malignant"], "label unknown"))
    facts.append(assessment_words(lesion) or "no BI-RADS")
    if pd.notna(lesion["diameter_mm"]):
        facts.append(f"{lesion['diameter_mm']:.0f} mm")
    side = {"L": "left", "R": "right"}.get(str(lesion["laterality"]), "")
    view = " ".join(part for part in (side, str(lesion["view"] or "")) if part)
    facts += [view] if view else []
    density = lesion.get("density")
    if density is not None and pd.notna(density):
        facts.append(f"density {DENSITIES.get(int(density), density)}")
    return tuple(facts)
