"""What promptable and automatic models share: a network with its preprocessing, its digest and its precision."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mammoflow.config.inference import Precision
from mammoflow.segmentation.precision import choose_precision
from mammoflow.storage.files import text_digest

ImageSize = tuple[int, int]
"""(height, width) of a canonical image in pixels."""


class Segmenter(ABC):
    """A segmentation model: a network and what brings canonical images to it and its logits back.

    Attributes
    ----------
    name
        The model's name in the configuration and in tables.
    digest
        SHA-256 over weights, preprocessing and precision: two models with the same digest give the same results.
    encoder_digest
        Digest of the model whose image encoder this one has unchanged; "" where the encoder is its own.
    precision
        In which inference computes: fp32, bf16 or fp16. The differentiable functions compute in the caller's choice.
    network
        The module that holds all parameters.
    """

    name: str
    digest: str
    encoder_digest: str = ""
    precision: Precision = "fp32"
    network: nn.Module

    @property
    def device(self) -> torch.device:
        """The device that holds the network."""
        return next(self.network.parameters()).device

    @property
    def embedding_digest(self) -> str:
        """The digest that stored embeddings are found by: models with the same image encoder share them."""
        return self.encoder_digest or self.digest

    def use_precision(self, wanted: Precision) -> None:
        """Let inference compute in a precision; other precisions than fp32 change the digest.

        Raises
        ------
        ConfigError
            If the device does not compute in it.
        ValueError
            If another precision than fp32 was chosen before.
        """
        if self.precision != "fp32":
            raise ValueError(f"{self.name} computes in {self.precision} already; load it again for another precision")
        self.precision = choose_precision(wanted, self.device)
        if self.precision != "fp32":
            self.digest = text_digest(self.digest, self.precision)
            if self.encoder_digest:
                self.encoder_digest = text_digest(self.encoder_digest, self.precision)

    @abstractmethod
    def preprocess(self, image: npt.NDArray[np.uint16]) -> Tensor:
        """Turn a canonical image (height, width[, 3]) into the network's input (channels, rows, columns).

        The input is float32 on the CPU. Only models that see colours are given images (height, width, 3).
        """

    @abstractmethod
    def upscale(self, logits: Tensor, size: ImageSize) -> Tensor:
        """Bring logits (N, M, rows, columns) of the network to the canonical grid (N, M, height, width).

        Differentiable. `size` is the (height, width) of the canonical image.
        """
