"""What every promptable model offers: encode an image once, decode any number of prompts from its embedding.

A model has a differentiable core in tensors (`preprocess`, `embed`, `predict`), for training, and an inference face in
arrays (`encode`, `decode`) that the stages use. Coordinates are canonical pixels of the image that was encoded.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mammoflow.config.inference import Colour
from mammoflow.segmentation.precision import computing_in
from mammoflow.segmentation.protocol.prediction import Decoded, Embedding, Encoding, Prediction
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.segmentation.protocol.segmenter import ImageSize, Segmenter


class PromptableModel(Segmenter):
    """A segmentation model prompted with boxes, points and masks.

    Attributes
    ----------
    decoder
        The part of `network` that is trained when only the decoder is tuned.
    embedding_name
        Key of the embedding tensor that classifiers pool.
    decodes_in_precision
        Whether `decode` computes in `precision` too; else in fp32.
    colour
        What the network sees of pictures in colour: their grey levels, or red, green and blue. Who reads an image for
        the model goes by it (`mammoflow.imaging.canonical.read_levels`).
    """

    decoder: nn.Module
    embedding_name: str = "image"
    decodes_in_precision: bool = False
    colour: Colour = "grey"

    @abstractmethod
    def embed(self, batch: Tensor) -> Embedding:
        """Encode inputs (images, 3, side, side) on the model's device; differentiable."""

    @abstractmethod
    def predict(self, embedding: Embedding, prompts: Prompts, size: ImageSize) -> Prediction:
        """Decode N prompts; differentiable.

        Parameters
        ----------
        embedding
            Of one image, shared by all prompts, or of N images, one for each prompt.
        prompts
            Boxes, points and mask logits, and whether several heads answer.
        size
            (height, width) of the canonical image.
        """

    def encode(self, images: Sequence[npt.NDArray[np.uint16]]) -> list[dict[str, npt.NDArray[np.float16]]]:
        """Encode canonical images together; return one set of half-precision arrays (channels, rows, columns) each."""
        return self.start_encoding([self.preprocess(image) for image in images]).arrays()

    @torch.inference_mode()
    def start_encoding(self, inputs: Sequence[Tensor]) -> Encoding:
        """Encode inputs of `preprocess` together; on a GPU this returns while it still computes.

        Inputs in pinned memory are copied to the GPU without waiting for it.
        """
        self.network.eval()
        batch = torch.stack([each.to(self.device, non_blocking=True) for each in inputs])
        with computing_in(self.precision, self.device):
            embedding = self.embed(batch)
        return Encoding.of(embedding)

    def load_embedding(self, arrays: dict[str, npt.NDArray[np.generic]]) -> Embedding:
        """Turn the stored arrays of one image into an embedding on the model's device."""
        return {
            name: torch.from_numpy(np.ascontiguousarray(array)).to(self.device).float()[None]
            for name, array in arrays.items()
        }

    @torch.inference_mode()
    def decode(self, arrays: dict[str, npt.NDArray[np.generic]], prompts: Prompts, size: ImageSize) -> Decoded:
        """Decode N prompts on one image from its stored embedding."""
        self.network.eval()
        with computing_in(self.precision if self.decodes_in_precision else "fp32", self.device):
            prediction = self.predict(self.load_embedding(arrays), prompts.to(self.device), size)
        low_res_logits = prediction.low_res_logits.float()
        return Decoded(
            self.upscale(low_res_logits, size).cpu().numpy(),
            low_res_logits.cpu().numpy(),
            prediction.predicted_iou.float().cpu().numpy(),
        )
