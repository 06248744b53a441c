"""Perceptron, mask decoder and image encoder of a promptable model, trained together or run frozen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from mammoflow.classification.cases import Cases
from mammoflow.classification.perceptron import Perceptron, pooled_features
from mammoflow.classification.training import Classifier, Scores
from mammoflow.segmentation.embedding.network_square import SQUARE, Frame, network_frame
from mammoflow.segmentation.embedding.training_sources import EmbeddingSource, EncoderSource
from mammoflow.segmentation.losses import segmentation_loss
from mammoflow.segmentation.protocol.prediction import Embedding, Prediction
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.segmentation.scoring.scores import overlap
from mammoflow.storage.files import read_mask
from mammoflow.training.fitting import Rows


@dataclass(frozen=True)
class PromptedLesions:
    """The lesions as a promptable model sees them.

    Attributes
    ----------
    image_of
        (lesions,) row of each lesion's image.
    boxes
        (lesions, 4): x0, y0, x1, y1 of the prompt as fractions of the network's square; NaN without a prompt.
    frames
        Frame of each image.
    reference
        Reference mask file of each lesion, or None.
    """

    image_of: Rows
    boxes: npt.NDArray[np.float32]
    frames: list[Frame]
    reference: list[Path | None]


def prompted_lesions(
    model: PromptableModel, cases: Cases, prompts: pd.DataFrame, reference: list[Path | None]
) -> PromptedLesions:
    """Bring the prompts (table PROMPTS, one row a lesion) into the model's square."""
    sizes = [(int(height), int(width)) for height, width in cases.images[["height", "width"]].to_numpy()]
    known = {size: network_frame(model, size) for size in sorted(set(sizes))}
    frames = [known[size] for size in sizes]
    chosen = prompts.set_index("lesion_id").reindex(cases.lesions["lesion_id"])
    canonical = chosen[["x0", "y0", "x1", "y1"]].to_numpy(dtype=np.float32)
    image_of = cases.lesions["image_index"].to_numpy(dtype=np.intp)
    boxes = [frames[image].boxes(box) for image, box in zip(image_of, canonical, strict=True)]
    return PromptedLesions(image_of, np.stack(boxes), frames, reference)


def decode(model: PromptableModel, embedding: Embedding, boxes: npt.NDArray[np.float32]) -> tuple[Prediction, Tensor]:
    """Decode n boxes (fractions of the square) and return the prediction and the perceptron's features."""
    fractions = torch.from_numpy(boxes).to(model.device)
    prediction = model.predict(embedding, Prompts(fractions * SQUARE), (SQUARE, SQUARE))
    image = embedding[model.embedding_name].expand(len(boxes), -1, -1, -1)
    return prediction, pooled_features(image, prediction, fractions)


@torch.inference_mode()
def frozen_features(
    model: PromptableModel, source: EmbeddingSource, lesions: PromptedLesions
) -> npt.NDArray[np.float32]:
    """Return the features (lesions, features) under the model as it is; NaN for lesions without a prompt."""
    model.network.eval()
    found: dict[int, npt.NDArray[np.float32]] = {}
    for image, arrays in source.all():
        rows = np.flatnonzero((lesions.image_of == image) & np.isfinite(lesions.boxes).all(axis=1))
        if rows.size:
            features = decode(model, model.load_embedding(arrays), lesions.boxes[rows])[1].float().cpu().numpy()
            found.update(zip(rows.tolist(), features, strict=True))
    width = len(next(iter(found.values()))) if found else 0
    nothing = np.full(width, np.nan, np.float32)
    return np.stack([found.get(row, nothing) for row in range(len(lesions.boxes))])


