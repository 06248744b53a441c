"""The small network on windows: the same modules and weights as on whole images, on a part of the grid.

The encoder has no absolute position, so a window can be encoded alone; the decoder's positions are those of the
window's place in the frame.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mammoflow.segmentation.sam import run_mask_decoder
from mammoflow.segmentation.small.architecture import PATCH, box_logits


def decode_windows(
    network: Any, image: Tensor, offsets: Tensor, boxes: Tensor, mask_logits: Tensor | None
) -> tuple[Tensor, Tensor]:
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
    masks, predicted_iou
        (N, heads, 4 rows, 4 columns) and (N, heads).
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
    masks, predicted_iou, _ = run_mask_decoder(network.mask_decoder, image, position, sparse, dense)
    return masks, predicted_iou
