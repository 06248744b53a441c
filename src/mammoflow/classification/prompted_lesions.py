"""Lesions as a promptable model sees them, and the features that it gives of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from mammoflow.classification.cases import Cases
from mammoflow.errors import ConfigError
from mammoflow.segmentation.embedding.network_square import SQUARE, SquarePlace, place_in_square
from mammoflow.segmentation.embedding.training_sources import EmbeddingSource
from mammoflow.segmentation.protocol.prediction import Embedding, Prediction
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.training.batching import Rows

BOX_SHARE = 1e-3
"""Weight of the box beside the soft mask, so that an empty mask leaves the mean over the box and not noise."""


@dataclass(frozen=True)
class PromptedLesions:
    """The lesions in a promptable model's square.

    Attributes
    ----------
    image_of
        (lesions,) row of each lesion's image.
    boxes
        (lesions, 4): x0, y0, x1, y1 of the prompt as fractions of the network's square; NaN without a prompt.
    frames
        Where each image lies in the square.
    reference
        Reference mask file of each lesion, or None.
    predicted
        File of the mask that the segmentation handed on, or None.
    """

    image_of: Rows
    boxes: npt.NDArray[np.float32]
    frames: list[SquarePlace]
    reference: list[Path | None]
    predicted: list[Path | None]


def prompted_lesions(
    model: PromptableModel,
    cases: Cases,
    prompts: pd.DataFrame,
    reference: list[Path | None],
    predicted: list[Path | None],
) -> PromptedLesions:
    """Bring the prompts (table PROMPTS, one row for each lesion) into the model's square."""
    sizes = [(int(height), int(width)) for height, width in cases.images[["height", "width"]].to_numpy()]
    frame_of = {size: place_in_square(model, size) for size in sorted(set(sizes))}
    frames = [frame_of[size] for size in sizes]
    chosen = prompts.set_index("lesion_id").reindex(cases.lesions["lesion_id"])
    canonical = chosen[["x0", "y0", "x1", "y1"]].to_numpy(dtype=np.float32)
    image_of = cases.lesions["image_index"].to_numpy(dtype=np.intp)
    boxes = [frames[image].boxes(box) for image, box in zip(image_of, canonical, strict=True)]
    return PromptedLesions(image_of, np.stack(boxes), frames, reference, predicted)


def decode(model: PromptableModel, embedding: Embedding, boxes: npt.NDArray[np.float32]) -> tuple[Prediction, Tensor]:
    """Decode n boxes (fractions of the square); return the prediction and the lesions' features (n, features)."""
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
    features_of: dict[int, npt.NDArray[np.float32]] = {}
    for image, arrays in source.all():
        rows = np.flatnonzero((lesions.image_of == image) & np.isfinite(lesions.boxes).all(axis=1))
        if rows.size:
            features = decode(model, model.load_embedding(arrays), lesions.boxes[rows])[1].float().cpu().numpy()
            features_of.update(zip(rows.tolist(), features, strict=True))
    width = len(next(iter(features_of.values()))) if features_of else 0
    undefined = np.full(width, np.nan, np.float32)
    return np.stack([features_of.get(row, undefined) for row in range(len(lesions.boxes))])


def pooled_features(embedding: Tensor, prediction: Prediction, boxes: Tensor) -> Tensor:
    """Return what a network reads about n lesions.

    Parameters
    ----------
    embedding
        (n, channels, rows, columns) image embedding of each lesion's image.
    prediction
        Of the n boxes; its first head is used.
    boxes
        (n, 4): x0, y0, x1, y1 as fractions of the network's square.

    Returns
    -------
    Tensor
        (n, 2 channels + token channels): mean of the embedding under the soft predicted mask, mean within the box,
        the decoder's mask token.

    Raises
    ------
    ConfigError
        If the model has no mask tokens.
    """
    if prediction.tokens is None:
        raise ConfigError("the promptable model gives no token for each mask; expected one that does, such as small")
    rows, columns = embedding.shape[-2:]
    box = box_weights(boxes.float(), int(rows), int(columns))
    mask = adaptive_avg_pool2d(prediction.low_res_logits[:, :1].float().sigmoid(), (int(rows), int(columns)))[:, 0]
    under_mask = _weighted_mean(embedding, mask + BOX_SHARE * box)
    in_box = _weighted_mean(embedding, box + 1e-6)
    return torch.cat([under_mask, in_box, prediction.tokens[:, 0].float()], dim=1)


def box_weights(boxes: Tensor, rows: int, columns: int) -> Tensor:
    """Return how much of each cell boxes cover: (n, 4) x0, y0, x1, y1 as fractions to (n, rows, columns) in 0..1."""

    def along(low: Tensor, high: Tensor, cells: int) -> Tensor:
        edges = torch.arange(cells, device=boxes.device, dtype=boxes.dtype)
        covered = torch.minimum(high[:, None] * cells, edges + 1) - torch.maximum(low[:, None] * cells, edges)
        return covered.clamp(0, 1)

    x0, y0, x1, y1 = boxes.unbind(1)
    return along(y0, y1, rows)[:, :, None] * along(x0, x1, columns)[:, None, :]


def _weighted_mean(embedding: Tensor, weights: Tensor) -> Tensor:
    shares = weights / weights.sum(dim=(-2, -1), keepdim=True)
    return torch.einsum("nchw,nhw->nc", embedding.float(), shares)
