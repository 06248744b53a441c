"""Components of a probability map, and the lesions that they hit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mammoflow.config.detection import ComponentScore, HitRule
from mammoflow.imaging.geometry import Mask

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NO_LESION = -1


@dataclass(frozen=True)
class Components:
    """The connected components of an image, in the order of their scores, the highest first.

    Attributes
    ----------
    labels
        (height, width): 0 on the background, else the number of the component, from 1.
    scores
        (C,): 0 to 1.
    areas
        (C,): pixels.
    centres
        (C, 2): centroid y, x in pixels; pixel i covers [i, i + 1).
    boxes
        (C, 4): half-open box y0, x0, y1, x1 in pixels.
    """

    labels: npt.NDArray[np.int32]
    scores: Floats
    areas: Integers
    centres: Floats
    boxes: Integers

    def __len__(self) -> int:
        return len(self.scores)

    def mask(self, index: int) -> Mask:
        """Return the pixels (height, width) of the component in place `index`, counted from 0."""
        return np.asarray(self.labels == index + 1)

    @property
    def union(self) -> Mask:
        """The pixels (height, width) of all components."""
        return np.asarray(self.labels > 0)


def find_components(
    probability: npt.NDArray[np.floating], threshold: float, least_area_px: float, score: ComponentScore
) -> Components:
    """Find the connected components of a probability map; pixels that share a corner are connected.

    Parameters
    ----------
    probability
        (height, width), 0 to 1.
    threshold
        A pixel above it is lesion.
    least_area_px
        Components with fewer pixels are dropped.
    score
        Whether the largest or the mean probability of its pixels scores a component.
    """
    lesion = np.ascontiguousarray(probability > threshold).view(np.uint8)
    count, labels, statistics, centroids = cv2.connectedComponentsWithStats(lesion, connectivity=8, ltype=cv2.CV_32S)
    numbers = np.arange(1, count)
    summarise = ndimage.maximum if score == "max" else ndimage.mean
    scores = np.asarray(summarise(probability, labels, numbers), dtype=np.float64).reshape(-1)
    areas = statistics[1:, cv2.CC_STAT_AREA].astype(np.int64)
    large = np.flatnonzero(areas >= least_area_px)
    order = large[np.argsort(-scores[large], kind="stable")]
    renumbered = np.zeros(count, dtype=np.int32)
    renumbered[order + 1] = np.arange(1, len(order) + 1)
    x, y, width, height = (statistics[1:, column].astype(np.int64) for column in range(4))
    boxes = np.stack([y, x, y + height, x + width], axis=1)
    centres = centroids[1:, ::-1] + 0.5  # OpenCV counts from pixel centres
    return Components(renumbered[labels], scores[order], areas[order], centres[order], boxes[order])


@dataclass(frozen=True)
class Matching:
    """Which component hits which lesion of an image.

    Attributes
    ----------
    lesion
        (C,): place of the lesion that a component hits, `NO_LESION` for a false positive.
    is_mask
        (C,): whether the component is the mask of that lesion. False also for a further component on a lesion that has
        its mask already; such a component is neither a hit nor a false positive.
    iou
        (C,): with the lesion that it hits; of a false positive the largest with any lesion, 0 without lesions.
    component
        (L,): place of the component that is the lesion's mask, -1 for a missed lesion.
    """

    lesion: Integers
    is_mask: Mask
    iou: Floats
    component: Integers


def match(components: Components, lesions: Sequence[Mask], hit: HitRule, least_iou: float) -> Matching:
    """Match the components of an image to its lesions, one to one, the pair with the largest IoU first.

    Parameters
    ----------
    components
        Of the image.
    lesions
        Reference masks (height, width) of its lesions.
    hit
        `iou`: a component hits a lesion if their IoU is at least `least_iou`. `centre`: it does if its centroid is
        in the lesion's mask and the two share a pixel.
    least_iou
        Between 0 and 1.
    """
    iou = _iou(components, lesions)
    hits = iou >= least_iou if hit == "iou" else _centre_inside(components, lesions) & (iou > 0)
    lesion = np.full(len(components), NO_LESION, dtype=np.int64)
    component = np.full(len(lesions), -1, dtype=np.int64)
    pairs = np.argwhere(hits)
    for index, place in pairs[np.argsort(-iou[hits], kind="stable")]:
        if lesion[index] == NO_LESION and component[place] < 0:
            lesion[index], component[place] = place, index
    is_mask = lesion != NO_LESION
    for index in np.flatnonzero(~is_mask & hits.any(axis=1)):
        lesion[index] = np.where(hits[index], iou[index], -1.0).argmax()
    largest = iou.max(axis=1, initial=0.0)
    chosen = lesion != NO_LESION
    largest[chosen] = iou[chosen, lesion[chosen]]
    return Matching(lesion, is_mask, largest, component)


def _iou(components: Components, lesions: Sequence[Mask]) -> Floats:
    """Return the IoU (C, L) of each component with each lesion."""
    columns = []
    for mask in lesions:
        shared = np.bincount(components.labels[mask], minlength=len(components) + 1)[1:]
        columns.append(shared / (components.areas + np.count_nonzero(mask) - shared))
    return np.stack(columns, axis=1) if columns else np.zeros((len(components), 0))


def _centre_inside(components: Components, lesions: Sequence[Mask]) -> Mask:
    """Tell (C, L) which component has its centroid in which lesion."""
    rows, columns = components.centres.astype(np.int64).T
    inside = [mask[rows, columns] for mask in lesions]
    return np.stack(inside, axis=1) if inside else np.zeros((len(components), 0), dtype=np.bool_)


def hit_rule(hit: HitRule, least_iou: float) -> str:
    """Say in words when a component hits a lesion, for tables."""
    return f"IoU at least {least_iou:g}" if hit == "iou" else "centroid in the lesion's mask"
