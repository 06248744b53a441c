"""What a network is to learn from a training image: masks, or less than that, and where it is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mammoflow.config.few_labels import LabelKindSettings
from mammoflow.imaging.geometry import Mask
from mammoflow.segmentation.automatic.box_masks import BoxMasks
from mammoflow.segmentation.automatic.samples import PARTLY, TrainingImages
from mammoflow.segmentation.protocol.network_input import NetworkInput


@dataclass(frozen=True)
class Target:
    """The reference of an image on the network's grid.

    Attributes
    ----------
    lesions
        (rows, columns): what counts as lesion.
    unknown
        (rows, columns): pixels without a loss; None where all are known.
    """

    lesions: Mask
    unknown: Mask | None = None


class Targets:
    """Gives the targets of training images.

    Parameters
    ----------
    images
        The training images.
    labels
        What the labels are.
    boxes
        Masks that a teacher made, for boxes.
    """

    def __init__(self, images: TrainingImages, labels: LabelKindSettings, boxes: BoxMasks | None = None) -> None:
        self.images, self.labels, self.boxes = images, labels, boxes

    def of(self, row: int, network_input: NetworkInput) -> Target:
        """Return the target of an image of the training side.

        For labels of whole images every pixel has the label of the image.
        """
        image = self.images.images.iloc[row]
        if self.labels.kind == "image":
            grid = network_input.place_mask(np.zeros(self.images.size(row), dtype=np.bool_), self._spacing(row))
            return Target(np.full_like(grid, bool(image["boxes"])))
        if self.labels.kind == "points":
            near, nowhere = self._points(row)
            if image["labels"] == PARTLY:
                masks = self.images.read_lesions(row)
                nowhere |= self._unknown(row, bool(image["fully_listed"]), image["boxes_only"], masks) & ~near
            return self._on_grid(row, network_input, near, nowhere)
        lesions = self.images.read_lesions(row) if self.boxes is None else self.boxes.lesions(row)
        union = np.zeros(self.images.size(row), dtype=np.bool_)
        for mask in lesions:
            union |= mask
        unknown = None
        if image["labels"] == PARTLY:
            boxes_only = image["boxes_only"] if self.boxes is None else []
            unknown = self._unknown(row, bool(image["fully_listed"]), boxes_only, lesions) & ~union
        return self._on_grid(row, network_input, union, unknown)

    def _on_grid(self, row: int, network_input: NetworkInput, lesions: Mask, unknown: Mask | None) -> Target:
        spacing = self._spacing(row)
        placed = network_input.place_mask(lesions, spacing)
        return Target(placed, None if unknown is None else network_input.place_mask(unknown, spacing) & ~placed)

    def _spacing(self, row: int) -> tuple[float, float]:
        return self.images.spacing_mm(row)

    def _points(self, row: int) -> tuple[Mask, Mask]:
        """Return discs around the innermost point of each lesion, and the surroundings of which nothing is known."""
        size, spacing = self.images.size(row), self._spacing(row)
        distance = np.full(size, np.inf)
        for mask in self.images.read_lesions(row):
            y, x = innermost_point(mask)
            rows = (np.arange(size[0]) - y) * spacing[0]
            columns = (np.arange(size[1]) - x) * spacing[1]
            distance = np.minimum(distance, np.hypot(rows[:, None], columns[None]))
        near = distance <= max(self.labels.point_mm, math.hypot(*spacing) / 2)  # a pixel at least
        return near, (distance < self.labels.healthy_beyond_mm) & ~near

    def _unknown(self, row: int, listed: bool, boxes_only: Sequence[tuple[float, ...]], masks: Sequence[Mask]) -> Mask:
        """Return where an image is not annotated.

        With all lesions listed these are the boxes of lesions without a mask; else all but the surroundings of masks.
        """
        size, spacing = self.images.size(row), self._spacing(row)
        unknown = np.full(size, not listed)
        if not listed:
            for mask in masks:
                rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
                if len(rows):
                    box = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
                    unknown[_slices(box, self.labels.ring_mm, spacing, size)] = False
        for only in boxes_only:
            unknown[_slices(only, 0.0, spacing, size)] = True
        return unknown


def _slices(
    box: Sequence[float], margin_mm: float, spacing: tuple[float, float], size: tuple[int, int]
) -> tuple[slice, slice]:
    """Return the pixels of a box (y0, x0, y1, x1) with a margin."""
    y, x = (margin_mm / each for each in spacing)
    return (
        slice(max(0, math.floor(box[0] - y)), min(size[0], math.ceil(box[2] + y))),
        slice(max(0, math.floor(box[1] - x)), min(size[1], math.ceil(box[3] + x))),
    )


def innermost_point(mask: Mask) -> tuple[int, int]:
    """Return the (row, column) of the pixel of a mask that is farthest from its edge; the first one of several."""
    padded = np.pad(mask.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(int(distance.argmax()), mask.shape)
    return int(y), int(x)
