"""Squares of fixed size around lesions: cut with a margin, standardised in grey level, and changed at random."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mammoflow.classification.cases import Cases, mask_paths, predicted_masks
from mammoflow.classification.pictures import PICTURES_AT_ONCE, WHITE, Grey, PictureSamples, cut, prepare_pictures
from mammoflow.classification.samples import Files, Inputs, Job
from mammoflow.config.pictures import ContextCropOptions
from mammoflow.storage.files import read_image, read_mask
from mammoflow.training.batching import Rows

LARGEST_DEVIATIONS = 4.0
"""Standard deviations from the mean at which grey levels are cut off; the mean is stored as the middle of the range."""

MIDDLE = (WHITE + 1) // 2
SMALLEST_DEVIATION = 1e-6
EDGE_PX = 2

Levels = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ContextFiles:
    """What is read for one square.

    Attributes
    ----------
    image, breast, mask
        Files of the canonical image, its breast region and the lesion's mask, or None.
    box
        Annotated box y0, x0, y1, x1, half-open, in canonical pixels.
    spacing_mm
        Canonical pixel spacing of rows and columns.
    """

    image: Path
    breast: Path
    mask: Path | None
    box: tuple[float, float, float, float]
    spacing_mm: tuple[float, float]


def files_of_lesions(cases: Cases, masks: list[Path | None]) -> list[ContextFiles]:
    """Gather what is read for each lesion."""
    images = cases.images.to_dict("records")
    gathered = []
    for lesion, mask in zip(cases.lesions.to_dict("records"), masks, strict=True):
        image = images[lesion["image_index"]]
        folder = Path(image["folder"])
        gathered.append(
            ContextFiles(
                folder / image["image_file"],
                folder / image["breast_file"],
                mask,
                (lesion["y0"], lesion["x0"], lesion["y1"], lesion["x1"]),
                (image["row_spacing_mm"], image["column_spacing_mm"]),
            )
        )
    return gathered


def cached_side(options: ContextCropOptions) -> int:
    """Return the side in pixels of the square that is prepared: no change in training reaches beyond it."""
    angle = math.radians(min(options.rotation_degrees, 45.0))
    reach = (math.cos(angle) + math.sin(angle)) / (1 - options.scale) + 2 * options.shift_mm / options.size_mm
    if reach == 1:
        return options.image_px
    # an even number more, so that the middle of the one is the middle of the other
    return options.image_px + 2 * math.ceil(options.image_px * (reach - 1) / 2 + EDGE_PX)


def context_crop(files: ContextFiles, options: ContextCropOptions) -> tuple[Grey, bool, bool]:
    """Return the square around a lesion with its margin, and what took the place of its mask and of the breast.

    Grey levels have the mean 0 and the deviation 1 over the square without its margin, over that part of it which lies
    in the breast, or over the breast, and are cut off at four deviations. What lies outside the film has the mean. All
    lesions come from the canonical image, so that sharpness does not depend on the size of the lesion.

    Returns
    -------
    picture, boxed, outside
        (1 or 2, side, side) uint16, grey levels, and the mask where it is a channel; side is `cached_side`. Whether the
        annotated box took the place of the mask, and whether the square took that of a breast without a pixel.
    """
    mask = read_mask(files.mask) if files.mask else None
    boxed = mask is None or not mask.any()
    side, (centre, steps) = cached_side(options), _placed(files, mask, options)
    image = read_image(files.image).astype(np.float32)
    grey = _sampled(image, centre, steps, side)
    film = _sampled(np.ones_like(image), centre, steps, side) > 0.999
    shown, inside = (_middle(levels, options.image_px) for levels in (grey, film))
    measured = shown[inside]
    if options.standardise == "breast":
        measured = image[read_mask(files.breast)]
    elif options.standardise == "tissue":
        breast = _sampled(read_mask(files.breast).astype(np.float32), centre, steps, side)
        measured = shown[_middle(film & (breast > 0.5), options.image_px)]
    channels = [_standardised(grey, film, measured if measured.size else shown[inside])]
    if options.mask_channel:
        drawn = _box_mask(image.shape, files.box) if mask is None or boxed else mask
        channels.append(np.round(_sampled(drawn.astype(np.float32), centre, steps, side) * WHITE).astype(np.uint16))
    return np.stack(channels), boxed, not measured.size


def cover_of_square(files: ContextFiles, lesion: Path, options: ContextCropOptions) -> Levels:
    """Return which share of each pixel (image_px, image_px) of the square a mask covers.

    Parameters
    ----------
    files
        Those of the square.
    lesion
        File of the mask to be brought onto the square.
    options
        Those of the square.
    """
    centre, steps = _placed(files, read_mask(files.mask) if files.mask else None, options)
    cover = _sampled(read_mask(lesion).astype(np.float32), centre, steps, cached_side(options))
    return np.ascontiguousarray(_middle(cover, options.image_px), dtype=np.float32)


def _placed(
    files: ContextFiles, mask: npt.NDArray[np.bool_] | None, options: ContextCropOptions
) -> tuple[tuple[float, float], list[float]]:
    """Return the centre (y, x) of a square, and height and width of its pixels, in canonical pixels."""
    box = files.box
    if mask is not None and mask.any() and options.centre == "mask":
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = (float(rows[0]), float(columns[0]), float(rows[-1] + 1), float(columns[-1] + 1))
    steps = [options.size_mm / options.image_px / spacing for spacing in files.spacing_mm]
    return ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), steps


def _sampled(image: Levels, centre: tuple[float, float], steps: list[float], side: int) -> Levels:
    """Return a square (side, side) around a centre (y, x), 0 outside; `steps` are its pixels' height and width."""
    if min(steps) <= 1:  # at least one axis grows: sampled where each pixel's centre lies
        first = [place - 0.5 + (0.5 - side / 2) * step for place, step in zip(centre, steps, strict=True)]
        inverse = np.array([[steps[1], 0, first[1]], [0, steps[0], first[0]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(image, inverse, (side, side), flags=flags), dtype=np.float32)
    low = [round(place - side / 2 * step) for place, step in zip(centre, steps, strict=True)]
    high = [round(place + side / 2 * step) for place, step in zip(centre, steps, strict=True)]
    region = cut(image, low[0], low[1], high[0], high[1])
    return np.asarray(cv2.resize(region, (side, side), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _standardised(grey: Levels, film: npt.NDArray[np.bool_], measured: Levels) -> Grey:
    """Return grey levels as 16 bit: the mean is the middle, four deviations are the ends."""
    mean, deviation = (float(measured.mean()), float(measured.std())) if measured.size else (0.0, 0.0)
    units = np.where(film, (grey - mean) / max(deviation, SMALLEST_DEVIATION), 0)
    levels = np.round(MIDDLE + units * ((MIDDLE - 1) / LARGEST_DEVIATIONS))
    return np.clip(levels, 0, WHITE).astype(np.uint16)


def _box_mask(shape: tuple[int, ...], box: tuple[float, float, float, float]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=np.bool_)
    y0, x0, y1, x1 = box
    mask[max(0, math.floor(y0)) : math.ceil(y1), max(0, math.floor(x0)) : math.ceil(x1)] = True
    return mask


def _middle(picture: npt.NDArray[np.generic], side: int) -> npt.NDArray[np.generic]:
    """Return the middle (..., side, side) of a picture."""
    margin = (picture.shape[-1] - side) // 2
    return picture[..., margin : margin + side, margin : margin + side]


def changed(picture: Grey, options: ContextCropOptions, generator: np.random.Generator) -> Levels:
    """Return the middle of a prepared picture flipped, rotated, scaled, shifted and changed in grey level at random.

    Parameters
    ----------
    picture
        (1 or 2, side, side), grey levels and the mask.
    options
        How large the changes may be.
    generator
        Where all of it is drawn; what is drawn for one change does not depend on the others.

    Returns
    -------
    ndarray
        (1 or 2, image_px, image_px) in 0 to 1.
    """
    horizontally, vertically, turn, zoom, down, right, contrast, brightness = generator.random(8)
    angle = math.radians(options.rotation_degrees) * (2 * turn - 1)
    size = 1 / (1 + options.scale * (2 * zoom - 1))
    flip_x = -1 if horizontally < 0.5 and options.flips != "none" else 1
    flip_y = -1 if vertically < 0.5 and options.flips == "both" else 1
    side, source = options.image_px, picture.shape[-1]
    shift = options.shift_mm * side / options.size_mm * (2 * np.array([right, down]) - 1)
    cosine, sine = math.cos(angle) * size, math.sin(angle) * size
    # where a pixel (x, y) of the result comes from, about the middles of both
    turned = np.array([[cosine * flip_x, -sine * flip_y], [sine * flip_x, cosine * flip_y]])
    origin = (source - 1) / 2 + shift - turned @ np.full(2, (side - 1) / 2)
    inverse = np.column_stack([turned, origin])
    channels = np.ascontiguousarray(np.moveaxis(picture, 0, -1))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(channels, inverse, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    levels = np.asarray(warped, dtype=np.float32).reshape(side, side, -1).transpose(2, 0, 1) / np.float32(WHITE)
    gain = 1 + options.contrast * (2 * contrast - 1)
    offset = options.brightness * (2 * brightness - 1) / (2 * LARGEST_DEVIATIONS)
    levels[0] = np.clip((levels[0] - 0.5) * np.float32(gain) + np.float32(0.5 + offset), 0, 1)
    return np.ascontiguousarray(levels)


class ContextSamples(PictureSamples):
    """Lesions that are one square each, prepared with a margin that training turns and shifts into.

    Parameters
    ----------
    pictures
        (lesions, 1 or 2, side, side) uint16: grey levels, and the mask where it is a channel.
    labels, split, notes
        See `Samples`.
    options
        How training changes the pictures.
    """

    options: ContextCropOptions

    def __init__(
        self,
        pictures: Grey,
        labels: npt.NDArray[np.float32],
        split: npt.NDArray[np.object_],
        notes: dict[str, object],
        options: ContextCropOptions,
    ) -> None:
        lesions = np.arange(len(labels))
        super().__init__(pictures, lesions, labels, split, lesions, notes, options)

    def __getitem__(self, row: int) -> Inputs:
        """Return `picture` (1, side, side), or (3, side, side) with grey, grey, mask; float32 in 0..1."""
        middle = _middle(self.pictures[row], self.options.image_px)
        return self._inputs(middle.astype(np.float32) / np.float32(WHITE))

    def drawn(self, row: int, generator: np.random.Generator) -> Inputs:
        """Return `picture` with changes that are drawn."""
        return self._inputs(changed(self.pictures[row], self.options, generator))

    def _inputs(self, levels: Levels) -> Inputs:
        picture = torch.from_numpy(levels)
        return {"picture": picture[[0, 0, 1]] if len(picture) == 2 else picture}

    def levels(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return mean and deviation (1 or 3, 1, 1) of the pixels of some samples; the mask is not scaled."""
        total, squares = 0.0, 0.0
        for start in range(0, len(rows), PICTURES_AT_ONCE):
            shown = self.pictures[rows[start : start + PICTURES_AT_ONCE], 0]
            grey = _middle(shown, self.options.image_px).astype(np.float64) / WHITE
            total, squares = total + grey.sum(), squares + (grey**2).sum()
        count = len(rows) * self.options.image_px**2
        mean = total / count
        deviation = max(math.sqrt(max(squares / count - mean**2, 0.0)), SMALLEST_DEVIATION)
        with_mask = self.pictures.shape[1] == 2
        of_channels = ([mean, mean, 0.5], [deviation, deviation, 0.5]) if with_mask else ([mean], [deviation])
        return torch.tensor(of_channels[0]).view(-1, 1, 1), torch.tensor(of_channels[1]).view(-1, 1, 1)


def squares(options: ContextCropOptions, cases: Cases, files: Files) -> list[ContextFiles]:
    """Return what is read for the square of each lesion."""
    masks: list[Path | None] = [None] * len(cases.lesions)
    if options.looks_at_mask:
        masks = mask_paths(cases, predicted_masks(files.masks), options.mask)
    return files_of_lesions(cases, masks)


def read_squares(options: ContextCropOptions, cases: Cases, files: Files, job: Job) -> ContextSamples:
    """Cut a square around every lesion; where a mask is empty or absent the annotated box takes its place, counted."""
    with_mask = options.looks_at_mask
    items = list(enumerate(squares(options, cases, files)))
    boxed, outside = np.zeros((2, len(items)), dtype=np.bool_)

    def picture(item: tuple[int, ContextFiles]) -> Grey:
        row, lesion = item
        crop, boxed[row], outside[row] = context_crop(lesion, options)
        return crop

    channels = 2 if options.mask_channel else 1
    file = job.cache / "pictures.npy"
    pictures = prepare_pictures(picture, items, cached_side(options), file, job.threads, "context crops", channels)
    notes: dict[str, object] = {"sees_reference_mask": with_mask and options.mask == "reference"}
    if with_mask:
        notes["lesions_without_mask"] = int(boxed.sum())
    if options.standardise != "crop":
        notes["lesions_outside_breast"] = int(outside.sum())
    samples = ContextSamples(pictures, cases.labels, cases.lesions["split"].to_numpy(dtype=object), notes, options)
    samples.rests_on_model = with_mask and options.mask == "predicted"
    return samples
