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

from mammoflow.config.segmentation import Precision
from mammoflow.segmentation.precision import choose_precision, computing_in
from mammoflow.storage.files import text_digest

Embedding = dict[str, Tensor]
"""Named tensors of one or several images, each (images, channels, rows, columns)."""

ImageSize = tuple[int, int]
"""(height, width) of a canonical image in pixels."""


@dataclass(frozen=True)
class Prompts:
    """N prompts of one kind, for one decoding; each has the same parts as the others.

    Boxes and points go to a network as its upstream predictor takes them: scaled with the image, and no more.

    Attributes
    ----------
    boxes
        (N, 4): x0, y0, x1, y1 in canonical pixels, half-open; None for prompts without a box.
    points
        (N, P, 2): x, y in canonical pixels; None for prompts without points.
    labels
        (N, P): 1 where a point lies on the lesion, 0 where it does not, -1 where it only fills the row up. A network
        sees a filled place as "not a point"; that is not quite what it sees of a shorter row, so a row is better not
        filled where the numbers shall be upstream's.
    mask_logits
        (N, 1, rows, columns): low-resolution logits of an earlier iteration.
    several_masks
        Ask for the three heads for ambiguous prompts instead of the single one.

    Raises
    ------
    ValueError
        If there is no part at all, points lack labels, or the parts differ in length.
    """

    boxes: Tensor | None = None
    points: Tensor | None = None
    labels: Tensor | None = None
    mask_logits: Tensor | None = None
    several_masks: bool = False

    def __post_init__(self) -> None:
        """Refuse parts that do not belong together."""
        if (self.points is None) != (self.labels is None):
            raise ValueError("points and labels of a prompt come together; found one without the other")
        lengths = {len(part) for part in self._parts() if part is not None}
        if len(lengths) != 1:
            raise ValueError(f"parts of {sorted(lengths)} prompts, expected at least one part, all of one length")

    @classmethod
    def of(
        cls,
        boxes: npt.NDArray[np.floating] | None = None,
        points: npt.NDArray[np.floating] | None = None,
        labels: npt.NDArray[np.integer] | None = None,
        mask_logits: npt.NDArray[np.float32] | None = None,
        several_masks: bool = False,
    ) -> Prompts:
        """Make prompts from arrays."""

        def tensor(array: npt.NDArray[np.generic] | None, kind: torch.dtype) -> Tensor | None:
            return None if array is None else torch.as_tensor(array, dtype=kind)

        return cls(
            tensor(boxes, torch.float32),
            tensor(points, torch.float32),
            tensor(labels, torch.int32),
            tensor(mask_logits, torch.float32),
            several_masks,
        )

    def _parts(self) -> tuple[Tensor | None, ...]:
        return self.boxes, self.points, self.labels, self.mask_logits

    def __len__(self) -> int:
        """Return N."""
        return next(len(part) for part in self._parts() if part is not None)

    def to(self, device: torch.device) -> Prompts:
        """Return the prompts on a device."""
        boxes, points, labels, logits = (None if part is None else part.to(device) for part in self._parts())
        return Prompts(boxes, points, labels, logits, self.several_masks)


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


class PromptableModel(ABC):
    """A segmentation model prompted with boxes, points and masks.

    Attributes
    ----------
    name
        The model's name in the configuration and in tables.
    digest
        SHA-256 over weights, preprocessing and precision: two models of one digest give the same embeddings.
    precision
        In which `encode` computes: fp32, bf16 or fp16. `embed` itself computes in what its caller chose.
    network
        The module that holds all parameters.
    decoder
        The part of `network` that is trained when only the decoder is tuned.
    embedding_name
        Key of the embedding tensor that classifiers pool.
    decodes_in_precision
        Whether `decode` computes in `precision` too; else in fp32.
    """

    name: str
    digest: str
    precision: Precision = "fp32"
    network: nn.Module
    decoder: nn.Module
    embedding_name: str = "image"
    decodes_in_precision: bool = False

    @property
    def device(self) -> torch.device:
        """The device on which the network lies."""
        return next(self.network.parameters()).device

    def use_precision(self, wanted: Precision) -> None:
        """Let `encode` compute in a precision, and `decode` too where the model's decoder does.

        Embeddings of other precisions than fp32 have a digest of their own.

        Raises
        ------
        ConfigError
            If the device does not compute in it.
        """
        if self.precision != "fp32":
            raise ValueError(f"{self.name} computes in {self.precision} already; load it again for another precision")
        self.precision = choose_precision(wanted, self.device)
        if self.precision != "fp32":
            self.digest = text_digest(self.digest, self.precision)

    @abstractmethod
    def preprocess(self, image: npt.NDArray[np.uint16]) -> Tensor:
        """Turn a canonical image (height, width) into the network's input (3, side, side), float32, on the CPU."""

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

    @abstractmethod
    def upscale(self, low_res_logits: Tensor, size: ImageSize) -> Tensor:
        """Bring logits (N, M, rows, columns) to the canonical grid (N, M, height, width); differentiable."""

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
