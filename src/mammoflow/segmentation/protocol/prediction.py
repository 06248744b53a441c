"""What a promptable model gives: embeddings of images, and predictions for prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Embedding = dict[str, Tensor]
"""Named tensors of one or several images, each (images, channels, rows, columns)."""


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
        (N, M, channels): a vector for each mask, for classifiers, such as the decoder's mask tokens after its
        transformer; None where a model has none.
    """

    low_res_logits: Tensor
    predicted_iou: Tensor
    tokens: Tensor | None = None


@dataclass(frozen=True)
class Decoded:
    """What a stage gets for N prompts on one image, as arrays.

    Attributes
    ----------
    logits
        (N, M, height, width) float32: mask logits of the M heads on the canonical grid; a mask is where they are
        above 0.
    low_res_logits
        (N, M, rows, columns) float32: one head of it is what the next iteration may be prompted with.
    predicted_iou
        (N, M) float32.
    """

    logits: npt.NDArray[np.float32]
    low_res_logits: npt.NDArray[np.float32]
    predicted_iou: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Encoding:
    """The embedding of several images on its way from the device, in half precision.

    Attributes
    ----------
    tensors
        On the CPU, whole once `ready` has happened.
    ready
        Event of the GPU; None where the tensors are whole already.
    """

    tensors: Embedding
    ready: torch.cuda.Event | None

    @classmethod
    def of(cls, embedding: Embedding) -> Encoding:
        """Begin to bring an embedding to the CPU."""
        tensors = {name: tensor.half().to("cpu", non_blocking=True) for name, tensor in embedding.items()}
        if not any(tensor.is_cuda for tensor in embedding.values()):
            return cls(tensors, None)
        ready = torch.cuda.Event()
        ready.record()
        return cls(tensors, ready)

    def arrays(self) -> list[dict[str, npt.NDArray[np.float16]]]:
        """Wait for it; return one set of arrays (channels, rows, columns) for each image."""
        if self.ready is not None:
            self.ready.synchronize()
        arrays = {name: tensor.numpy() for name, tensor in self.tensors.items()}
        count = len(next(iter(arrays.values())))
        return [{name: array[index] for name, array in arrays.items()} for index in range(count)]
