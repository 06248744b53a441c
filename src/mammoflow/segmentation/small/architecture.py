"""SAM's architecture at 256 x 256, of segment-anything's own modules, small enough for a CPU.

What differs from SAM's own sizes, and why: the patch is 4 x 4 pixels, because the median mass is 16 pixels wide at this
resolution; attention is local in windows of two sizes in turn, so that neighbouring windows exchange what they see
without global attention over 4096 tokens; there is no absolute position in the encoder, so that it can be trained on
parts of images; the random frequencies of the prompts' positions are three times SAM's, because a box here is small;
and a box that comes without a mask brings one of its own, the ellipse inscribed in it, as a dense prompt.
"""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from segment_anything.modeling.image_encoder import Block
from segment_anything.modeling.prompt_encoder import PositionEmbeddingRandom

SIDE = 256
PATCH = 4
CHANNELS = 128
DEPTH = 6
HEADS = 4
WINDOWS = (8, 12)
POSITION_SCALE = 3.0
PROMPT_HEIGHT = 4.0
LOCAL_SIGMAS_PX = (5.0, 14.0)


def build_small_network() -> Sam:
    """Build the small network with fresh weights from torch's generator."""
    grid = SIDE // PATCH
    norm = partial(torch.nn.LayerNorm, eps=1e-6)
    encoder = ImageEncoderViT(
        img_size=SIDE,
        patch_size=PATCH,
        in_chans=3,
        embed_dim=CHANNELS,
        depth=0,
        num_heads=HEADS,
        out_chans=CHANNELS,
        norm_layer=norm,
        use_abs_pos=False,
    )
    encoder.blocks.extend(
        Block(
            dim=CHANNELS,
            num_heads=HEADS,
            mlp_ratio=4.0,
            norm_layer=norm,
            use_rel_pos=True,
            window_size=WINDOWS[index % len(WINDOWS)],
            input_size=(grid, grid),
        )
        for index in range(DEPTH)
    )
    prompts = PromptEncoder(
        embed_dim=CHANNELS, image_embedding_size=(grid, grid), input_image_size=(SIDE, SIDE), mask_in_chans=16
    )
    prompts.pe_layer = PositionEmbeddingRandom(CHANNELS // 2, POSITION_SCALE)
    return Sam(
        image_encoder=encoder,
        prompt_encoder=prompts,
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=CHANNELS, mlp_dim=512, num_heads=4),
            transformer_dim=CHANNELS,
            iou_head_depth=3,
            iou_head_hidden_dim=CHANNELS,
        ),
        pixel_mean=[0.0, 0.0, 0.0],
        pixel_std=[1.0, 1.0, 1.0],
    )


def box_logits(boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return a dense prompt for boxes: positive inside the ellipse inscribed in the box, negative outside.

    Parameters
    ----------
    boxes
        (N, 4) x0, y0, x1, y1 in pixels of the network's input.
    size
        (rows, columns) of the prompt.

    Returns
    -------
    Tensor
        (N, 1, rows, columns): `PROMPT_HEIGHT` at the centre, 0 on the ellipse, down to minus `PROMPT_HEIGHT`.
    """
    x0, y0, x1, y1 = (boxes[:, index, None, None] for index in range(4))
    y = torch.arange(size[0], device=boxes.device)[None, :, None] + 0.5
    x = torch.arange(size[1], device=boxes.device)[None, None, :] + 0.5
    across = (2 * x - x0 - x1) / (x1 - x0).clamp(min=1.0)
    down = (2 * y - y0 - y1) / (y1 - y0).clamp(min=1.0)
    height = PROMPT_HEIGHT * (1 - (across.square() + down.square()).sqrt())
    return height.clamp(min=-PROMPT_HEIGHT)[:, None]


def small_input(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Make the three input channels (3, height, width) from grey levels (height, width).

    The first channel is the grey level between the 1st and 99.5th percentile of the pixels above background; the
    other two are the local contrast at two scales: the difference from a Gaussian mean over the local deviation,
    which the mean brightness of a film and the tissue far away do not move. Background is 0 in all three.
    """
    foreground = image > 0.02 * float(image.max(initial=1.0))
    weight = foreground.astype(np.float32)
    if foreground.sum() < 16:
        return np.zeros((3, *image.shape), np.float32)
    low, high = np.percentile(image[foreground], [1.0, 99.5])
    level = np.clip((image - low) / max(float(high - low), 1e-6), 0.0, 1.0) * weight
    channels = [(level - 0.5) * 4.0 * weight]
    for sigma in LOCAL_SIGMAS_PX:
        blur = partial(cv2.GaussianBlur, ksize=(0, 0), sigmaX=sigma)
        mass = np.maximum(blur(weight), 1e-3)
        mean = blur(level) / mass
        deviation = np.sqrt(np.maximum(blur(level**2) / mass - mean**2, 0.0))
        channels.append(np.clip((level - mean) / (deviation + 0.02), -4.0, 4.0) * weight)
    return np.stack(channels).astype(np.float32)
