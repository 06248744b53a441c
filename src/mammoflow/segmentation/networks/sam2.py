"""SAM 2.1: the networks and the preprocessing of the sam2 package (Ravi et al., SAM 2, 2024).

The image is stretched to 1024 x 1024 and normalised as ImageNet was; the embedding holds the decoder's three levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sam2.utils.transforms import SAM2Transforms
from torch import Tensor
from torch.nn import functional

from mammoflow.segmentation.networks.rgb_input import to_rgb
from mammoflow.segmentation.protocol.prediction import Embedding, Prediction
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.segmentation.protocol.segmenter import ImageSize
from mammoflow.storage.files import text_digest

PROMPT_LOGIT_LIMIT = 32.0
"""The upstream predictor hands on low-resolution logits within this bound."""


class Sam2Model(PromptableModel):
    """SAM 2.1 on single images, behind the promptable protocol.

    Parameters
    ----------
    name
        The model's name in the configuration.
    network
        A `SAM2Base` network.
    digest
        Digest of the weights; the preprocessing's is added.
    """

    network: Any  # sam2 is not typed

    def __init__(self, name: str, network: torch.nn.Module, digest: str) -> None:
        self.name = name
        self.network = network
        self.decoder = self.network.sam_mask_decoder
        self.side = int(self.network.image_size)
        self.transforms = SAM2Transforms(resolution=self.side, mask_threshold=0.0)
        self.digest = text_digest(name, type(self).__name__, digest, "preprocessing 1")

    def preprocess(self, image: npt.NDArray[np.uint16]) -> Tensor:
        """Stretch to the square and normalise, by the package's own transforms."""
        tensor: Tensor = self.transforms(to_rgb(image))
        return tensor

    def embed(self, batch: Tensor) -> Embedding:
        """Encode inputs (images, 3, side, side): the coarse level as `image`, the finer ones for the decoder."""
        levels = self.network.forward_image(batch)["backbone_fpn"][-self.network.num_feature_levels :]
        image = levels[-1]
        if self.network.directly_add_no_mem_embed:
            # a still image is a video without memory: the network was trained with this in its place
            image = image + self.network.no_mem_embed.reshape(1, -1, 1, 1)
        return {"image": image, **{f"level{index}": level for index, level in enumerate(levels[:-1])}}

    def predict(self, embedding: Embedding, prompts: Prompts, size: ImageSize) -> Prediction:
        """Decode N prompts against the embedding of one image or of N images.

        A box is prompted as its two corner points before the prompt's own, as the upstream predictor does. In
        evaluation mode an unstable single mask gives way to the best of the three heads, as the package configures its
        predictor; `tokens` are the single-mask token's even then.
        """
        network = self.network
        mask_logits = prompts.mask_logits
        if mask_logits is not None:
            mask_logits = mask_logits.float().clamp(-PROMPT_LOGIT_LIMIT, PROMPT_LOGIT_LIMIT)
        points = self._corners_and_points(prompts, size)
        sparse, dense = network.sam_prompt_encoder(points=points, boxes=None, masks=mask_logits)
        finer = [embedding[f"level{index}"] for index in range(len(embedding) - 1)]
        masks, iou, tokens, _ = network.sam_mask_decoder(
            image_embeddings=embedding["image"],
            image_pe=network.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=prompts.several_masks,
            repeat_image=embedding["image"].shape[0] == 1 and len(prompts) > 1,
            high_res_features=finer,
        )
        return Prediction(masks, iou, tokens)

    def _corners_and_points(self, prompts: Prompts, size: ImageSize) -> tuple[Tensor, Tensor] | None:
        """Return places (N, P, 2) in the network's input and labels (N, P); None for prompts of masks alone."""
        places, labels = [], []
        if prompts.boxes is not None:
            places.append(self.transforms.transform_boxes(prompts.boxes, normalize=True, orig_hw=size))
            corners = torch.tensor([[2, 3]], dtype=torch.int, device=prompts.boxes.device)
            labels.append(corners.expand(len(prompts), -1))
        if prompts.points is not None and prompts.labels is not None:
            places.append(self.transforms.transform_coords(prompts.points, normalize=True, orig_hw=size))
            labels.append(prompts.labels.int())
        return (torch.cat(places, dim=1), torch.cat(labels, dim=1)) if places else None

    def upscale(self, low_res_logits: Tensor, size: ImageSize) -> Tensor:
        """Interpolate to the canonical grid: the square was stretched, so it comes back stretched."""
        return functional.interpolate(low_res_logits.float(), size, mode="bilinear", align_corners=False)
