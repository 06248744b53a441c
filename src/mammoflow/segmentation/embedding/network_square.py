"""Where a canonical image lies in the square that a promptable network sees.

Each model scales, pads or stretches in its own way, and the protocol shows only the way back (`upscale`). All of them
are linear along each axis, so sending a ramp of coordinates back and reading it at two pixels gives the map. With it
lesions of images of any size are decoded in one batch: a box in the square is a box on a square image.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.segmenter import ImageSize

SQUARE = 1024
"""Side of the square image on which boxes are given."""

RAMP_CELLS = 64
RAMP_HEIGHT = 0.02
"""Small, because a model may send probabilities instead of logits back, and the sigmoid is straight near 0 only."""

SUPERSAMPLING = 4


@dataclass(frozen=True)
class SquarePlace:
    """fraction of the square = scale * canonical coordinate + offset, along rows and columns."""

    row_scale: float
    row_offset: float
    column_scale: float
    column_offset: float

    def boxes(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Turn boxes (n, 4) x0, y0, x1, y1 in canonical pixels into fractions of the square."""
        scale = np.array([self.column_scale, self.row_scale] * 2)
        offset = np.array([self.column_offset, self.row_offset] * 2)
        return np.asarray(boxes * scale + offset, dtype=np.float32)

    def points(self, points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Turn points (..., 2) x, y in canonical pixels into fractions of the square."""
        scale = np.array([self.column_scale, self.row_scale])
        offset = np.array([self.column_offset, self.row_offset])
        return np.asarray(points * scale + offset, dtype=np.float32)

    def coverage(self, mask: npt.NDArray[np.bool_], rows: int, columns: int) -> npt.NDArray[np.uint8]:
        """Return how much of each cell (rows, columns) of the square a canonical mask covers, 0..255."""
        height, width = rows * SUPERSAMPLING, columns * SUPERSAMPLING
        scale_y, scale_x = self.row_scale * height, self.column_scale * width
        # OpenCV puts a pixel's centre at a whole number, the frame at a half
        matrix = np.array(
            [
                [scale_x, 0, scale_x * 0.5 + self.column_offset * width - 0.5],
                [0, scale_y, scale_y * 0.5 + self.row_offset * height - 0.5],
            ]
        )
        fine = cv2.warpAffine(mask.astype(np.uint8) * 255, matrix, (width, height), flags=cv2.INTER_LINEAR)
        return np.asarray(cv2.resize(fine, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.uint8)


@torch.inference_mode()
def place_in_square(model: PromptableModel, size: ImageSize) -> SquarePlace:
    """Find where a canonical image of a size (height, width) lies in the model's square."""
    centres = (torch.arange(RAMP_CELLS, device=model.device) + 0.5) / RAMP_CELLS
    down, across = torch.meshgrid(centres, centres, indexing="ij")
    ramps = (torch.stack([down, across])[:, None] - 0.5) * RAMP_HEIGHT
    values = model.upscale(ramps, size)[:, 0].double() / RAMP_HEIGHT + 0.5
    low, high = [side // 4 for side in size], [side - 1 - side // 4 for side in size]
    rows = _line(float(values[0, low[0], low[1]]), float(values[0, high[0], low[1]]), low[0], high[0])
    columns = _line(float(values[1, low[0], low[1]]), float(values[1, low[0], high[1]]), low[1], high[1])
    return SquarePlace(*rows, *columns)


def _line(first: float, second: float, low: int, high: int) -> tuple[float, float]:
    scale = (second - first) / (high - low)
    return scale, first - scale * (low + 0.5)
