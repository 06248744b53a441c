"""What every promptable model offers: encode an image once, decode any number of prompts from its embedding.

SAM, MedSAM, SAM 2 and the small embedded model differ behind this protocol only. A model has a differentiable core in
tensors (`preprocess`, `embed`, `predict`), for training, and an inference face in arrays (`encode`, `decode`) that the
stages use. Coordinates are canonical pixels of the image that was encoded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Embedding = dict[str, Tensor]
"""Named tensors of one or several images, each (images, channels, rows, columns)."""

ImageSize = tuple[int, int]
"""(height, width) of a canonical image in pixels."""


@dataclass(frozen=True)
class Prediction:
    """What the decoder says about N prompts, as tensors that carry gradients.

    Attributes
    ----------
    low_res_logits
        (N, M, rows, columns): mask logits of the M heads at the decoder's resolution.
    predicted_iou
        (N, M): the model's own estimate of each mask's IoU.
    tokens
        (N, M, channels): the decoder's mask tokens after its transformer, for classifiers.
    """

    low_res_logits: Tensor
    predicted_iou: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class Decoded:
    """What a stage gets for N prompts on one image, as arrays.

    Attributes
    ----------
    logits
        (N, height, width) float32: mask logits on the canonical grid; the mask is where they are above 0.
    low_res_logits
        (N, 1, rows, columns) float32: what the next iteration may be prompted with.
    predicted_iou
        (N,) float32.
    """

    logits: npt.NDArray[np.float32]
    low_res_logits: npt.NDArray[np.float32]
    predicted_iou: npt.NDArray[np.float32]


class PromptableModel(ABC):
    """A box-promptable segmentation model.

    Attributes
    ----------
    name
        The model's name in the configuration and in tables.
    digest
        SHA-256 over weights and preprocessing: two models of one digest give the same embeddings.
    network
        The module that holds all parameters.
    decoder
        The part of `network` that is trained when only the decoder is tuned.
    embedding_name
        Key of the embedding tensor that classifiers pool.
    """

    name: str
    digest: str
    network: nn.Module
    decoder: nn.Module
    embedding_name: str = "image"

    @property
    def device(self) -> torch.device:
        """The device on which the network lies."""
        return next(self.network.parameters()).device

    @abstractmethod
    def preprocess(self, image: npt.NDArray[np.uint16]) -> Tensor:
        """Turn a canonical image (height, width) into the network's input (3, side, side), float32, on the CPU."""

    @abstractmethod
    def embed(self, batch: Tensor) -> Embedding:
        """Encode inputs (images, 3, side, side) on the model's device; differentiable."""

    @abstractmethod
    def predict(
        self,
        embedding: Embedding,
        boxes: Tensor,
        size: ImageSize,
        mask_logits: Tensor | None = None,
        several_masks: bool = False,
    ) -> Prediction:
        """Decode N boxes; differentiable.

        Parameters
        ----------
        embedding
            Of one image, shared by all boxes, or of N images, one for each box.
        boxes
            (N, 4): x0, y0, x1, y1 in canonical pixels, half-open.
        size
            (height, width) of the canonical image.
        mask_logits
            (N, 1, rows, columns): low-resolution logits of an earlier iteration.
        several_masks
            Return the three heads for ambiguous prompts instead of the single one.
        """

    @abstractmethod
    def upscale(self, low_res_logits: Tensor, size: ImageSize) -> Tensor:
        """Bring logits (N, M, rows, columns) to the canonical grid (N, M, height, width); differentiable."""

    @torch.inference_mode()
    def encode(self, images: Sequence[npt.NDArray[np.uint16]]) -> list[dict[str, npt.NDArray[np.float16]]]:
        """Encode canonical images together; return one set of half-precision arrays (channels, rows, columns) each."""
        self.network.eval()
        batch = torch.stack([self.preprocess(image) for image in images]).to(self.device)
        embedding = {name: tensor.half().cpu().numpy() for name, tensor in self.embed(batch).items()}
        return [{name: array[index] for name, array in embedding.items()} for index in range(len(images))]

    def load_embedding(self, arrays: dict[str, npt.NDArray[np.generic]]) -> Embedding:
        """Turn the stored arrays of one image into an embedding on the model's device."""
        return {
            name: torch.from_numpy(np.ascontiguousarray(array)).to(self.device).float()[None]
            for name, array in arrays.items()
        }

    @torch.inference_mode()
    def decode(
        self,
        arrays: dict[str, npt.NDArray[np.generic]],
        boxes: npt.NDArray[np.float32],
        size: ImageSize,
        mask_logits: npt.NDArray[np.float32] | None = None,
    ) -> Decoded:
        """Decode the boxes (N, 4) of one image from its stored embedding."""
        self.network.eval()
        prediction = self.predict(
            self.load_embedding(arrays),
            torch.as_tensor(boxes, dtype=torch.float32, device=self.device),
            size,
            None if mask_logits is None else torch.as_tensor(mask_logits, device=self.device),
        )
        logits = self.upscale(prediction.low_res_logits, size)
        return Decoded(
            logits[:, 0].float().cpu().numpy(),
            prediction.low_res_logits.float().cpu().numpy(),
            prediction.predicted_iou[:, 0].float().cpu().numpy(),
        )
