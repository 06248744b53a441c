"""Training samples of the small model: augmented windows around a lesion, with box prompts of many margins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mammoflow.imaging.geometry import Mask, shrink_mask
from mammoflow.run.runtime import progress
from mammoflow.segmentation.small.architecture import SIDE, small_input
from mammoflow.storage.files import array_digest, read_image, read_mask, text_digest
from mammoflow.tables.files import read_table
from mammoflow.tables.images import CANONICAL_IMAGES, CANONICAL_LESIONS

WINDOW = 128
LARGEST_MARGIN_MM = 22.0
POINTS = 4
"""Most points of a prompt."""

BEND_CELLS = 5
LARGEST_BEND_PX = 2.5
MARGIN_POWER = 1.7
JITTERED_SHARE = 0.3
TIGHT_JITTER = 0.4
CUT_SHARE = 0.05
UPRIGHT_SHARE = 0.7


@dataclass(frozen=True)
class LesionSample:
    """One lesion at the network's resolution.

    Attributes
    ----------
    lesion_id, patient_id, source, split
        As in the lesion table.
    channels
        (INPUT_CHANNELS, SIDE, SIDE) float16: the network's input, shared between the lesions of one image.
    mask
        (SIDE, SIDE) uint8 {0, 1}.
    spacing_mm
        (row, column) spacing of the network's input.
    """

    lesion_id: str
    patient_id: str
    source: str
    split: str
    channels: npt.NDArray[np.float16]
    mask: npt.NDArray[np.uint8]
    spacing_mm: tuple[float, float]


class Batch(NamedTuple):
    """Windows with their prompts; B windows, P prompts each, in window pixels.

    Attributes
    ----------
    channels
        (B, INPUT_CHANNELS, WINDOW, WINDOW).
    masks
        (B, 1, WINDOW, WINDOW) in 0..1.
    boxes
        (B, P, 4) x0, y0, x1, y1; NaN for a prompt of points alone.
    points, labels
        (B, P, POINTS, 2) x, y and (B, P, POINTS): 1 inside, 0 outside, -1 no point.
    """

    channels: Tensor
    masks: Tensor
    boxes: Tensor
    points: Tensor
    labels: Tensor


@dataclass(frozen=True)
class LoadedSamples:
    """The lesions of some splits at the network's resolution, and those that could not be taken.

    Attributes
    ----------
    lesions
        One sample for each lesion with a mask.
    without_mask
        Lesions that have no mask, or an empty one.
    phantom
        Whether any lesion is of a phantom study.
    """

    lesions: list[LesionSample]
    without_mask: int
    phantom: bool

    def digest(self) -> str:
        """Return a digest of all that is trained on."""
        of_samples = [
            (sample.lesion_id, str(sample.spacing_mm), array_digest(sample.channels), array_digest(sample.mask))
            for sample in self.lesions
        ]
        return text_digest(*(text for texts in of_samples for text in texts))


def load_samples(folders: list[Path], splits: tuple[str, ...] = ("train",)) -> LoadedSamples:
    """Load the lesions of some splits from image-stage shards at the network's resolution."""
    samples: list[LesionSample] = []
    without_mask, phantom = 0, False
    for folder in progress(folders, "loading shards"):
        images = read_table(folder / "images.parquet", CANONICAL_IMAGES).set_index("image_id").to_dict("index")
        lesions = read_table(folder / "lesions.parquet", CANONICAL_LESIONS)
        lesions = lesions[lesions["split"].isin(splits) & lesions["malignant"].notna()]
        without_mask += int(lesions["mask_file"].isna().sum())
        phantom |= "phantom" in lesions.columns and bool(lesions["phantom"].any())
        for image_id, group in lesions[lesions["mask_file"].notna()].groupby("image_id", sort=True):
            image = images[image_id]
            pixels = read_image(folder / image["image_file"])
            scale = SIDE / max(pixels.shape[:2])
            rows, columns = round(pixels.shape[0] * scale), round(pixels.shape[1] * scale)
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            grey = cv2.resize(pixels.astype(np.float32), (columns, rows), interpolation=method)
            channels = _square(small_input(np.asarray(grey, dtype=np.float32))).astype(np.float16)
            spacing = (float(image["row_spacing_mm"]) / scale, float(image["column_spacing_mm"]) / scale)
            for lesion in group.itertuples():
                mask = _resized_mask(read_mask(folder / str(lesion.mask_file)), (rows, columns))
                if not mask.any():
                    without_mask += 1
                    continue
                square = _square(mask[None].astype(np.uint8))[0]
                names = (str(lesion.lesion_id), str(lesion.patient_id), str(lesion.source), str(lesion.split))
                samples.append(LesionSample(*names, channels, square, spacing))
    return LoadedSamples(samples, without_mask, phantom)


