"""The segment stage: every prompt of a shard decoded, refined and scored by one promptable model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.config.prompted import SegmentSettings
from mammoflow.errors import ConfigError, StudyError
from mammoflow.run.runtime import choose_device, progress, seed_everything, set_threads
from mammoflow.segmentation.embedding.embeddings import embeddings
from mammoflow.segmentation.loading import load_model
from mammoflow.segmentation.prompted.batches import Batches
from mammoflow.segmentation.prompted.refinement import HEADS, Plan, Refined, choose_iteration, refine
from mammoflow.segmentation.prompted.views import View, WindowCutter, window_embeddings
from mammoflow.segmentation.prompting.arrays import PromptArrays
from mammoflow.segmentation.prompting.prompts import default_prompts
from mammoflow.segmentation.prompting.sources import BOX
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.scoring.references import References, score_rows
from mammoflow.segmentation.scoring.scores import Masks, ellipse_in_box
from mammoflow.segmentation.small.record import is_trained
from mammoflow.segmentation.tuning.record import seen_patients
from mammoflow.storage.arrays import ArrayStore
from mammoflow.storage.files import Array, write_mask
from mammoflow.tables.files import empty_table, read_table, read_tables, write_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS
from mammoflow.tables.masks import MASKS, SEGMENTATION_SCORES
from mammoflow.tables.prompts import PROMPTS

FLOOR = "ellipse"
"""Model name of the ellipse inscribed in the prompt box, which every model is held against."""

PROMPTS_TOGETHER = {"cpu": 4, "cuda": 64}
"""Prompts of an image that are decoded together at first, by device; halved where memory runs out.

On a CPU more than four cost time: the decoder's tensors then leave the caches and are allocated page by page (28 ms a
prompt for up to four together, 62 ms for sixteen, on one core with the small model).
"""

PROMPT_COLUMNS = ["lesion_id", "image_id", "prompt_id", "kind", "origin", "draw", "margin_mm"]

Row = dict[str, Any]


def segment(
    settings: SegmentSettings,
    model: str,
    weights: Path | None,
    images: Path,
    prompts: Sequence[Path],
    store: Path,
    default_margin_mm: float,
    output: Path,
    threads: int,
) -> None:
    """Segment a shard with one model, from its prompts to scores and to the masks that go on.

    Parameters
    ----------
    settings
        Iterations, what they feed back, which head and iteration are chosen, fields of view, device.
    model
        Name of the promptable model.
    weights
        Its weights file; None for the model that is shipped inside the package.
    images
        Folder of the shard's canonical images.
    prompts
        Parquet files of the shard's tables PROMPTS: its own, and those made around other models' masks.
    store
        Folder of the embeddings, shared by all runs.
    default_margin_mm
        Margin of the prompts whose masks go on (`prompts.default_prompts`), in the first field of view.
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
    prompt_table = read_tables(list(prompts), PROMPTS)
    scores, masks = empty_table(SEGMENTATION_SCORES), empty_table(MASKS)
    if not prompt_table.empty:
        _check(image_table, lesions, prompt_table, default_margin_mm)
        seed_everything(settings.seed)
        set_threads(threads)
        network = load_model(model, weights, choose_device(settings.device), precision=settings.precision)
        seen = seen_patients(model, weights)
        going_on = frozenset(default_prompts(prompt_table, default_margin_mm)["prompt_id"])
        run = _Segmentation(settings, network, images, output, going_on, seen)
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
    own = prompts[~prompts["origin"].str.startswith("model:")]
    if len(own) and default_prompts(own, default_margin_mm).empty:
        raise ConfigError(
            f"no prompt has the default margin {default_margin_mm} mm, found {sorted(set(own['margin_mm']))} mm; "
            "expected prompts.default_margin_mm to be one of prompts.margins_mm"
        )


