"""The segment stage: every prompt of a shard decoded, refined and scored by one promptable model."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.config.segmentation import SegmentSettings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.runtime import choose_device, seed_everything, set_threads
from mammoflow.segmentation.batches import Batches
from mammoflow.segmentation.embeddings import embeddings
from mammoflow.segmentation.prompts import BOX
from mammoflow.segmentation.protocol import PromptableModel
from mammoflow.segmentation.refinement import Refined, choose_iteration, refine
from mammoflow.segmentation.scores import Masks, Overlap, box_mask, ellipse_in_box, overlap
from mammoflow.segmentation.small.record import trained_patients
from mammoflow.segmentation.weights import load_model
from mammoflow.store import Array, ArrayStore, read_mask, write_mask
from mammoflow.tables import (
    CANONICAL_IMAGES,
    CANONICAL_LESIONS,
    MASKS,
    PROMPTS,
    SEGMENTATION_SCORES,
    empty_table,
    read_table,
    write_table,
)

FLOOR = "ellipse"
"""Model name of the ellipse inscribed in the prompt box, which every model is held against."""

PROMPTS_TOGETHER = {"cpu": 4, "cuda": 64}
"""Prompts of an image that are decoded together at first, by device; halved where memory runs out.

On a CPU more than four cost time: the decoder's tensors then leave the caches and are allocated page by page (28 ms a
prompt for up to four together, 62 ms for sixteen, on one core with the small model).
"""

Row = dict[str, Any]


def segment(
    settings: SegmentSettings,
    model: str,
    weights: Path | None,
    images: Path,
    prompts: Path,
    store: Path,
    default_margin_mm: float,
    output: Path,
    threads: int,
) -> None:
    """Segment a shard with one model, from its prompts to scores and to the masks that go on.

    Parameters
    ----------
    settings
        Iterations, what they feed back, which one is chosen, device.
    model
        Name of the promptable model.
    weights
        Its weights file; None for the model that is shipped inside the package.
    images
        Folder of the shard's canonical images.
    prompts
        Parquet file of the shard's table PROMPTS.
    store
        Folder of the embeddings, shared by all runs.
    default_margin_mm
        Margin of the prompts whose masks go on.
    output
        Folder for `scores.parquet` (with the rows of the floor, model `ellipse`), `masks.parquet` and `mask/`.
    threads
        Threads of this job.

    Raises
    ------
    ConfigError
        If there are prompts and none has the default margin.
    StudyError
        If a table, an image or a mask is missing or does not fit.
    WeightsError
        If the weights are missing, not the published ones, or carry code.
    """
    image_table = read_table(images / "images.parquet", CANONICAL_IMAGES)
    lesions = read_table(images / "lesions.parquet", CANONICAL_LESIONS)
    prompt_table = read_table(prompts, PROMPTS)
    scores, masks = empty_table(SEGMENTATION_SCORES), empty_table(MASKS)
    if not prompt_table.empty:
        _check(image_table, lesions, prompt_table, default_margin_mm)
        seed_everything(settings.seed)
        set_threads(threads)
        network = load_model(model, weights, choose_device(settings.device))
        seen = trained_patients() if model == "small" and weights is None else frozenset[str]()
        run = _Segmentation(settings, network, images, output, default_margin_mm, seen)
        wanted = image_table[image_table["image_id"].isin(prompt_table["image_id"])]
        rows, kept = run.segment_images(wanted, lesions, prompt_table, ArrayStore(store))
        scores, masks = pd.DataFrame(rows), pd.DataFrame(kept) if kept else masks
    write_table(masks, MASKS, output / "masks.parquet")
    write_table(scores, SEGMENTATION_SCORES, output / "scores.parquet")


def _check(images: pd.DataFrame, lesions: pd.DataFrame, prompts: pd.DataFrame, default_margin_mm: float) -> None:
    for key, table in (("image_id", images), ("lesion_id", lesions)):
        absent = sorted(set(prompts[key]) - set(table[key]))
        if absent:
            raise StudyError(f"prompts name {key} {absent[:5]}, which the images lack; run the prompt stage again")
    if not np.isclose(prompts["margin_mm"], default_margin_mm).any():
        raise ConfigError(
            f"no prompt has the default margin {default_margin_mm} mm, found {sorted(set(prompts['margin_mm']))} mm; "
            "expected prompts.default_margin_mm to be one of prompts.margins_mm"
        )


class _Segmentation:
    """One model over the images of a shard; what stays the same from image to image is held here."""

    def __init__(
        self,
        settings: SegmentSettings,
        model: PromptableModel,
        folder: Path,
        output: Path,
        default_margin_mm: float,
        seen: frozenset[str],
    ) -> None:
        self.settings = settings
        self.model = model
        self.folder = folder
        self.output = output
        self.default_margin_mm = default_margin_mm
        self.seen = seen
        self.batches = Batches(PROMPTS_TOGETHER[model.device.type], "prompts")

    def segment_images(
        self, images: pd.DataFrame, lesions: pd.DataFrame, prompts: pd.DataFrame, store: ArrayStore
    ) -> tuple[list[Row], list[Row]]:
        """Return the rows of the scores and of the masks; write the masks."""
        scores: list[Row] = []
        masks: list[Row] = []
        facts = dict(zip(images["image_id"], images.to_dict("records"), strict=True))
        by_image = {str(image_id): table for image_id, table in prompts.groupby("image_id", sort=False)}
        known = lesions.set_index("lesion_id")
        for image_id, arrays in embeddings(self.model, images, self.folder, store, self.settings.batch_images):
            self._segment_image(facts[image_id], arrays, by_image[image_id], known, scores, masks)
        return scores, masks

    def _segment_image(
        self,
        image: Mapping[Hashable, Any],
        arrays: dict[str, Array],
        prompts: pd.DataFrame,
        lesions: pd.DataFrame,
        scores: list[Row],
        masks: list[Row],
    ) -> None:
        """Add the rows of one image's prompts to `scores` and `masks`."""
        size = (int(image["height"]), int(image["width"]))
        pixel_mm2 = float(image["row_spacing_mm"]) * float(image["column_spacing_mm"])
        boxes = prompts[BOX].to_numpy(dtype=np.float64)
        network_boxes = boxes[:, [1, 0, 3, 2]].astype(np.float32)
        references = _References(self.folder, lesions.loc[prompts["lesion_id"].unique()], size)
        iterations, feed = self.settings.iterations, self.settings.feed
        for refined in refine(self.model, arrays, network_boxes, size, iterations, feed, self.batches):
            part = prompts.iloc[refined.prompts][["lesion_id", "image_id", "prompt_id", "margin_mm"]]
            part = part.assign(patient_id=lesions.loc[part["lesion_id"], "patient_id"].to_numpy())
            reference, has_mask = references.of(part["lesion_id"].to_list())
            overlaps = [_score(found, reference, has_mask) for found in refined.masks]
            chosen = choose_iteration(
                self.settings.choose, refined.predicted_iou, np.stack([scored.dice for scored in overlaps])
            )
            for iteration, scored in enumerate(overlaps):
                table = part.assign(
                    model=self.model.name,
                    iteration=iteration + 1,
                    chosen=chosen == iteration,
                    choice=self.settings.choose,
                    seen=part["patient_id"].isin(self.seen),
                )
                scores += _rows(table, scored, refined.predicted_iou[iteration], pixel_mm2)
            ellipses = np.stack([ellipse_in_box(box, size) for box in boxes[refined.prompts]])
            floor = part.assign(model=FLOOR, iteration=1, chosen=True, choice="", seen=False)
            scores += _rows(floor, _score(ellipses, reference, has_mask), np.full(len(part), np.nan), pixel_mm2)
            masks += self._write_masks(part, refined, chosen, pixel_mm2)

    def _write_masks(
        self, prompts: pd.DataFrame, refined: Refined, chosen: npt.NDArray[np.int64], pixel_mm2: float
    ) -> list[Row]:
        """Write the chosen mask of each prompt that has the default margin; return rows of the table MASKS."""
        rows: list[Row] = []
        for index, prompt in enumerate(prompts.to_dict("records")):
            if not np.isclose(prompt.pop("margin_mm"), self.default_margin_mm):
                continue
            mask = refined.masks[chosen[index], index]
            file = f"mask/{quote(prompt['lesion_id'], safe=' ')}.png"  # an id from a user's table may hold a slash
            write_mask(self.output / file, mask)
            rows.append(
                {
                    **{str(key): value for key, value in prompt.items()},
                    "model": self.model.name,
                    "mask_file": file,
                    "iteration": int(chosen[index]) + 1,
                    "area_mm2": np.count_nonzero(mask) * pixel_mm2,
                    "predicted_iou": float(refined.predicted_iou[chosen[index], index]),
                }
            )
        return rows


