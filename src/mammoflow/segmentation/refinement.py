"""Refinement: a prompt is decoded again with what the iteration before said, and one iteration is chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mammoflow.segmentation.batches import Batches
from mammoflow.segmentation.protocol import ImageSize, PromptableModel
from mammoflow.segmentation.scores import mask_boxes
from mammoflow.store import Array

Feed = Literal["logits", "box", "both"]
Choice = Literal["first", "predicted_iou", "oracle"]


@dataclass(frozen=True)
class Refined:
    """The iterations of some prompts on one image.

    Attributes
    ----------
    prompts
        (N,) positions of these prompts among all that were asked for.
    masks
        (iterations, N, height, width) bool.
    predicted_iou
        (iterations, N) float32.
    """

    prompts: npt.NDArray[np.int64]
    masks: npt.NDArray[np.bool_]
    predicted_iou: npt.NDArray[np.float32]


def refine(
    model: PromptableModel,
    arrays: dict[str, Array],
    boxes: npt.NDArray[np.float32],
    size: ImageSize,
    iterations: int,
    feed: Feed,
    batches: Batches,
) -> Iterator[Refined]:
    """Decode all prompts of an image, together as far as memory goes, and refine each.

    Parameters
    ----------
    model
        The promptable model.
    arrays
        The image's stored embedding.
    boxes
        (N, 4): x0, y0, x1, y1 in canonical pixels.
    size
        (height, width) of the canonical image.
    iterations
        How often each prompt is decoded.
    feed
        What an iteration takes from the one before: its logits beside the prompt's box, the box around its mask, or
        both.
    batches
        How many prompts are decoded together.
    """

    def decode(positions: Sequence[int]) -> Refined:
        chosen = np.asarray(positions, dtype=np.int64)
        prompt = boxes[chosen]
        logits: npt.NDArray[np.float32] | None = None
        masks = np.empty((iterations, len(chosen), *size), dtype=np.bool_)
        predicted_iou = np.empty((iterations, len(chosen)), dtype=np.float32)
        for iteration in range(iterations):
            decoded = model.decode(arrays, prompt, size, logits)
            masks[iteration], predicted_iou[iteration] = decoded.logits > 0, decoded.predicted_iou
            if feed in ("logits", "both"):
                logits = decoded.low_res_logits
            if feed in ("box", "both"):
                prompt = mask_boxes(masks[iteration], otherwise=prompt)
        return Refined(chosen, masks, predicted_iou)

    return batches.run(range(len(boxes)), decode)


def choose_iteration(
    choice: Choice, predicted_iou: npt.NDArray[np.float32], dice: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Return which iteration (counted from 0) of each prompt goes on.

    Parameters
    ----------
    choice
        `first`; `predicted_iou`, the best by the model's own estimate; `oracle`, the best by the reference mask.
    predicted_iou, dice
        (iterations, N). Dice is NaN where there is no reference mask; the oracle then takes the first.

    Returns
    -------
    ndarray
        (N,); among equals the earliest.
    """
    if choice == "first":
        return np.zeros(predicted_iou.shape[1], dtype=np.int64)
    scores = predicted_iou if choice == "predicted_iou" else dice
    return np.asarray(np.argmax(np.where(np.isnan(scores), -np.inf, scores), axis=0), dtype=np.int64)