@dataclass(frozen=True)
class _Shown:
    """What a network sees at once, and the prompts on it.

    Attributes
    ----------
    field_of_view
        `image` or `window`.
    view
        Where it lies on the image.
    arrays
        Its embedding.
    references
        Of the image's lesions.
    prompts
        Rows of the table PROMPTS.
    """

    field_of_view: str
    view: View
    arrays: dict[str, Array]
    references: References
    prompts: pd.DataFrame


class _Segmentation:
    """One model over the images of a shard; what stays the same from image to image is held here."""

    def __init__(
        self,
        settings: SegmentSettings,
        model: PromptableModel,
        folder: Path,
        output: Path,
        going_on: frozenset[str],
        seen: frozenset[str],
    ) -> None:
        self.settings = settings
        self.plan = Plan(settings.iterations, settings.feed, settings.heads)
        self.model = model
        self.folder = folder
        self.output = output
        self.going_on = going_on
        self.seen = seen
        self.prompt_batches = Batches(PROMPTS_TOGETHER[model.device.type], "prompts")
        self.window_batches = Batches(settings.batch_images, "windows")
        self.scores: list[Row] = []
        self.masks: list[Row] = []

    def segment_images(
        self, images: pd.DataFrame, lesions: pd.DataFrame, prompts: pd.DataFrame, store: ArrayStore
    ) -> tuple[list[Row], list[Row]]:
        """Return the rows of the scores and of the masks; write the masks."""
        by_image = {str(image_id): table for image_id, table in prompts.groupby("image_id", sort=False)}
        known = lesions.set_index("lesion_id")
        for number, field_of_view in enumerate(self.settings.fields_of_view):
            show = self._whole_images if field_of_view == "image" else self._windows
            for shown in show(images, by_image, known, store):
                self._segment(shown, number == 0)
        return self.scores, self.masks

    def _whole_images(
        self, images: pd.DataFrame, prompts: Mapping[str, pd.DataFrame], lesions: pd.DataFrame, store: ArrayStore
    ) -> Iterator[_Shown]:
        """Show each image as a whole, with all its prompts."""
        rows = {str(image["image_id"]): image for image in images.to_dict("records")}
        for image_id, arrays in embeddings(self.model, images, self.folder, store, self.settings.batch_images):
            image, table = rows[image_id], prompts[image_id]
            here = lesions.loc[table["lesion_id"].unique()]
            references = References(self.folder, image, here)
            yield _Shown("image", View.whole(image), arrays, references, table)

    def _windows(
        self, images: pd.DataFrame, prompts: Mapping[str, pd.DataFrame], lesions: pd.DataFrame, store: ArrayStore
    ) -> Iterator[_Shown]:
        """Show the windows of each image, each with its prompts."""
        boxes, least_mm = self.settings.window_boxes, self.settings.window_mm
        for image in progress(images.to_dict("records"), f"windows of {self.model.name}", len(images)):
            table = prompts[str(image["image_id"])]
            here = lesions.loc[table["lesion_id"].unique()]
            references = References(self.folder, image, here)
            by_lesion = {str(lesion_id): lesion.to_dict() for lesion_id, lesion in here.iterrows()}
            cutter = WindowCutter(self.folder, image, by_lesion, boxes, least_mm)
            windows = cutter.windows(table["lesion_id"].to_list(), PromptArrays.of_table(table))
            for window, arrays in window_embeddings(self.model, windows, store, self.window_batches):
                yield _Shown("window", window.view, arrays, references, table.iloc[window.positions])

    def _segment(self, shown: _Shown, first: bool) -> None:
        """Add the rows of some prompts of an image; the floor and the masks that go on with the first field of view."""
        view, references = shown.view, shown.references
        lesion_of = shown.prompts["lesion_id"].to_numpy()

        def dice(positions: npt.NDArray[np.int64], masks: Masks) -> npt.NDArray[np.float64]:
            return references.dice(lesion_of[positions].tolist(), masks)

        asked = view.prompts(PromptArrays.of_table(shown.prompts))
        for refined in refine(
            self.model, shown.arrays, asked, view.size, self.plan, self.prompt_batches, dice, view.to_canonical
        ):
            part = shown.prompts.iloc[refined.prompts][PROMPT_COLUMNS]
            part = part.assign(patient_id=references.patients(part["lesion_id"].to_list()))
            overlaps = [references.score(part["lesion_id"].to_list(), found) for found in refined.masks]
            chosen = choose_iteration(
                self.settings.choose, refined.predicted_iou, np.stack([scored.dice for scored in overlaps])
            )
            table = part.assign(
                model=self.model.name,
                field_of_view=shown.field_of_view,
                view_spacing_mm=view.spacing_mm,
                choice=self.settings.choose,
                feed=self.settings.feed,
                head_choice=self.settings.heads,
                seen=[is_trained(patient, self.seen) for patient in part["patient_id"]],
                **_head_columns(refined.head_predicted_iou, refined.head_dice),
            )
            for iteration, scored in enumerate(overlaps):
                heads = refined.heads if iteration == 0 else 0
                rows = table.assign(iteration=iteration + 1, chosen=chosen == iteration, head=heads)
                self.scores += score_rows(rows, scored, refined.predicted_iou[iteration])
            if first:
                self._score_floor(shown, refined.prompts)
                asked_for = shown.prompts.iloc[refined.prompts][[*BOX, "points"]].add_prefix("prompt_")
                self._write_masks(table.join(asked_for), refined, chosen, references.pixel_mm2)

    def _score_floor(self, shown: _Shown, positions: npt.NDArray[np.int64]) -> None:
        """Add the rows of the ellipses in the boxes of some prompts; a point has no box and no ellipse."""
        part = shown.prompts.iloc[positions]
        part = part[part[BOX].notna().all(axis=1)]
        if part.empty:
            return
        references = shown.references
        lesion_ids = part["lesion_id"].to_list()
        ellipses = np.stack([ellipse_in_box(box, shown.view.canonical) for box in part[BOX].to_numpy(np.float64)])
        nothing = np.full((len(part), HEADS), np.nan)
        table = part[PROMPT_COLUMNS].assign(
            patient_id=references.patients(lesion_ids),
            model=FLOOR,
            field_of_view="",
            view_spacing_mm=np.nan,
            iteration=1,
            chosen=True,
            choice="",
            feed="",
            head=None,
            head_choice="",
            seen=False,
            **_head_columns(nothing, nothing),
        )
        scored = references.score(lesion_ids, ellipses)
        self.scores += score_rows(table, scored, np.full(len(part), np.nan))

    def _write_masks(
        self, table: pd.DataFrame, refined: Refined, chosen: npt.NDArray[np.int64], pixel_mm2: float
    ) -> None:
        """Write the chosen mask of each prompt that goes on, and add its row of the table MASKS."""
        columns = ["lesion_id", "image_id", "patient_id", "model", "field_of_view", "prompt_id", "choice"]
        columns += ["head_choice", *(f"prompt_{name}" for name in (*BOX, "points"))]
        for index, prompt in enumerate(table[columns].to_dict("records")):
            if prompt["prompt_id"] not in self.going_on:
                continue
            mask = refined.masks[chosen[index], index]
            file = f"mask/{quote(prompt['lesion_id'], safe=' ')}.png"  # an id from a user's table may hold a slash
            write_mask(self.output / file, mask)
            self.masks.append(
                {
                    **{str(key): value for key, value in prompt.items()},
                    "mask_file": file,
                    "iteration": int(chosen[index]) + 1,
                    "area_mm2": np.count_nonzero(mask) * pixel_mm2,
                    "predicted_iou": float(refined.predicted_iou[chosen[index], index]),
                }
            )


def _head_columns(
    predicted_iou: npt.NDArray[np.float64], dice: npt.NDArray[np.float64]
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the columns of the three heads from values (N, 3)."""
    named = {"predicted_iou": predicted_iou, "dice": dice}
    return {f"head_{head + 1}_{of}": values[:, head] for of, values in named.items() for head in range(HEADS)}