class _References:
    """The reference masks of an image's lesions; a lesion of a study of boxes has its box."""

    def __init__(self, folder: Path, lesions: pd.DataFrame, size: tuple[int, int]) -> None:
        self.masks: dict[str, Masks] = {}
        self.has_mask: dict[str, bool] = {}
        for lesion_id, lesion in lesions.iterrows():
            file = lesion["mask_file"]
            self.has_mask[str(lesion_id)] = not pd.isna(file)
            if pd.isna(file):
                self.masks[str(lesion_id)] = box_mask(lesion[BOX].to_numpy(dtype=np.float64), size)
                continue
            mask = read_mask(folder / file)
            if mask.shape != size:
                raise StudyError(f"mask {folder / file} is {mask.shape}, expected {size}; run the image stage again")
            self.masks[str(lesion_id)] = mask

    def of(self, lesion_ids: list[str]) -> tuple[Masks, npt.NDArray[np.bool_]]:
        """Return references (N, height, width), and (N,) whether each is a mask and not a box."""
        masks = np.stack([self.masks[lesion_id] for lesion_id in lesion_ids])
        return masks, np.array([self.has_mask[lesion_id] for lesion_id in lesion_ids], dtype=np.bool_)


def _score(masks: Masks, references: Masks, has_mask: npt.NDArray[np.bool_]) -> Overlap:
    """Score masks; against a box only whether it was missed is defined."""
    scored = overlap(masks, references)
    dice, iou = (np.where(has_mask, values, np.nan) for values in (scored.dice, scored.iou))
    return Overlap(dice, iou, scored.area, scored.missed)


def _rows(table: pd.DataFrame, scored: Overlap, predicted_iou: npt.NDArray[np.floating], pixel_mm2: float) -> list[Row]:
    """Return rows of the table SEGMENTATION_SCORES."""
    filled = table.assign(
        dice=scored.dice,
        iou=scored.iou,
        predicted_iou=predicted_iou,
        area_mm2=scored.area * pixel_mm2,
        missed=scored.missed,
    )
    return [{str(name): value for name, value in row.items()} for row in filled.to_dict("records")]
