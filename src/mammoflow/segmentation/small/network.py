"""The decoder of the small network on windows of the grid, in training and in use.

The decoder looks at the tokens around its box only: a lesion a few tokens wide is not one of 4096, and a prompt costs a
seventh. Its positions are those of the window's place in the frame. The encoder has no absolute position either, so
that a window of an image can be encoded alone in training.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mammoflow.segmentation.decoder import run_mask_decoder
from mammoflow.segmentation.small.architecture import PATCH, SIDE, box_logits

WINDOWS = (24, 32, 48, 64)
"""Sides of the windows in tokens; training uses the first, large boxes take the first that holds them."""

BOX_SHARE = 0.8
"""Largest part of a window's side that a box may take up before the next larger window is used."""

OUTSIDE = -10.0
"""Mask logit outside the window."""


def decode_windows(
    network: Any, image: Tensor, offsets: Tensor, boxes: Tensor, mask_logits: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Decode one box a window.

    Parameters
    ----------
    network
        The SAM network.
    image
        (N, C, rows, columns) embeddings of the windows.
    offsets
        (N, 2) rows and columns of tokens between the frame's corner and the window's.
    boxes
        (N, 4) x0, y0, x1, y1 in window pixels.
    mask_logits
        (N, 1, 4 rows, 4 columns) of an earlier iteration; None takes the boxes' own.

    Returns
    -------
    masks, predicted_iou, tokens
        (N, heads, 4 rows, 4 columns), (N, heads) and (N, heads, C).
    """
    encoder = network.prompt_encoder
    rows, columns = image.shape[-2:]
    shift = torch.stack([offsets[:, 1], offsets[:, 0]], dim=1).repeat(1, 2) * PATCH
    sparse = encoder._embed_boxes(boxes + shift)
    if mask_logits is None:
        mask_logits = box_logits(boxes, (rows * PATCH, columns * PATCH))
    dense = encoder.mask_downscaling(mask_logits)
    frame = encoder.get_dense_pe()[0]
    position = torch.stack([frame[:, y : y + rows, x : x + columns] for y, x in offsets.tolist()])
    return run_mask_decoder(network.mask_decoder, image, position, sparse, dense)


def place_windows(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Place a window of tokens around each box.

    Parameters
    ----------
    boxes
        (N, 4) x0, y0, x1, y1 in pixels of the network's input.

    Returns
    -------
    sides, offsets
        (N,) side of each window and (N, 2) row and column of its first token, inside the frame.
    """
    longest = (boxes[:, 2:] - boxes[:, :2]).max(dim=1).values / (BOX_SHARE * PATCH)
    choices = torch.tensor(WINDOWS, device=boxes.device)
    sides = choices[torch.searchsorted(choices.float(), longest).clamp(max=len(WINDOWS) - 1)]
    centres = torch.stack([boxes[:, 1] + boxes[:, 3], boxes[:, 0] + boxes[:, 2]], dim=1) / (2 * PATCH)
    offsets = (centres - sides[:, None] / 2).round().long()
    return sides, offsets.clamp(min=0).minimum((SIDE // PATCH - sides)[:, None])


def decode_boxes(
    network: Any, image: Tensor, boxes: Tensor, mask_logits: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Decode boxes on whole embeddings, each on the window around it; differentiable.

    Parameters
    ----------
    network
        The SAM network.
    image
        (N, C, rows, columns) embeddings, one for each box.
    boxes
        (N, 4) x0, y0, x1, y1 in pixels of the network's input.
    mask_logits
        (N, 1, SIDE, SIDE) of an earlier iteration, or None.

    Returns
    -------
    masks, predicted_iou, tokens
        As `decode_windows`; masks are (N, heads, SIDE, SIDE), `OUTSIDE` beyond the window.
    """
    sides, offsets = place_windows(boxes)
    parts = []
    for side in sides.unique().tolist():
        chosen = (sides == side).nonzero()[:, 0]
        corners = offsets[chosen]
        places = list(zip(chosen.tolist(), corners.tolist(), strict=True))
        crop = torch.stack([image[index, :, y : y + side, x : x + side] for index, (y, x) in places])
        local = boxes[chosen] - corners.flip(1).repeat(1, 2) * PATCH
        prompts = None
        if mask_logits is not None:
            pixels = side * PATCH
            prompts = torch.stack(
                [mask_logits[i, :, y * PATCH :, x * PATCH :][:, :pixels, :pixels] for i, (y, x) in places]
            )
        masks, predicted_iou, tokens = decode_windows(network, crop, corners, local, prompts)
        frames = [
            functional.pad(mask, _around(y * PATCH, x * PATCH, side * PATCH), value=OUTSIDE)
            for mask, (_, (y, x)) in zip(masks, places, strict=True)
        ]
        parts.append((chosen, torch.stack(frames), predicted_iou, tokens))
    order = torch.cat([part[0] for part in parts]).argsort()
    masks, predicted_iou, tokens = (torch.cat([part[index] for part in parts])[order] for index in (1, 2, 3))
    return masks, predicted_iou, tokens


def _around(y: int, x: int, side: int) -> tuple[int, int, int, int]:
    """Return the padding (left, right, top, bottom) that puts a window at its place in the frame."""
    return x, SIDE - x - side, y, SIDE - y - side
