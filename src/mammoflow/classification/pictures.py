"""Square grey pictures: cut, resized, prepared once in a memory-mapped file, and augmented as they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mammoflow.classification.samples import Inputs, Samples
from mammoflow.config.pictures import Flips, PictureOptions
from mammoflow.run.runtime import progress
from mammoflow.storage.intermediate import mapped_array
from mammoflow.training.batching import Rows
from mammoflow.training.state import make_folder

Grey = npt.NDArray[np.uint16]
Item = TypeVar("Item")

WHITE = 65535
PICTURES_AT_ONCE = 64
SMALLEST_DEVIATION = 1e-4


def cut(image: npt.NDArray[np.generic], y0: int, x0: int, y1: int, x1: int) -> npt.NDArray[np.generic]:
    """Return image[y0:y1, x0:x1], with 0 where that lies outside the image."""
    height, width = image.shape
    result = np.zeros((y1 - y0, x1 - x0), image.dtype)
    # an end below 0 would count from the far side
    inside = image[max(y0, 0) : max(min(y1, height), 0), max(x0, 0) : max(min(x1, width), 0)]
    if inside.size:
        top, left = max(-y0, 0), max(-x0, 0)
        result[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return result


def resize(image: npt.NDArray[np.generic], side: int) -> npt.NDArray[np.float32]:
    """Resize to (side, side), by area where it shrinks, so that no texture folds over."""
    method = cv2.INTER_AREA if max(image.shape) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image.astype(np.float32), (side, side), interpolation=method), dtype=np.float32)


def as_grey(levels: npt.NDArray[np.floating]) -> Grey:
    """Round grey levels to 16 bit."""
    return np.clip(np.round(levels), 0, WHITE).astype(np.uint16)


def prepare_pictures(
    work: Callable[[Item], Grey],
    items: Sequence[Item],
    side: int,
    file: Path,
    threads: int,
    label: str,
    channels: int | None = None,
) -> Grey:
    """Make one picture of each item and keep them all in one file.

    Parameters
    ----------
    work
        Makes a picture (side, side).
    items
        What pictures are made of.
    side
        Side of the pictures in pixels.
    file
        The file, which is written anew.
    threads
        Threads that make pictures.
    label
        What the progress lines call them.
    channels
        Channels of a picture (channels, side, side); None for pictures (side, side).

    Returns
    -------
    ndarray
        (items, side, side) or (items, channels, side, side) uint16, mapped from the file: memory does not grow with the
        study.

    Raises
    ------
    WriteError
        If the disk has no room for all pictures.
    """
    make_folder(file.parent)
    shape = (side, side) if channels is None else (channels, side, side)
    pictures = mapped_array(file, (len(items), *shape), np.uint16)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for row, picture in enumerate(progress(pool.map(work, items), label, total=len(items))):
            pictures[row] = picture
    pictures.flush()
    del pictures
    return np.lib.format.open_memmap(file, mode="r")


def augmented(
    picture: npt.NDArray[np.float32],
    degrees: float,
    brightness: float,
    generator: np.random.Generator,
    flips: Flips = "both",
) -> npt.NDArray[np.float32]:
    """Return a picture (side, side) in 0..1 flipped, rotated and changed in brightness at random.

    Parameters
    ----------
    picture
        Grey levels in 0..1.
    degrees
        Largest rotation about the centre; what comes from outside is 0.
    brightness
        Grey levels are multiplied by a number from 1 - brightness to 1 + brightness and cut off at 1.
    generator
        Where all of it is drawn.
    flips
        Directions in which pictures are flipped.
    """
    horizontally, vertically, turn, gain = generator.random(4)
    if horizontally < 0.5 and flips != "none":
        picture = picture[:, ::-1]
    if vertically < 0.5 and flips == "both":
        picture = picture[::-1]
    picture = np.ascontiguousarray(picture)
    if degrees:
        height, width = picture.shape
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), (2 * turn - 1) * degrees, 1.0)
        picture = np.asarray(cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR))
    if brightness:
        picture = picture * np.float32(1 + (2 * gain - 1) * brightness)
    return np.clip(picture, 0, 1).astype(np.float32, copy=False)


class PictureSamples(Samples):
    """Samples that are one grey picture each; several lesions may share one.

    Parameters
    ----------
    pictures
        (pictures, side, side) uint16.
    picture_of
        (samples,) row of each sample's picture.
    labels, split, sample_of, notes
        See `Samples`.
    options
        How training changes the pictures.
    """

    def __init__(
        self,
        pictures: Grey,
        picture_of: Rows,
        labels: npt.NDArray[np.float32],
        split: npt.NDArray[np.object_],
        sample_of: Rows,
        notes: dict[str, object],
        options: PictureOptions,
    ) -> None:
        self.pictures, self.picture_of = pictures, picture_of
        self.labels, self.split, self.sample_of, self.notes = labels, split, sample_of, notes
        self.usable = np.ones(len(labels), dtype=np.bool_)
        self.options = options
        self.digest = _digest(pictures)

    def __getitem__(self, row: int) -> Inputs:
        """Return `picture` (1, side, side), float32 in 0..1."""
        levels = self.pictures[self.picture_of[row]].astype(np.float32) / np.float32(WHITE)
        return {"picture": torch.from_numpy(levels)[None]}

    def drawn(self, row: int, generator: np.random.Generator) -> Inputs:
        """Return `picture`, flipped, rotated and brightened."""
        picture = self[row]["picture"][0].numpy()
        options = self.options
        changed = augmented(picture, options.rotation_degrees, options.brightness, generator, options.flips)
        return {"picture": torch.from_numpy(changed)[None]}

    def levels(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return mean and deviation (1, 1, 1) of all pixels of the pictures that some samples show."""
        shown = np.unique(self.picture_of[rows])
        total, squares = 0.0, 0.0
        for start in range(0, len(shown), PICTURES_AT_ONCE):
            grey = self.pictures[shown[start : start + PICTURES_AT_ONCE]].astype(np.float64) / WHITE
            total, squares = total + grey.sum(), squares + (grey**2).sum()
        count = len(shown) * self.pictures[0].size
        mean = total / count
        deviation = max(float(np.sqrt(max(squares / count - mean**2, 0.0))), SMALLEST_DEVIATION)
        return torch.full((1, 1, 1), mean), torch.full((1, 1, 1), deviation)


def _digest(pictures: Grey) -> str:
    """Return the SHA-256 of the pictures, read a few at a time."""
    digest = hashlib.sha256(f"{pictures.dtype.str}{pictures.shape}".encode())
    for start in range(0, len(pictures), PICTURES_AT_ONCE):
        digest.update(np.ascontiguousarray(pictures[start : start + PICTURES_AT_ONCE]).tobytes())
    return digest.hexdigest()
