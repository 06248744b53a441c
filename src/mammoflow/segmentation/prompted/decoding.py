"""The images of a shard as a promptable model sees them, and the prompts on each decoded, scored and written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.config.prompted import FieldOfView, SegmentSettings
from mammoflow.run.runtime import progress
from mammoflow.segmentation.embedding.embeddings import embeddings
from mammoflow.segmentation.prompted.batches import Batches
from mammoflow.segmentation.prompted.masks import MaskWriter
from mammoflow.segmentation.prompted.refinement import HEADS, RefinementPlan, refine
from mammoflow.segmentation.prompted.scoring import PromptScorer
from mammoflow.segmentation.prompted.views import View, WindowCutter, window_embeddings
from mammoflow.segmentation.prompting.arrays import PromptArrays
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.scoring.references import References
from mammoflow.segmentation.scoring.scores import Masks
from mammoflow.storage.arrays import ArrayStore
from mammoflow.storage.files import Array

PROMPTS_TOGETHER = {"cpu": 4, "cuda": 64}
"""Prompts of an image that are decoded together at most, by device; halved where memory runs out.

On a CPU more than four cost time: the decoder's tensors then leave the caches and are allocated page by page (28 ms a
prompt for up to four together, 62 ms for sixteen, on one core with the small model).
"""

RESULT_BYTES = 500_000_000
"""Bytes of the job's memory, not the GPU's, that logits and masks of prompts decoded together may take."""


@dataclass(frozen=True)
class PromptedView:
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

    field_of_view: FieldOfView
    view: View
    arrays: dict[str, Array]
    references: References
    prompts: pd.DataFrame


class PromptedShard:
    """The images of a shard with their lesions and prompts, as one model sees them.

    Parameters
    ----------
    settings
        Fields of view, sizes of windows, images encoded together.
    model
        The model that encodes and decodes.
    folder
        Folder of the shard's canonical images.
    lesions
        Table CANONICAL_LESIONS of the shard.
    prompts
        Table PROMPTS of the shard.
    store
        The store of embeddings.
    """

    def __init__(
        self,
        settings: SegmentSettings,
        model: PromptableModel,
        folder: Path,
        lesions: pd.DataFrame,
        prompts: pd.DataFrame,
        store: ArrayStore,
    ) -> None:
        self.settings, self.model, self.folder, self.store = settings, model, folder, store
        self.lesions = lesions.set_index("lesion_id")
        self.prompts = {str(image_id): table for image_id, table in prompts.groupby("image_id", sort=False)}

    def views(self, images: pd.DataFrame, field_of_view: FieldOfView) -> Iterator[PromptedView]:
        """Yield what the network sees of images that have prompts, rows of CANONICAL_IMAGES."""
        return self._whole_images(images) if field_of_view == "image" else self._windows(images)

    def _whole_images(self, images: pd.DataFrame) -> Iterator[PromptedView]:
        """Yield each image as a whole, with all its prompts."""
        rows = {str(image["image_id"]): image for image in images.to_dict("records")}
        batch = self.settings.batch_images
        for image_id, arrays in embeddings(self.model, images, self.folder, self.store, batch):
            image, prompts = rows[image_id], self.prompts[image_id]
            references = References(self.folder, image, self._prompted_lesions(prompts))
            yield PromptedView("image", View.whole(image), arrays, references, prompts)

    def _windows(self, images: pd.DataFrame) -> Iterator[PromptedView]:
        """Yield the windows of each image, each with its prompts."""
        boxes, least_mm = self.settings.window_boxes, self.settings.window_mm
        batches = Batches(self.settings.batch_images, "windows")
        for image in progress(images.to_dict("records"), f"windows of {self.model.name}", len(images)):
            prompts = self.prompts[str(image["image_id"])]
            lesions = self._prompted_lesions(prompts)
            references = References(self.folder, image, lesions)
            by_lesion = {str(lesion_id): lesion.to_dict() for lesion_id, lesion in lesions.iterrows()}
            cutter = WindowCutter(self.folder, image, by_lesion, boxes, least_mm)
            windows = cutter.windows(prompts["lesion_id"].to_list(), PromptArrays.of_table(prompts))
            for window, arrays in window_embeddings(self.model, windows, self.store, batches):
                yield PromptedView("window", window.view, arrays, references, prompts.iloc[window.positions])

    def _prompted_lesions(self, prompts: pd.DataFrame) -> pd.DataFrame:
        return self.lesions.loc[prompts["lesion_id"].unique()]


def segment_views(shard: PromptedShard, images: pd.DataFrame, scorer: PromptScorer, writer: MaskWriter) -> None:
    """Decode and score the prompts of a shard in each field of view; write the masks of default prompts in the first.

    Parameters
    ----------
    shard
        Images, lesions, prompts and the model.
    images
        Rows of CANONICAL_IMAGES that have prompts.
    scorer
        Takes the scores.
    writer
        Takes the masks.
    """
    batches = Batches(PROMPTS_TOGETHER[shard.model.device.type], "prompts")
    for number, field_of_view in enumerate(shard.settings.fields_of_view):
        for shown in shard.views(images, field_of_view):
            _segment_view(shard, shown, batches, scorer, writer if number == 0 else None)


def most_together(view: View, plan: RefinementPlan) -> int:
    """Return how many prompts of a view have results that fit into `RESULT_BYTES`; at least one.

    Each head gives float32 logits on the grid of the view, and each iteration leaves a mask on the canonical grid.
    """
    heads = 1 if plan.heads == "single" else HEADS
    logits = heads * view.size[0] * view.size[1] * np.dtype(np.float32).itemsize
    masks = plan.iterations * view.canonical[0] * view.canonical[1]
    return max(1, RESULT_BYTES // (logits + masks))


def _segment_view(
    shard: PromptedShard, shown: PromptedView, batches: Batches, scorer: PromptScorer, writer: MaskWriter | None
) -> None:
    """Decode and score the prompts on what the network sees at once; the writer takes masks and the floor's rows."""
    view, references, settings = shown.view, shown.references, shard.settings
    lesion_of = shown.prompts["lesion_id"].to_numpy()

    def dice(positions: npt.NDArray[np.int64], masks: Masks) -> npt.NDArray[np.float64]:
        return references.dice(lesion_of[positions].tolist(), masks)

    plan = RefinementPlan(settings.iterations, settings.feed, settings.heads)
    prompts, most = view.prompts(PromptArrays.of_table(shown.prompts)), most_together(view, plan)
    for refined in refine(shard.model, shown.arrays, prompts, view.size, plan, batches, dice, view.to_canonical, most):
        rows = shown.prompts.iloc[refined.prompts]
        table, chosen = scorer.score(rows, refined, references, shown.field_of_view, view.spacing_mm)
        if writer is not None:
            scorer.score_floor(rows, references, view.canonical)
            writer.write(table, rows, refined, chosen, references.pixel_mm2)
