"""Segment-anything's mask decoder for any pairing of images and prompts, and with its tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from mammoflow.segmentation.layers.segment_anything_modules import MaskDecoder
from mammoflow.segmentation.layers.two_way import draw_masks, run_two_way


def run_mask_decoder(
    decoder: MaskDecoder, image: Tensor, position: Tensor, sparse: Tensor, dense: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Run segment-anything's mask decoder for N prompts, each with an image embedding of its own.

    `MaskDecoder.predict_masks` takes one image for all prompts and keeps its tokens to itself; this gives the same
    masks for the same input, any pairing of images and prompts, and the tokens.

    Parameters
    ----------
    decoder
        The decoder whose modules and weights are used.
    image
        (N, C, rows, columns) image embeddings.
    position
        (1, C, rows, columns) positional encoding of the grid, or (N, ...) where the images show different parts of it.
    sparse
        (N, prompts, C) embeddings of points and boxes.
    dense
        (N, C, rows, columns) embeddings of mask prompts.

    Returns
    -------
    masks, predicted_iou, tokens
        (N, heads, 4 rows, 4 columns), (N, heads), (N, heads, C), head 0 being the single-mask head.
    """
    count, _, rows, columns = image.shape
    output = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([output[None].expand(count, -1, -1), sparse], dim=1)
    states, source = run_two_way(decoder.transformer, image + dense, position, tokens)
    mask_tokens = states[:, 1 : 1 + decoder.num_mask_tokens]
    weights = torch.stack(
        [head(mask_tokens[:, index]) for index, head in enumerate(decoder.output_hypernetworks_mlps)], dim=1
    )
    masks = draw_masks(decoder.output_upscaling, source, weights, (rows, columns))
    return masks, decoder.iou_prediction_head(states[:, 0]), mask_tokens
