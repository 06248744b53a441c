"""The prompts of one image as arrays: the step between the table of prompts and what a network is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from mammoflow.segmentation.prompting.points import read_points
from mammoflow.segmentation.protocol.prompts import Prompts

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PromptArrays:
    """N prompts of any kinds on one image.

    Attributes
    ----------
    boxes
        (N, 4): x0, y0, x1, y1 in pixels of the image, half-open; NaN where a prompt has no box.
    points
        (N, P, 2): x, y in pixels of the image.
    labels
        (N, P): 1 on the lesion, 0 beside it, -1 where a prompt has fewer points.
    """

    boxes: Float32
    points: Float32
    labels: npt.NDArray[np.int64]

    @classmethod
    def of_boxes(cls, boxes: Float32) -> PromptArrays:
        """Make prompts of boxes (N, 4) alone."""
        return cls(boxes, np.zeros((len(boxes), 0, 2), np.float32), np.zeros((len(boxes), 0), np.int64))

    @classmethod
    def of_table(cls, table: pd.DataFrame) -> PromptArrays:
        """Make prompts of rows of the table PROMPTS."""
        boxes = table[["x0", "y0", "x1", "y1"]].to_numpy(dtype=np.float32)
        lists = [read_points(text) for text in table["points"]]
        most = max(map(len, lists), default=0)
        points = np.zeros((len(lists), most, 2), np.float32)
        labels = np.full((len(lists), most), -1, np.int64)
        for row, points_of_prompt in enumerate(lists):
            for place, (y, x, label) in enumerate(points_of_prompt):
                points[row, place], labels[row, place] = (x, y), label
        return cls(boxes, points, labels)

    def __len__(self) -> int:
        """Return N."""
        return len(self.boxes)

    def shape_of(self, index: int) -> tuple[bool, int]:
        """Tell whether a prompt has a box, and how many points: prompts that agree in both are decoded together."""
        return bool(np.isfinite(self.boxes[index]).all()), int((self.labels[index] >= 0).sum())

    def take(self, positions: npt.NDArray[np.int64]) -> PromptArrays:
        """Return the prompts at some positions, without places that none of them fills."""
        labels = self.labels[positions]
        most = int((labels >= 0).sum(axis=1).max(initial=0))
        return PromptArrays(self.boxes[positions], self.points[positions, :most], labels[:, :most])

    def moved(self, corner: tuple[float, float], scale: tuple[float, float]) -> PromptArrays:
        """Return the prompts in pixels of a view: its corner (y, x) in these pixels, its pixels for each of these."""
        start, factor = np.array([corner[1], corner[0]]), np.array([scale[1], scale[0]])
        boxes = (self.boxes - np.tile(start, 2)) * np.tile(factor, 2)
        points = (self.points - start) * factor
        return replace(self, boxes=boxes.astype(np.float32), points=points.astype(np.float32))

    def with_boxes(self, boxes: Float32) -> PromptArrays:
        """Return the prompts with other boxes (N, 4)."""
        return replace(self, boxes=boxes)

    def some_boxes(self) -> Float32:
        """Return the boxes (N, 4), and around the points of a prompt without a box the pixels that they lie in."""
        boxes = self.boxes.copy()
        for row in np.flatnonzero(~np.isfinite(boxes).all(axis=1)):
            on = self.points[row][self.labels[row] == 1]
            boxes[row] = np.concatenate([np.floor(on.min(axis=0)), np.floor(on.max(axis=0)) + 1])
        return boxes

    def ask(self, mask_logits: Float32 | None = None, several_masks: bool = False) -> Prompts:
        """Return these prompts, which have one shape, as a network is asked."""
        has_box, count = self.shape_of(0)
        points, labels = (self.points, self.labels) if count else (None, None)
        return Prompts.of(self.boxes if has_box else None, points, labels, mask_logits, several_masks)