class PromptableClassifier(Classifier):
    """Perceptron and mask decoder, and the encoder too if wanted, trained end to end.

    Parameters
    ----------
    perceptron
        Already trained on the frozen features.
    model
        The promptable model; what is not trained of it keeps its weights.
    source
        Of embeddings: stored ones, or computed ones where the encoder is trained.
    lesions
        Prompts and reference masks.
    segmentation_weight
        Weight of the segmentation loss beside the classification loss.
    encoder_learning_rate
        Highest learning rate of everything in the model but the decoder; None leaves that part frozen.
    """

    def __init__(
        self,
        perceptron: Perceptron,
        model: PromptableModel,
        source: EmbeddingSource | EncoderSource,
        lesions: PromptedLesions,
        segmentation_weight: float,
        encoder_learning_rate: float | None,
    ) -> None:
        super().__init__()
        self.perceptron = perceptron
        self.model, self.source, self.lesions = model, source, lesions
        self.segmentation_weight = segmentation_weight
        self.encoder_learning_rate = encoder_learning_rate
        model.network.requires_grad_(encoder_learning_rate is not None)
        model.decoder.requires_grad_(True)
        if encoder_learning_rate is None:
            self.decoder = model.decoder
        else:
            self.network = model.network
        self.targets: dict[int, npt.NDArray[np.uint8]] = {}

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Give perceptron and decoder the learning rate, and the rest of the model its own."""
        tuned = [*self.perceptron.parameters(), *self.model.decoder.parameters()]
        groups: list[dict[str, Any]] = [{"params": tuned, "lr": learning_rate}]
        if self.encoder_learning_rate is not None:
            seen = {id(parameter) for parameter in tuned}
            rest = [parameter for parameter in self.network.parameters() if id(parameter) not in seen]
            groups.append({"params": rest, "lr": self.encoder_learning_rate})
        return groups

    def forward(self, rows: Rows) -> Scores:
        """Score the lesions of some rows; each image is encoded once in a batch."""
        images, place = np.unique(self.lesions.image_of[rows], return_inverse=True)
        once = self.source.embed(images)
        embedding = {name: tensor[torch.from_numpy(place).to(tensor.device)] for name, tensor in once.items()}
        prediction, features = decode(self.model, embedding, self.lesions.boxes[rows])
        loss = self._segmentation_loss(prediction, rows) if self.training and self.segmentation_weight else None
        return Scores(self.perceptron(features), loss, prediction.low_res_logits[:, :1])

    def _segmentation_loss(self, prediction: Prediction, rows: Rows) -> Tensor | None:
        marked = [place for place, row in enumerate(rows) if self.lesions.reference[row] is not None]
        if not marked:
            return None
        height, width = prediction.low_res_logits.shape[-2:]
        targets = np.stack([self._target(int(rows[place]), int(height), int(width)) for place in marked])
        levels = torch.from_numpy(targets).to(prediction.low_res_logits.device).float()[:, None] / 255
        kept = torch.tensor(marked, device=levels.device)
        loss = segmentation_loss(prediction.low_res_logits[kept], prediction.predicted_iou[kept], levels)
        return self.segmentation_weight * loss

    def _target(self, row: int, height: int, width: int) -> npt.NDArray[np.uint8]:
        path = self.lesions.reference[row]
        if row not in self.targets and path is not None:
            frame = self.lesions.frames[int(self.lesions.image_of[row])]
            self.targets[row] = frame.coverage(read_mask(path), height, width)
        return self.targets[row]


class MaskScores:
    """Dice of a tuned model's masks on the canonical grid, beside that of the masks that the workflow handed on."""

    def __init__(self, model: PromptableModel, lesions: PromptedLesions, handed_on: list[Path | None]) -> None:
        self.model, self.lesions, self.handed_on = model, lesions, handed_on
        self.tuned: dict[int, float] = {}
        self.before: dict[int, float] = {}

    def __call__(self, rows: Rows, scores: Scores) -> None:
        """Score the masks of one batch of predictions."""
        for place, row in enumerate(int(row) for row in rows):
            path, before = self.lesions.reference[row], self.handed_on[row]
            if path is None or before is None or scores.mask_logits is None:
                continue
            reference = read_mask(path)
            size = (reference.shape[0], reference.shape[1])
            mask = self.model.upscale(scores.mask_logits[place : place + 1].float(), size)[0] > 0
            self.tuned[row] = float(overlap(mask.cpu().numpy(), reference[None]).dice[0])
            self.before[row] = float(overlap(read_mask(before)[None], reference[None]).dice[0])

    def summary(self, split: npt.NDArray[np.object_]) -> dict[str, dict[str, float]]:
        """Return n and mean Dice before and after tuning, for each split; missed masks count as 0."""
        result = {}
        for name in ("train", "validation", "test"):
            rows = [row for row in self.tuned if split[row] == name]
            if rows:
                before, after = ([table[row] for row in rows] for table in (self.before, self.tuned))
                result[name] = {
                    "n": len(rows),
                    "dice_before": float(np.mean(before)),
                    "dice_after": float(np.mean(after)),
                }
        return result
