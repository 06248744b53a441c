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

from mammoflow.runtime import progress
from mammoflow.segmentation.small.architecture import PATCH, SIDE, small_input
from mammoflow.store import read_image, read_mask
from mammoflow.tables import CANONICAL_IMAGES, CANONICAL_LESIONS, read_table

WINDOW = 96
CUT_SHARE = 0.25
LARGEST_MARGIN_MM = 22.0
TIGHT_SHARE = 0.2


@dataclass(frozen=True)
class LesionSample:
    """One lesion at the network's resolution.

    Attributes
    ----------
    lesion_id, patient_id, source, split
        As in the lesion table.
    channels
        (3, SIDE, SIDE) float16: the network's input, shared between the lesions of one image.
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
        (B, 3, WINDOW, WINDOW).
    masks
        (B, 1, WINDOW, WINDOW) in 0..1.
    boxes
        (B, P, 4) x0, y0, x1, y1.
    offsets
        (B, 2) rows and columns of tokens between the frame's corner and the window's.
    """

    channels: Tensor
    masks: Tensor
    boxes: Tensor
    offsets: Tensor


def load_samples(folders: list[Path]) -> list[LesionSample]:
    """Load the lesions of image-stage shards at the network's resolution; lesions without a mask are left out."""
    samples: list[LesionSample] = []
    for folder in progress(folders, "loading shards"):
        images = read_table(folder / "images.parquet", CANONICAL_IMAGES).set_index("image_id").to_dict("index")
        lesions = read_table(folder / "lesions.parquet", CANONICAL_LESIONS)
        for image_id, group in lesions[lesions["mask_file"].notna()].groupby("image_id", sort=True):
            image = images[image_id]
            pixels = read_image(folder / image["image_file"])
            scale = SIDE / max(pixels.shape[:2])
            size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            grey = cv2.resize(pixels.astype(np.float32), size, interpolation=method)
            channels = _square(small_input(np.asarray(grey, dtype=np.float32))).astype(np.float16)
            spacing = (float(image["row_spacing_mm"]) / scale, float(image["column_spacing_mm"]) / scale)
            for lesion in group.itertuples():
                mask = read_mask(folder / str(lesion.mask_file)).astype(np.float32)
                small = cv2.resize(mask, size, interpolation=method) > 0.5
                if small.any():
                    square = _square(small[None].astype(np.uint8))[0]
                    names = (str(lesion.lesion_id), str(lesion.patient_id), str(lesion.source), str(lesion.split))
                    samples.append(LesionSample(*names, channels, square, spacing))
    return samples


def _square(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    rows, columns = array.shape[-2:]
    return np.pad(array, ((0, 0), (0, SIDE - rows), (0, SIDE - columns)))


def draw_boxes(
    mask: npt.NDArray[np.bool_],
    spacing_mm: tuple[float, float],
    count: int,
    generator: np.random.Generator,
    limit: tuple[int, int],
) -> npt.NDArray[np.float32]:
    """Draw box prompts (count, 4) around a mask: a margin in millimetres, then a jitter of each side.

    A share of the boxes is tight; the margins of the others are uniform up to `LARGEST_MARGIN_MM`. The jitter of a
    side is normal with a twentieth of the box's own length, at least half a pixel. A share of the boxes is clipped to
    `limit`, as boxes are at the border of a film; the others may reach beyond the window.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    tight = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)
    margins = generator.uniform(0, LARGEST_MARGIN_MM, count) * (generator.random(count) > TIGHT_SHARE)
    pixels = margins[:, None] / np.array([spacing_mm[1], spacing_mm[0]])[None]
    boxes = tight[None] + np.concatenate([-pixels, pixels], axis=1)
    lengths = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    jitter = generator.normal(0, 1, boxes.shape) * np.maximum(0.05 * lengths, 0.5)
    boxes = boxes + np.where(margins[:, None] > 0, jitter, 0.3 * jitter)
    upper = np.array([limit[1], limit[0], limit[1], limit[0]])
    cut = generator.random((count, 1)) < CUT_SHARE
    return np.asarray(np.where(cut, np.clip(boxes, 0, upper), boxes), dtype=np.float32)


def _transform(sample: LesionSample, generator: np.random.Generator) -> tuple[npt.NDArray[np.float32], float]:
    """Draw the affine map (2, 3) from window pixels to image pixels, and its scale (image pixels a window pixel)."""
    rows, columns = np.nonzero(sample.mask)
    centre = np.array([columns.mean(), rows.mean()])
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    scale = float(np.exp(generator.uniform(np.log(0.65), np.log(1.35))))
    scale = max(scale, extent / (0.7 * WINDOW))
    angle = generator.uniform(-np.pi / 4, np.pi / 4) + generator.integers(4) * np.pi / 2
    rotation = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if generator.random() < 0.5:
        rotation[:, 0] *= -1
    room = max(WINDOW / 2 - extent / (2 * scale) - 4, 1.0)
    place = WINDOW / 2 + generator.uniform(-room, room, 2)
    return np.column_stack([rotation, centre - rotation @ place]).astype(np.float32), scale


def draw_window(
    sample: LesionSample, prompts: int, generator: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Draw one augmented window: channels (3, WINDOW, WINDOW), mask (1, WINDOW, WINDOW), boxes (prompts, 4)."""
    matrix, scale = _transform(sample, generator)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    stack = np.dstack([*sample.channels.astype(np.float32), sample.mask.astype(np.float32)])
    warped = cv2.warpAffine(stack, matrix, (WINDOW, WINDOW), flags=flags)
    channels, mask = warped[..., :3].transpose(2, 0, 1), warped[..., 3]
    if not (mask > 0.5).any():
        return draw_window(sample, prompts, generator)
    gain = np.exp(generator.normal(0, 0.15, (3, 1, 1)))
    shift = generator.normal(0, 0.15, (3, 1, 1)) * (channels[:1] != 0)
    noise = generator.normal(0, generator.uniform(0, 0.15), channels.shape) * (channels[:1] != 0)
    spacing = (sample.spacing_mm[0] * scale, sample.spacing_mm[1] * scale)
    boxes = draw_boxes(mask > 0.5, spacing, prompts, generator, (WINDOW, WINDOW))
    return (channels * gain + shift + noise).astype(np.float32), mask[None], boxes


def batches(samples: list[LesionSample], size: int, prompts: int, generator: np.random.Generator) -> Iterator[Batch]:
    """Shuffle the samples once and yield augmented batches of them."""
    order = generator.permutation(len(samples))
    for start in range(0, len(order), size):
        drawn = [draw_window(samples[index], prompts, generator) for index in order[start : start + size]]
        channels, masks, boxes = (np.stack([sample[part] for sample in drawn]) for part in range(3))
        offsets = generator.integers(0, (SIDE - WINDOW) // PATCH + 1, (len(drawn), 2))
        yield Batch(*(torch.from_numpy(array) for array in (channels, masks, boxes, offsets)))
