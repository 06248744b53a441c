"""SAM and MedSAM: segment-anything's own modules, each with its own preprocessing.

SAM: Kirillov et al., ICCV 2023. MedSAM: Ma et al., Nature Communications 2024; the same ViT-B network, but the image
is stretched to 1024 x 1024 and scaled to [0, 1] by its minimum and maximum, and the mask comes back the same way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from mammoflow.segmentation.layers.mask_decoder import run_mask_decoder
from mammoflow.segmentation.layers.segment_anything_modules import Sam
from mammoflow.segmentation.networks.rgb_input import to_rgb
from mammoflow.segmentation.protocol.prediction import Embedding, Prediction
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.segmentation.protocol.segmenter import ImageSize
from mammoflow.storage.files import text_digest


class SamModel(PromptableModel):
    """A network of segment-anything's modules behind the promptable protocol, with SAM's own preprocessing.

    Parameters
    ----------
    name
        The model's name in the configuration.
    network
        The SAM network.
    digest
        Digest of the weights; the preprocessing's is added.
    """

    network: Any  # segment-anything is not typed

    def __init__(self, name: str, network: Sam, digest: str) -> None:
        self.name = name
        self.network = network
        self.decoder = network.mask_decoder
        self.side = int(network.image_encoder.img_size)
        self.digest = text_digest(name, type(self).__name__, digest, "preprocessing 1")

    def scaled_size(self, size: ImageSize) -> ImageSize:
        """Return (height, width) of the image inside the square network input, as segment-anything rounds them."""
        factor = self.side / max(size)
        return int(size[0] * factor + 0.5), int(size[1] * factor + 0.5)

    def preprocess(self, image: npt.NDArray[np.uint16]) -> Tensor:
        """Scale the longest side to the network's, subtract SAM's mean, divide by its deviation, pad to a square."""
        rows, columns = self.scaled_size((image.shape[0], image.shape[1]))
        resized = np.array(Image.fromarray(to_rgb(image)).resize((columns, rows), Image.Resampling.BILINEAR))
        tensor = torch.as_tensor(resized).permute(2, 0, 1).contiguous()
        mean, deviation = self.network.pixel_mean.cpu(), self.network.pixel_std.cpu()
        return self._pad((tensor - mean) / deviation)

    def _pad(self, tensor: Tensor) -> Tensor:
        rows, columns = tensor.shape[-2:]
        return functional.pad(tensor, (0, self.side - columns, 0, self.side - rows))

    def embed(self, batch: Tensor) -> Embedding:
        """Encode inputs (images, 3, side, side)."""
        return {"image": self.network.image_encoder(batch)}

    def network_boxes(self, boxes: Tensor, size: ImageSize) -> Tensor:
        """Bring boxes (N, 4) x0, y0, x1, y1 from canonical pixels to the network's input."""
        rows, columns = self.scaled_size(size)
        x, y = columns / size[1], rows / size[0]
        return boxes * boxes.new_tensor([x, y, x, y])

    def network_points(self, points: Tensor, size: ImageSize) -> Tensor:
        """Bring points (N, P, 2) x, y from canonical pixels to the network's input."""
        rows, columns = self.scaled_size(size)
        return points * points.new_tensor([columns / size[1], rows / size[0]])

    def predict(self, embedding: Embedding, prompts: Prompts, size: ImageSize) -> Prediction:
        """Decode N prompts against the embedding of one image or of N images."""
        encoder = self.network.prompt_encoder
        points = boxes = None
        if prompts.points is not None and prompts.labels is not None:
            points = self.network_points(prompts.points, size), prompts.labels
        if prompts.boxes is not None:
            boxes = self.network_boxes(prompts.boxes, size)
        sparse, dense = encoder(points=points, boxes=boxes, masks=prompts.mask_logits)
        image = embedding["image"]
        if image.shape[0] == 1:
            image = image.expand(len(prompts), -1, -1, -1)
        masks, iou, tokens = run_mask_decoder(self.network.mask_decoder, image, encoder.get_dense_pe(), sparse, dense)
        return chosen_heads(masks, iou, tokens, prompts.several_masks)

    def upscale(self, low_res_logits: Tensor, size: ImageSize) -> Tensor:
        """Interpolate to the network's input, cut off the padding, interpolate to the canonical grid."""
        rows, columns = self.scaled_size(size)
        square = functional.interpolate(low_res_logits, (self.side, self.side), mode="bilinear", align_corners=False)
        return functional.interpolate(square[..., :rows, :columns], size, mode="bilinear", align_corners=False)


def chosen_heads(masks: Tensor, predicted_iou: Tensor, tokens: Tensor, several_masks: bool) -> Prediction:
    """Take the single-mask head of four, or the three for ambiguous prompts."""
    heads = slice(1, None) if several_masks else slice(0, 1)
    return Prediction(masks[:, heads], predicted_iou[:, heads], tokens[:, heads])


class MedSamModel(SamModel):
    """MedSAM: the image is stretched to the square and scaled by its minimum and maximum."""

    def scaled_size(self, size: ImageSize) -> ImageSize:
        """Return the whole square: MedSAM does not keep the aspect ratio."""
        return self.side, self.side

    def preprocess(self, image: npt.NDArray[np.uint16]) -> Tensor:
        """Stretch to the square by cubic interpolation and scale to [0, 1], as MedSAM's inference does."""
        rgb = to_rgb(image)
        stretched = stretch_cubic(rgb if image.ndim == 3 else rgb[..., 0], self.side)
        low, high = float(stretched.min()), float(stretched.max())
        scaled = (stretched.astype(np.float64) - low) / np.clip(high - low, 1e-8, None)
        return torch.as_tensor(scaled.astype(np.float32)).permute(2, 0, 1).contiguous()

    def upscale(self, low_res_logits: Tensor, size: ImageSize) -> Tensor:
        """Interpolate probabilities, not logits, straight to the canonical grid, as MedSAM's inference does."""
        probabilities = functional.interpolate(low_res_logits.sigmoid(), size, mode="bilinear", align_corners=False)
        return torch.logit(probabilities, eps=1e-7)


def stretch_cubic(levels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Resize levels to (side, side, 3) the way MedSAM's inference script does.

    The script calls `skimage.transform.resize(order=3, preserve_range=True, anti_aliasing=True)` on three channels and
    continues in 8 bit.

    Parameters
    ----------
    levels
        (height, width, 3), or (height, width), of which one channel is computed and repeated.
    side
        Rows and columns of the result.
    """
    from skimage.transform import resize

    resized = resize(levels, (side, side), order=3, preserve_range=True, anti_aliasing=True).astype(np.uint8)
    return resized if resized.ndim == 3 else np.repeat(resized[..., None], 3, axis=2)
