"""Pictures of whole images with the masks of their lesions drawn over them in red.

Grey levels stay visible inside a mask: with the opacity a, red is grey + a (1 - grey), and green and blue are
(1 - a) grey. So a network of colour pictures sees where the mask is and what is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from mammoflow.classification.cases import Cases, mask_paths, predicted_masks
from mammoflow.classification.pictures import WHITE, Grey, PictureSamples, augmented
from mammoflow.classification.samples import Inputs
from mammoflow.config.pictures import PictureOptions
from mammoflow.segmentation.matching import find_components
from mammoflow.storage.files import read_image, read_mask, text_digest
from mammoflow.tables.detections import DETECTIONS, MAPS
from mammoflow.tables.files import read_table, read_tables
from mammoflow.training.batching import Rows

Mask = npt.NDArray[np.bool_]
Levels = npt.NDArray[np.float32]

OPACITY = 0.35
"""Of the red, as in common overlays of masks: the texture below stays visible."""

LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class ImageMasks:
    """What is drawn over each image.

    Attributes
    ----------
    read
        Gives the mask (height, width) of an image by its row, or None where it has none.
    origin
        `reference`, `map` of an automatic model, or `prompts` of a promptable one.
    """

    read: Callable[[int], Mask | None]
    origin: Literal["reference", "map", "prompts"]


def image_masks(cases: Cases, folders: list[Path], which: Literal["predicted", "reference"]) -> ImageMasks:
    """Find the mask of each image: of all lesions together.

    A predicted mask of an automatic model is its whole map above the threshold, with its false positives: the masks of
    single lesions are those that hit a reference, and an image without a lesion has none of them.

    Parameters
    ----------
    cases
        The images.
    folders
        Shards of the segmentation stage of one model; not read for the reference.
    which
        Whose masks.

    Raises
    ------
    ValueError
        If predicted masks are wanted and no folder is given.
    """
    if which == "predicted" and not folders:
        raise ValueError("mask_overlay: predicted needs the masks of a segmentation model; pass --masks")
    if which == "predicted" and all((folder / "maps.parquet").is_file() for folder in folders):
        return ImageMasks(_map_reader(cases, folders), "map")
    masks = predicted_masks(folders) if which == "predicted" else pd.DataFrame()
    of_image: dict[int, list[Path]] = {}
    for image, path in zip(cases.lesions["image_index"], mask_paths(cases, masks, which), strict=True):
        if path is not None:
            of_image.setdefault(int(image), []).append(path)

    def read(row: int) -> Mask | None:
        found = [read_mask(path) for path in of_image.get(row, [])]
        return np.logical_or.reduce(found) if found else None

    return ImageMasks(read, "reference" if which == "reference" else "prompts")


def _map_reader(cases: Cases, folders: list[Path]) -> Callable[[int], Mask | None]:
    """Return a function that gives the components of an automatic model's map of an image, by the image's row."""
    maps: dict[str, tuple[Path, float]] = {}
    for folder in folders:
        for name, file, threshold in read_table(folder / "maps.parquet", MAPS)[
            ["image_id", "map_file", "threshold"]
        ].itertuples(index=False):
            maps[str(name)] = folder / str(file), float(threshold)
    detections = read_tables([folder / "detections.parquet" for folder in folders], DETECTIONS)
    least_areas = detections.groupby("image_id")["area_mm2"].min()
    smallest = {str(name): float(area) for name, area in least_areas.items()}
    described = cases.images[["image_id", "row_spacing_mm", "column_spacing_mm"]].to_dict("records")

    def read(row: int) -> Mask | None:
        image = described[row]
        area = smallest.get(image["image_id"])
        if area is None:
            return None
        file, threshold = maps[image["image_id"]]
        # the stage dropped components below an area, and listed all others
        least = area / (image["row_spacing_mm"] * image["column_spacing_mm"]) - 0.5
        probability = read_image(file).astype(np.float32) / np.float32(WHITE)
        return find_components(probability, threshold, least, "max").union

    return read


def tinted(grey: Levels, cover: Levels) -> Levels:
    """Return a colour picture (3, side, side) in 0..1 of grey levels, red where a mask covers a pixel.

    Parameters
    ----------
    grey
        (side, side) in 0..1.
    cover
        (side, side) share of each pixel that the mask covers.
    """
    opacity = np.float32(OPACITY) * cover
    dimmed = grey * (1 - opacity)
    return np.stack([dimmed + opacity, dimmed, dimmed])


class OverlaidSamples(PictureSamples):
    """Samples that are one picture each with a mask over it; training moves both alike.

    Parameters
    ----------
    pictures
        (pictures, 2, side, side) uint16: grey levels, and the share of each pixel that the mask covers.
    picture_of, labels, split, sample_of, notes, options
        See `PictureSamples`.
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
        self.covers = PictureSamples(pictures[:, 1], picture_of, labels, split, sample_of, notes, options)
        super().__init__(pictures[:, 0], picture_of, labels, split, sample_of, notes, options)
        self.digest = text_digest(self.digest, self.covers.digest, f"opacity {OPACITY}")

    def __getitem__(self, row: int) -> Inputs:
        """Return `picture` (3, side, side), float32 in 0..1; `levels` are those of the grey levels below."""
        return {"picture": torch.from_numpy(tinted(*self._planes(row)))}

    def drawn(self, row: int, generator: np.random.Generator) -> Inputs:
        """Return `picture`, flipped, rotated and brightened; the brightness of the tint does not change."""
        seed, options = int(generator.integers(LARGEST_SEED)), self.options

        def changed(plane: Levels, brightness: float) -> Levels:
            same = np.random.default_rng(seed)
            return augmented(plane, options.rotation_degrees, brightness, same, options.flips)

        grey, cover = self._planes(row)
        return {"picture": torch.from_numpy(tinted(changed(grey, options.brightness), changed(cover, 0.0)))}

    def _planes(self, row: int) -> tuple[Levels, Levels]:
        """Return grey levels and cover (side, side) of a sample, each in 0..1."""
        grey: Levels = super().__getitem__(row)["picture"][0].numpy()
        cover: Levels = self.covers[row]["picture"][0].numpy()
        return grey, cover
