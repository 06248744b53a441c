"""Refinement: a prompt is decoded again with what the iteration before said; one head and one iteration are chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from mammoflow.config.prompted import Choice, Feed, Heads
from mammoflow.segmentation.prompted.batches import Batches
from mammoflow.segmentation.prompting.arrays import PromptArrays
from mammoflow.segmentation.protocol.prediction import Decoded
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.segmenter import ImageSize
from mammoflow.segmentation.scoring.scores import Masks, mask_boxes
from mammoflow.storage.files import Array

Float64 = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

HEADS = 3
"""Heads for ambiguous prompts; head 0 is the single-mask head, heads 1 to 3 are these."""


@dataclass(frozen=True)
class RefinementPlan:
    """How prompts are refined.

    Attributes
    ----------
    iterations
        How often each prompt is decoded.
    feed
        What an iteration takes from the one before: its logits beside the prompt's own box and points, the box around
        its mask in place of the prompt's box, or both.
    heads
        Which head of the first iteration counts and is fed on. `single` asks for the single-mask head; the others ask
        for the three heads for ambiguous prompts and take the one with the best predicted IoU, a fixed one, or
        (`oracle`) the best by the reference. Later iterations have a mask for prompt and use the single-mask head.
    """

    iterations: int = 3
    feed: Feed = "logits"
    heads: Heads = "single"


@dataclass(frozen=True)
class Refined:
    """The iterations of some prompts on one image.

    Attributes
    ----------
    prompts
        (N,) positions of these prompts among all that were asked for.
    masks
        (iterations, N, height, width) bool, on the grid that `refine` was told to bring masks to.
    predicted_iou
        (iterations, N) float32.
    heads
        (N,) the head whose mask the first iteration has: 0 the single-mask head, 1 to 3 one of the three.
    head_predicted_iou, head_dice
        (N, 3) of each of the three heads in the first iteration; NaN where they were not asked for.
    """

    prompts: Integers
    masks: Masks
    predicted_iou: npt.NDArray[np.float32]
    heads: Integers
    head_predicted_iou: Float64
    head_dice: Float64


def unscored(positions: Integers, masks: Masks) -> Float64:
    """Return Dice of prompts without a reference: not defined."""
    return np.full(len(positions), np.nan)


def unchanged(masks: Masks) -> Masks:
    """Leave masks on the grid on which they were decoded."""
    return masks


def refine(
    model: PromptableModel,
    arrays: dict[str, Array],
    prompts: PromptArrays,
    size: ImageSize,
    plan: RefinementPlan,
    batches: Batches,
    dice: Callable[[Integers, Masks], Float64] = unscored,
    regrid: Callable[[Masks], Masks] = unchanged,
    most: int | None = None,
) -> Iterator[Refined]:
    """Decode all prompts of an image, together as far as kind and memory go, and refine each.

    Prompts that differ in having a box, or in their number of points, are decoded apart: in one batch the shorter
    ones would be filled up, and the network would give other masks than for each alone.

    Parameters
    ----------
    model
        The promptable model.
    arrays
        The image's stored embedding.
    prompts
        Boxes and points in pixels of the image that was encoded.
    size
        (height, width) of that image.
    plan
        Iterations, feedback, heads.
    batches
        How many prompts are decoded together.
    dice
        Gives the Dice (n,) of masks (n, height, width), after `regrid`, of the prompts at positions (n,); asked for
        where several heads are.
    regrid
        Brings masks (n, height, width) of the encoded image to the grid on which they are scored and kept.
    most
        Prompts of this image that are decoded together at most; None for no other bound than `batches`.
    """

    def decode(positions: Sequence[int]) -> Refined:
        chosen = np.asarray(positions, dtype=np.int64)
        return _refine_batch(model, arrays, prompts.take(chosen), size, plan, chosen, dice, regrid)

    order = sorted(range(len(prompts)), key=prompts.shape_of)
    for _, alike in groupby(order, key=prompts.shape_of):
        yield from batches.run(list(alike), decode, most)


def _refine_batch(
    model: PromptableModel,
    arrays: dict[str, Array],
    prompts: PromptArrays,
    size: ImageSize,
    plan: RefinementPlan,
    positions: Integers,
    dice: Callable[[Integers, Masks], Float64],
    regrid: Callable[[Masks], Masks],
) -> Refined:
    """Refine prompts of one shape together."""
    several = plan.heads != "single"
    decoded = model.decode(arrays, prompts.ask(several_masks=several), size)
    heads = np.zeros(len(positions), dtype=np.int64)
    head_iou = head_dice = np.full((len(positions), HEADS), np.nan)
    if several:
        head_iou = decoded.predicted_iou.astype(np.float64)
        head_dice = np.stack([dice(positions, regrid(decoded.logits[:, i] > 0)) for i in range(HEADS)], axis=1)
        heads = choose_head(plan.heads, head_iou, head_dice)
        decoded = _only(decoded, heads - 1)
    mask = decoded.logits[:, 0] > 0
    masks, predicted_iou = [regrid(mask)], [decoded.predicted_iou[:, 0]]
    for _ in range(plan.iterations - 1):
        if plan.feed in ("box", "both"):
            prompts = prompts.with_boxes(mask_boxes(mask, otherwise=prompts.some_boxes()))
        fed = decoded.low_res_logits if plan.feed in ("logits", "both") else None
        decoded = model.decode(arrays, prompts.ask(fed), size)
        mask = decoded.logits[:, 0] > 0
        masks.append(regrid(mask))
        predicted_iou.append(decoded.predicted_iou[:, 0])
    return Refined(positions, np.stack(masks), np.stack(predicted_iou), heads, head_iou, head_dice)


def _only(decoded: Decoded, heads: Integers) -> Decoded:
    """Keep one head (N,), counted from 0, of each prompt."""
    rows = np.arange(len(heads))
    tensors = (decoded.logits, decoded.low_res_logits, decoded.predicted_iou)
    return Decoded(*(tensor[rows, heads][:, None] for tensor in tensors))


def choose_head(heads: Heads, predicted_iou: Float64, dice: Float64) -> Integers:
    """Return which of the three heads (counted from 1) of each prompt is chosen.

    Parameters
    ----------
    heads
        `predicted_iou`, the best by the model's own estimate; `head_1` to `head_3`, that one; `oracle`, the best by the
        reference mask, and by the model's own estimate where there is none.
    predicted_iou, dice
        (N, 3). Dice is NaN where there is no reference mask.

    Returns
    -------
    ndarray
        (N,) 1 to 3; among equals the first.
    """
    if heads.startswith("head_"):
        return np.full(len(predicted_iou), int(heads.removeprefix("head_")), dtype=np.int64)
    scores = np.where(np.isnan(dice), predicted_iou, dice) if heads == "oracle" else predicted_iou
    return np.asarray(np.argmax(scores, axis=1) + 1, dtype=np.int64)


def choose_iteration(choice: Choice, predicted_iou: npt.NDArray[np.float32], dice: Float64) -> Integers:
    """Return which iteration (counted from 0) of each prompt is chosen.

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
