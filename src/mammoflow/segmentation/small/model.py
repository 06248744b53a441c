"""The small model behind the promptable protocol."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mammoflow.segmentation.protocol.prediction import Embedding, Prediction
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.segmentation.protocol.segmenter import ImageSize
from mammoflow.segmentation.small.architecture import SIDE, SmallNetwork, small_input
from mammoflow.segmentation.small.network import SmallPrompts, decode_regions, place_regions, put_back
from mammoflow.storage.files import text_digest


class SmallModel(PromptableModel):
    """The small embedded model: a convolutional encoder at 256 x 256 and a decoder on the region around a prompt.

    Parameters
    ----------
    name
        The model's name in the configuration.
    network
        The small network.
    digest
        Digest of the weights; the preprocessing's is added.
    """

    network: SmallNetwork
    decodes_in_precision = True

    def __init__(self, name: str, network: SmallNetwork, digest: str) -> None:
        self.name = name
        self.network = network
        self.decoder = network.mask_decoder
        self.digest = text_digest(name, type(self).__name__, digest, "preprocessing 3")

    def preprocess(self, image: npt.NDArray[np.uint16]) -> Tensor:
        """Scale the longest side to the network's by area, make the input channels, pad to a square."""
        rows, columns = _scaled_size((image.shape[0], image.shape[1]))
        method = cv2.INTER_AREA if rows < image.shape[0] else cv2.INTER_LINEAR
        resized = cv2.resize(image.astype(np.float32), (columns, rows), interpolation=method)
        channels = torch.from_numpy(small_input(np.asarray(resized, dtype=np.float32)))
        return functional.pad(channels, (0, SIDE - columns, 0, SIDE - rows))

    def embed(self, batch: Tensor) -> Embedding:
        """Encode inputs (images, INPUT_CHANNELS, SIDE, SIDE); the embedding keeps them to cut regions from."""
        image = self.network.image_encoder(batch.contiguous(memory_format=torch.channels_last))
        return {"image": image, "input": batch}

    def predict(self, embedding: Embedding, prompts: Prompts, size: ImageSize) -> Prediction:
        """Decode N prompts, each on the region around it; mask logits alone prompt with the box around their mask."""
        network_prompts = _network_prompts(prompts, size)
        image, channels = (
            embedding[name].expand(len(prompts), -1, -1, -1) if len(embedding[name]) == 1 else embedding[name]
            for name in ("image", "input")
        )
        regions = place_regions(network_prompts)
        logits, iou, tokens = decode_regions(self.network, image, channels, network_prompts, regions)
        heads = slice(1, None) if prompts.several_masks else slice(0, 1)
        return Prediction(put_back(logits[:, heads], regions), iou[:, heads], tokens[:, heads])

    def upscale(self, low_res_logits: Tensor, size: ImageSize) -> Tensor:
        """Interpolate to the network's input, cut off the padding, interpolate to the canonical grid."""
        rows, columns = _scaled_size(size)
        square = low_res_logits
        if tuple(square.shape[-2:]) != (SIDE, SIDE):
            square = functional.interpolate(square, (SIDE, SIDE), mode="bilinear", align_corners=False)
        return functional.interpolate(square[..., :rows, :columns], size, mode="bilinear", align_corners=False)


def _scaled_size(size: ImageSize) -> ImageSize:
    """Return (height, width) of an image inside the square network input."""
    scale = SIDE / max(size)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _network_prompts(prompts: Prompts, size: ImageSize) -> SmallPrompts:
    """Bring prompts from canonical pixels to the network's input."""
    rows, columns = _scaled_size(size)
    x, y = columns / size[1], rows / size[0]
    count = len(prompts)
    if prompts.boxes is not None:
        boxes = prompts.boxes.float() * prompts.boxes.new_tensor([x, y, x, y], dtype=torch.float32)
    elif prompts.points is None and prompts.mask_logits is not None:
        boxes = _mask_boxes(prompts.mask_logits)
    else:
        device = next(tensor for tensor in (prompts.points, prompts.mask_logits) if tensor is not None).device
        boxes = torch.full((count, 4), torch.nan, device=device)
    if prompts.points is None or prompts.labels is None:
        return SmallPrompts.of_boxes(boxes, prompts.mask_logits)
    points = prompts.points.float() * prompts.points.new_tensor([x, y], dtype=torch.float32)
    return SmallPrompts(boxes, points, prompts.labels, prompts.mask_logits)


def _mask_boxes(logits: Tensor) -> Tensor:
    """Return the boxes (N, 4) around masks (N, 1, SIDE, SIDE); an empty mask gives the whole frame."""
    masks = logits[:, 0] > 0
    boxes = []
    for mask in masks:
        rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
        if not len(rows):
            boxes.append(torch.tensor([0, 0, SIDE, SIDE], device=logits.device))
            continue
        boxes.append(torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]))
    return torch.stack(boxes).float()
