"""SAM, MedSAM and the small model: segment-anything's own modules, each with its own preprocessing.

SAM: Kirillov et al., ICCV 2023. MedSAM: Ma et al., Nature Communications 2024; the same ViT-B network, but the image
is stretched to 1024 x 1024 and scaled to [0, 1] by its minimum and maximum, and the mask comes back the same way.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam
from segment_anything.modeling.mask_decoder import MaskDecoder
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor
from torch.nn import functional

from mammoflow.errors import ConfigError, WeightsError
from mammoflow.segmentation.grey import grey_to_rgb
from mammoflow.segmentation.protocol import Embedding, ImageSize, Prediction, PromptableModel
from mammoflow.segmentation.small.architecture import box_logits, build_small_network, small_input
from mammoflow.store import text_digest


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
    count, channels, rows, columns = image.shape
    output = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([output[None].expand(count, -1, -1), sparse], dim=1)
    states, source = decoder.transformer(image + dense, position.expand(count, -1, -1, -1), tokens)
    mask_tokens = states[:, 1 : 1 + decoder.num_mask_tokens]
    upscaled = decoder.output_upscaling(source.transpose(1, 2).reshape(count, channels, rows, columns))
    weights = torch.stack(
        [head(mask_tokens[:, index]) for index, head in enumerate(decoder.output_hypernetworks_mlps)], dim=1
    )
    masks = torch.einsum("nhc,ncyx->nhyx", weights, upscaled)
    return masks, decoder.iou_prediction_head(states[:, 0]), mask_tokens


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
        """Return (height, width) of the image inside the square network input."""
        height, width = ResizeLongestSide.get_preprocess_shape(size[0], size[1], self.side)
        return int(height), int(width)

    def preprocess(self, image: npt.NDArray[np.uint16]) -> Tensor:
        """Scale the longest side to the network's, subtract SAM's mean, divide by its deviation, pad to a square."""
        resized = ResizeLongestSide(self.side).apply_image(grey_to_rgb(image))
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

    def predict(
        self,
        embedding: Embedding,
        boxes: Tensor,
        size: ImageSize,
        mask_logits: Tensor | None = None,
        several_masks: bool = False,
    ) -> Prediction:
        """Decode N boxes against the embedding of one image or of N images."""
        encoder = self.network.prompt_encoder
        sparse, dense = encoder(points=None, boxes=self.network_boxes(boxes, size), masks=mask_logits)
        image = embedding["image"]
        if image.shape[0] == 1:
            image = image.expand(len(boxes), -1, -1, -1)
        masks, iou, tokens = run_mask_decoder(self.network.mask_decoder, image, encoder.get_dense_pe(), sparse, dense)
        heads = slice(1, None) if several_masks else slice(0, 1)
        return Prediction(masks[:, heads], iou[:, heads], tokens[:, heads])

    def upscale(self, low_res_logits: Tensor, size: ImageSize) -> Tensor:
        """Interpolate to the network's input, cut off the padding, interpolate to the canonical grid."""
        rows, columns = self.scaled_size(size)
        square = functional.interpolate(low_res_logits, (self.side, self.side), mode="bilinear", align_corners=False)
        return functional.interpolate(square[..., :rows, :columns], size, mode="bilinear", align_corners=False)


class MedSamModel(SamModel):
    """MedSAM: the image is stretched to the square and scaled by its minimum and maximum."""

    def scaled_size(self, size: ImageSize) -> ImageSize:
        """Return the whole square: MedSAM does not keep the aspect ratio."""
        return self.side, self.side

    def preprocess(self, image: npt.NDArray[np.uint16]) -> Tensor:
        """Stretch to the square by cubic interpolation and scale to [0, 1], as MedSAM's inference does."""
        rgb = grey_to_rgb(image)
        stretched = stretch_cubic(rgb, self.side)
        low, high = float(stretched.min()), float(stretched.max())
        scaled = (stretched.astype(np.float64) - low) / np.clip(high - low, 1e-8, None)
        return torch.as_tensor(scaled.astype(np.float32)).permute(2, 0, 1).contiguous()

    def upscale(self, low_res_logits: Tensor, size: ImageSize) -> Tensor:
        """Interpolate probabilities, not logits, straight to the canonical grid, as MedSAM's inference does."""
        probabilities = functional.interpolate(low_res_logits.sigmoid(), size, mode="bilinear", align_corners=False)
        return torch.logit(probabilities, eps=1e-7)


def stretch_cubic(rgb: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """Resize (height, width, 3) to (side, side, 3) the way MedSAM's inference script does.

    The script calls `skimage.transform.resize(order=3, preserve_range=True, anti_aliasing=True)` and goes on in
    8 bit; the three channels are equal here, so one is computed and repeated.
    """
    from skimage.transform import resize

    grey = resize(rgb[..., 0], (side, side), order=3, preserve_range=True, anti_aliasing=True).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


class SmallModel(SamModel):
    """The small embedded model: SAM's architecture at 256 x 256, with contrast channels made for mammograms."""

    def preprocess(self, image: npt.NDArray[np.uint16]) -> Tensor:
        """Scale the longest side to the network's by area, make three contrast channels, pad to a square."""
        rows, columns = self.scaled_size((image.shape[0], image.shape[1]))
        shrinking = rows < image.shape[0]
        method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        resized = cv2.resize(image.astype(np.float32), (columns, rows), interpolation=method)
        return self._pad(torch.from_numpy(small_input(np.asarray(resized, dtype=np.float32))))

    def predict(
        self,
        embedding: Embedding,
        boxes: Tensor,
        size: ImageSize,
        mask_logits: Tensor | None = None,
        several_masks: bool = False,
    ) -> Prediction:
        """Decode N boxes; a box without a mask prompt brings the ellipse inscribed in it."""
        if mask_logits is None:
            mask_logits = box_logits(self.network_boxes(boxes, size), (self.side, self.side))
        return super().predict(embedding, boxes, size, mask_logits, several_masks)


NETWORKS = {
    "sam_vit_b": ("vit_b", SamModel),
    "sam_vit_l": ("vit_l", SamModel),
    "sam_vit_h": ("vit_h", SamModel),
    "medsam_vit_b": ("vit_b", MedSamModel),
    "small": ("small", SmallModel),
}


def build_sam_model(name: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> PromptableModel:
    """Build SAM, MedSAM or the small model.

    Parameters
    ----------
    name
        A key of `NETWORKS`.
    state
        Weights by name; None leaves the seeded random weights, for tests and training.
    digest
        Digest of the weights.
    device
        Where the network goes.

    Raises
    ------
    ConfigError
        If the name is not known.
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    if name not in NETWORKS:
        raise ConfigError(f"promptable model {name!r} is not known; expected one of {sorted(NETWORKS)}")
    architecture, model = NETWORKS[name]
    network = build_small_network() if architecture == "small" else sam_model_registry[architecture]()
    if state is not None:
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(f"weights for {name} do not fit its network {architecture}: {error}") from error
    return model(name, network.to(device).eval(), digest)
