"""A promptable model that is tuned together with the classifier that reads its features."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mammoflow.classification.front import Front, FrontOutput
from mammoflow.classification.prompted_lesions import PromptedLesions, decode
from mammoflow.config.split_names import SPLITS
from mammoflow.segmentation.embedding.training_sources import BoundedCache, EmbeddingSource, EncoderSource
from mammoflow.segmentation.losses import segmentation_loss
from mammoflow.segmentation.protocol.prediction import Prediction
from mammoflow.segmentation.scoring.scores import overlap
from mammoflow.segmentation.tuning.methods import Prepared, set_mode
from mammoflow.storage.files import read_mask
from mammoflow.training.batching import Rows

TARGET_BYTES = 500_000_000


class PromptedFront(Front):
    """Mask decoder, and image encoder where it is tuned, before the network.

    Parameters
    ----------
    prepared
        The model, and what is trained of it.
    source
        Of embeddings: stored ones, or computed ones where the encoder is trained.
    lesions
        Prompts and reference masks.
    segmentation_weight
        Weight of the segmentation loss beside the classification loss.
    epochs, learning_rate
        See `Front`.
    """

    loss_name = "segmentation_loss"

    def __init__(
        self,
        prepared: Prepared,
        source: EmbeddingSource | EncoderSource,
        lesions: PromptedLesions,
        segmentation_weight: float,
        epochs: int,
        learning_rate: float,
    ) -> None:
        super().__init__()
        self.prepared, self.model = prepared, prepared.model
        self.source, self.lesions = source, lesions
        self.segmentation_weight = segmentation_weight
        self.epochs, self.learning_rate = epochs, learning_rate
        self.attention = prepared.encodes
        # only what is trained is registered, so that the state is what is worth keeping
        if prepared.encodes:
            self.network = self.model.network
        else:
            self.decoder = self.model.decoder
        self.targets: BoundedCache[npt.NDArray[np.uint8]] | None = None
        self.dice: dict[int, tuple[float, float]] = {}

    def groups(self) -> list[dict[str, Any]]:
        """Return the groups of the tuning method, copied because an optimiser writes its rates into them."""
        return [dict(group) for group in self.prepared.groups]

    def mode(self, training: bool) -> None:
        """Leave what is frozen, and the statistics of batch normalisation, as they are."""
        set_mode(self.prepared, training)

    def forward(self, rows: Rows) -> FrontOutput:
        """Decode the lesions of some rows; each image is encoded once."""
        images, place = np.unique(self.lesions.image_of[rows], return_inverse=True)
        with self.prepared.recomputed() if torch.is_grad_enabled() else nullcontext():
            once = self.source.embed(images)
        embedding = {name: tensor[torch.from_numpy(place).to(tensor.device)] for name, tensor in once.items()}
        prediction, features = decode(self.model, embedding, self.lesions.boxes[rows])
        loss = self._loss(prediction, rows) if torch.is_grad_enabled() and self.segmentation_weight else None
        return FrontOutput({"vector": features}, loss, prediction.low_res_logits[:, :1])

    def _loss(self, prediction: Prediction, rows: Rows) -> Tensor | None:
        """Return the weighted segmentation loss of the lesions that have a reference mask."""
        marked = [place for place, row in enumerate(rows) if self.lesions.reference[row] is not None]
        if not marked:
            return None
        height, width = prediction.low_res_logits.shape[-2:]
        if self.targets is None:
            self.targets = BoundedCache(
                lambda row: self._target(row, int(height), int(width)), lambda array: array.nbytes, TARGET_BYTES
            )
        targets = np.stack([self.targets.get(int(rows[place])) for place in marked])
        levels = torch.from_numpy(targets).to(prediction.low_res_logits.device).float()[:, None] / 255
        places = torch.tensor(marked, device=levels.device)
        loss = segmentation_loss(prediction.low_res_logits[places], prediction.predicted_iou[places], levels)
        return self.segmentation_weight * loss

    def _target(self, row: int, height: int, width: int) -> npt.NDArray[np.uint8]:
        path = self.lesions.reference[row]
        if path is None:
            raise ValueError(f"lesion {row} has no reference mask")
        return self.lesions.frames[int(self.lesions.image_of[row])].coverage(read_mask(path), height, width)

    def observe(self, rows: Rows, output: FrontOutput) -> None:
        """Score the masks of one batch of predictions on the canonical grid, and those that were handed on."""
        for place, row in enumerate(int(row) for row in rows):
            path, handed_on = self.lesions.reference[row], self.lesions.predicted[row]
            if path is None or handed_on is None or output.mask_logits is None:
                continue
            reference = read_mask(path)
            size = (reference.shape[0], reference.shape[1])
            mask = self.model.upscale(output.mask_logits[place : place + 1].float(), size)[0] > 0
            after = float(overlap(mask.cpu().numpy(), reference[None]).dice[0])
            self.dice[row] = float(overlap(read_mask(handed_on)[None], reference[None]).dice[0]), after

    def summary(self, split: npt.NDArray[np.object_]) -> dict[str, object]:
        """Return n and mean Dice before and after tuning, for each split; missed masks count as 0."""
        masks = {}
        for name in SPLITS:
            pairs = [pair for row, pair in self.dice.items() if split[row] == name]
            if pairs:
                before, after = np.mean(pairs, axis=0)
                masks[name] = {"n": len(pairs), "dice_before": float(before), "dice_after": float(after)}
        return {"masks": masks}