def _resized_mask(mask: Mask, shape: tuple[int, int]) -> Mask:
    """Bring a mask to the network's resolution; a lesion of a few canonical pixels keeps one pixel."""
    if shape[0] > mask.shape[0]:
        size = (shape[1], shape[0])
        enlarged = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0.5
        if enlarged.any():
            return np.asarray(enlarged)
    return shrink_mask(mask, shape)


def _square(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    rows, columns = array.shape[-2:]
    return np.pad(array, ((0, 0), (0, SIDE - rows), (0, SIDE - columns)))


def draw_boxes(
    mask: npt.NDArray[np.bool_],
    spacing_mm: tuple[float, float],
    count: int,
    generator: np.random.Generator,
    inside: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.float32]:
    """Draw box prompts (count, 4) around a mask: a margin in millimetres, then a jitter of each side.

    The first box is tight; the margins of the others are in strata up to `LARGEST_MARGIN_MM`, small ones more often.
    A share of the boxes has a jitter of each side, normal with a twentieth of the box's own length, at least half a
    pixel, and less for the tight one. A share is cut on one side. Every box ends where the image does: `inside` (rows,
    columns) is the part of the window that the image fills.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    tight = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)
    strata = max(count - 1, 1)
    place = (np.arange(count - 1) + generator.random(count - 1)) / strata
    margins = LARGEST_MARGIN_MM * np.concatenate([[0.0], place**MARGIN_POWER])
    pixels = margins[:, None] / np.array([spacing_mm[1], spacing_mm[0]])[None]
    boxes = tight[None] + np.concatenate([-pixels, pixels], axis=1)
    lengths = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    jitter = generator.normal(0, 1, boxes.shape) * np.maximum(0.05 * lengths, 0.5)
    jitter[0] *= TIGHT_JITTER
    boxes = boxes + jitter * (generator.random((count, 1)) < JITTERED_SHARE)
    for index in np.flatnonzero(generator.random(count) < CUT_SHARE):
        side = generator.integers(4)
        boxes[index, side] += generator.random() * (tight[side] - boxes[index, side])
    if inside is not None:
        low, high = _image_border(inside, tight)
        boxes[:, :2], boxes[:, 2:] = np.maximum(boxes[:, :2], low), np.minimum(boxes[:, 2:], high)
    return np.asarray(boxes, dtype=np.float32)


def _image_border(
    inside: npt.NDArray[np.bool_], tight: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return where the image begins and ends, (x, y) each, to the sides of a tight box and above and below it."""
    column, row = (int(value) for value in (tight[:2] + tight[2:]) // 2)
    across, down = np.flatnonzero(inside[row]), np.flatnonzero(inside[:, column])
    if not len(across) or not len(down):
        return tight[:2], tight[2:]
    low = np.array([across[0], down[0]], dtype=np.float32)
    high = np.array([across[-1] + 1, down[-1] + 1], dtype=np.float32)
    # the image may continue beyond the end of the window
    low[low == 0], high[high == inside.shape[0]] = -np.inf, np.inf
    return np.minimum(low, tight[:2]), np.maximum(high, tight[2:])


def draw_points(
    mask: npt.NDArray[np.bool_], box: npt.NDArray[np.float32], generator: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Draw the points (POINTS, 2) x, y of one prompt and their labels (POINTS,).

    The first is inside the mask: the deepest pixel or any. Up to two more are inside or, outside the mask, in the box.
    """
    points = np.zeros((POINTS, 2), np.float32)
    labels = np.full(POINTS, -1.0, np.float32)
    inside = np.argwhere(mask)
    if generator.random() < 0.5:
        distance = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        first = np.array(np.unravel_index(int(distance.argmax()), mask.shape))
    else:
        first = inside[generator.integers(len(inside))]
    points[0], labels[0] = first[::-1] + 0.5, 1
    x0, y0, x1, y1 = np.clip(np.round(box), 0, WINDOW).astype(int)
    outside = np.argwhere(~mask[y0:y1, x0:x1]) + np.array([y0, x0])
    for index in range(1, 1 + int(generator.integers(3))):
        negative = generator.random() < 0.6 and len(outside) > 0
        source = outside if negative else inside
        points[index], labels[index] = source[generator.integers(len(source))][::-1] + 0.5, 0 if negative else 1
    return points, labels


def _transform(sample: LesionSample, generator: np.random.Generator) -> tuple[npt.NDArray[np.float32], float]:
    """Draw the map (WINDOW, WINDOW, 2) from window to image pixels (x, y), and its scale (image px a window px)."""
    rows, columns = np.nonzero(sample.mask)
    centre = np.array([columns.mean(), rows.mean()])
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    scale = float(np.exp(generator.uniform(np.log(0.65), np.log(1.4))))
    scale = max(scale, extent / (0.6 * WINDOW))
    # most windows keep the film's axes, about which readers draw boxes
    upright = generator.integers(4) * np.pi / 2 + generator.normal(0, 0.1)
    angle = upright if generator.random() < UPRIGHT_SHARE else generator.uniform(-np.pi, np.pi)
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if generator.random() < 0.5:
        rotation[:, 0] *= -1
    place = WINDOW / 2 + generator.uniform(-4, 4, 2)
    grid = np.stack(np.meshgrid(np.arange(WINDOW), np.arange(WINDOW)), axis=-1) - place
    coarse = generator.normal(0, generator.uniform(0, LARGEST_BEND_PX / 2), (BEND_CELLS, BEND_CELLS, 2))
    bend = cv2.resize(coarse.astype(np.float32), (WINDOW, WINDOW), interpolation=cv2.INTER_CUBIC)
    return ((grid + bend) @ rotation.T + centre).astype(np.float32), scale


def draw_window(
    sample: LesionSample, prompts: int, generator: np.random.Generator
) -> tuple[npt.NDArray[np.float32], ...]:
    """Draw one augmented window.

    Returns
    -------
    tuple
        Channels (INPUT_CHANNELS, WINDOW, WINDOW), mask (1, WINDOW, WINDOW), boxes (prompts, 4), points
        (prompts, POINTS, 2) and labels (prompts, POINTS), as in `Batch`.
    """
    places, scale = _transform(sample, generator)
    stack = np.dstack([*sample.channels.astype(np.float32), sample.mask.astype(np.float32)])
    warped = cv2.remap(stack, places, None, cv2.INTER_LINEAR).transpose(2, 0, 1)
    channels, mask = warped[:-1], warped[-1]
    marked = mask > 0.5
    if not marked.any():
        return draw_window(sample, prompts, generator)
    # the last channel says where the image is
    grey, inside = channels[:-1], channels[-1] > 0.5
    foreground = grey[:1] != 0
    gain = np.exp(generator.normal(0, 0.2, (len(grey), 1, 1)))
    shift = generator.normal(0, 0.2, (len(grey), 1, 1)) * foreground
    noise = generator.normal(0, generator.uniform(0, 0.2), grey.shape) * foreground
    channels[:-1] = grey * gain + shift + noise
    spacing = (sample.spacing_mm[0] * scale, sample.spacing_mm[1] * scale)
    boxes = draw_boxes(marked, spacing, prompts, generator, inside)
    points = np.zeros((prompts, POINTS, 2), np.float32)
    labels = np.full((prompts, POINTS), -1.0, np.float32)
    # a quarter of the windows have one prompt with points; half of these have no box
    if generator.random() < 0.25:
        index = int(generator.integers(prompts))
        points[index], labels[index] = draw_points(marked, boxes[index], generator)
        if generator.random() < 0.5:
            boxes[index] = np.nan
    return channels, mask[None], boxes, points, labels


def batches(samples: list[LesionSample], size: int, prompts: int, generator: np.random.Generator) -> Iterator[Batch]:
    """Shuffle the samples once and yield augmented batches of them."""
    order = generator.permutation(len(samples))
    for start in range(0, len(order), size):
        drawn = [draw_window(samples[index], prompts, generator) for index in order[start : start + size]]
        yield Batch(*(torch.from_numpy(np.stack(part)) for part in zip(*drawn, strict=True)))
