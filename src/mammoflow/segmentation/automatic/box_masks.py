"""Masks that a promptable model makes of the boxes of lesions, for an automatic model that learns from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mammoflow.config.few_labels import IMAGES_TOGETHER, LabelKindSettings
from mammoflow.config.inference import EncoderUse
from mammoflow.imaging.geometry import Mask, box_of
from mammoflow.segmentation.automatic.samples import TrainingImages
from mammoflow.segmentation.embedding.embeddings import embeddings
from mammoflow.segmentation.loading import load_promptable
from mammoflow.segmentation.prompting.boxes import expand_boxes
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.prompts import Prompts
from mammoflow.segmentation.protocol.segmenter import ImageSize
from mammoflow.storage.arrays import ArrayStore
from mammoflow.training.batching import Rows
from mammoflow.weights.registry import ModelSpec
from mammoflow.weights.seen_patients import recorded_patients


@dataclass(frozen=True)
class CutMask:
    """A mask without the empty part of its image.

    Attributes
    ----------
    inside
        (rows, columns): the mask in its box.
    corner
        (row, column) of the box in the image.
    size
        (height, width) of the image.
    """

    inside: Mask
    corner: tuple[int, int]
    size: ImageSize

    @classmethod
    def of(cls, mask: Mask) -> CutMask:
        """Cut a mask (height, width)."""
        y0, x0, y1, x1 = box_of(mask) or (0, 0, 0, 0)
        return cls(mask[y0:y1, x0:x1].copy(), (y0, x0), (mask.shape[0], mask.shape[1]))

    def whole(self) -> Mask:
        """Return the mask (height, width)."""
        mask = np.zeros(self.size, dtype=np.bool_)
        rows, columns = self.inside.shape
        mask[self.corner[0] : self.corner[0] + rows, self.corner[1] : self.corner[1] + columns] = self.inside
        return mask


@dataclass(frozen=True)
class BoxMasks:
    """The masks of a teacher by the row of their image.

    Attributes
    ----------
    masks
        One for each lesion of an image.
    digest
        Of the model that made them.
    seen
        Real patients that this model was trained on, as `source/patient`.
    """

    masks: dict[int, list[CutMask]]
    digest: str
    seen: list[str]

    def lesions(self, row: int) -> list[Mask]:
        """Return the masks of the lesions of an image, each (height, width)."""
        return [mask.whole() for mask in self.masks[row]]


def masks_from_boxes(
    labels: LabelKindSettings,
    images: TrainingImages,
    rows: Rows,
    store: Path,
    device: torch.device,
    use: EncoderUse,
) -> BoxMasks:
    """Let a promptable model turn the boxes of lesions into masks; no reference mask is looked at.

    Parameters
    ----------
    labels
        The model and the margin of the boxes.
    images, rows
        Training images, and the rows whose lesions are segmented.
    store
        Folder of the embeddings.
    device, use
        Of the model, as `load_promptable` takes them.

    Raises
    ------
    ConfigError
        If the model takes no prompts, or does not see what it is to see.
    WeightsError
        If its weights are missing.
    """
    spec = ModelSpec(labels.model, labels.model, Path(labels.weights) if labels.weights else None)
    model = load_promptable(spec, device, use)
    table = images.images.iloc[rows]
    table = table[table["boxes"].map(len) > 0]
    row_of = {image_id: int(row) for row, image_id in zip(table.index, table["image_id"], strict=True)}
    masks: dict[int, list[CutMask]] = {int(row): [] for row in rows}
    for folder, part in table.groupby("folder", sort=True):
        for image_id, arrays in embeddings(model, part, Path(str(folder)), ArrayStore(store), IMAGES_TOGETHER):
            row = row_of[image_id]
            boxes = _enlarged(images.images.iloc[row]["boxes"], labels.margin_mm, images, row)
            masks[row] = [CutMask.of(mask) for mask in _decoded(model, arrays, boxes, images.size(row))]
    return BoxMasks(masks, model.digest, recorded_patients(labels.model, spec.file))


def _enlarged(boxes: Sequence[tuple[float, ...]], margin_mm: float, images: TrainingImages, row: int) -> np.ndarray:
    """Return boxes (N, 4) with a margin, clipped to their image."""
    number = len(boxes)
    spacing = np.tile(images.spacing_mm(row), (number, 1)).astype(np.float64)
    sizes = np.tile(images.size(row), (number, 1)).astype(np.float64)
    return expand_boxes(np.asarray(boxes, dtype=np.float64), margin_mm, spacing, sizes)


def _decoded(model: PromptableModel, arrays: dict[str, np.ndarray], boxes: np.ndarray, size: ImageSize) -> list[Mask]:
    """Return the mask of each box; nothing outside the box counts."""
    masks = []
    for box in boxes:
        decoded = model.decode(arrays, Prompts.of(boxes=box[None, [1, 0, 3, 2]]), size)
        head = int(decoded.predicted_iou[0].argmax())
        mask = decoded.logits[0, head] > 0
        y0, x0 = np.floor(box[:2]).astype(int)
        y1, x1 = np.ceil(box[2:]).astype(int)
        inside = np.zeros(size, dtype=np.bool_)
        inside[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
        masks.append(inside)
    return masks
