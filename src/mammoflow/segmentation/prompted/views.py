"""Fields of view: what of a film a network sees, and the way from its pixels back to the canonical image.

The whole image, as published, or a window of the film around a prompt: a lesion that is ten pixels wide in an image
reduced to 1024 pixels is a hundred in a window of 40 mm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mammoflow.imaging.canonical import read_canonical
from mammoflow.imaging.geometry import covered_share, crop
from mammoflow.segmentation.embedding.embeddings import embedding_key
from mammoflow.segmentation.prompted.batches import Batches
from mammoflow.segmentation.prompting.arrays import PromptArrays
from mammoflow.segmentation.protocol.promptable import PromptableModel
from mammoflow.segmentation.protocol.segmenter import ImageSize
from mammoflow.segmentation.scoring.scores import Masks
from mammoflow.storage.arrays import ArrayStore
from mammoflow.storage.files import Array, array_digest, read_image

Grey = npt.NDArray[np.uint16]
Row = Mapping[Any, Any]


@dataclass(frozen=True)
class View:
    """A rectangle of a film as a network sees it.

    Attributes
    ----------
    corner
        Its top left corner (y, x) in canonical pixels; it may lie outside the image.
    scale
        Its pixels for each canonical pixel, along rows and columns.
    size
        (height, width) in its own pixels.
    canonical
        (height, width) of the canonical image.
    spacing_mm
        Millimetres from row to row of its pixels.
    """

    corner: tuple[float, float]
    scale: tuple[float, float]
    size: ImageSize
    canonical: ImageSize
    spacing_mm: float

    @classmethod
    def whole(cls, image: Row) -> View:
        """Return the whole canonical image, a row of CANONICAL_IMAGES."""
        size = (int(image["height"]), int(image["width"]))
        return cls((0.0, 0.0), (1.0, 1.0), size, size, float(image["row_spacing_mm"]))

    def prompts(self, prompts: PromptArrays) -> PromptArrays:
        """Bring prompts from canonical pixels to its own."""
        return prompts.moved(self.corner, self.scale)

    def to_canonical(self, masks: Masks) -> Masks:
        """Bring masks (N, *size) to the canonical grid (N, *canonical).

        A canonical pixel is set where the mask covers more than half of it. Where that leaves nothing of a small mask
        the pixel with the largest covered share is set, as the image stage does with small reference masks.
        """
        if self.scale == (1.0, 1.0) and self.corner == (0.0, 0.0) and self.size == self.canonical:
            return masks
        result = np.zeros((len(masks), *self.canonical), dtype=np.bool_)
        spans, edges = [], []
        for axis in (0, 1):
            end = self.corner[axis] + self.size[axis] / self.scale[axis]
            first = max(int(np.floor(self.corner[axis])), 0)
            last = min(int(np.ceil(end)), self.canonical[axis])
            if last <= first:
                return result
            spans.append(slice(first, last))
            edges.append((np.arange(first, last + 1) - self.corner[axis]) * self.scale[axis])
        for mask, on_grid in zip(masks, result, strict=True):
            if mask.any():
                share = covered_share(mask, edges[0], edges[1])
                inside = on_grid[spans[0], spans[1]]
                inside[:] = share > 0.5
                if not inside.any() and share.max() > 0:
                    inside[np.unravel_index(int(share.argmax()), share.shape)] = True
        return result


@dataclass(frozen=True)
class Window:
    """A view with its pixels and the prompts that it is for.

    Attributes
    ----------
    view
        Where it lies.
    pixels
        (height, width) grey levels; outside the film 0.
    positions
        Of its prompts in the table of the image.
    """

    view: View
    pixels: Grey
    positions: list[int]


class WindowCutter:
    """Cuts windows of one image at film resolution from the patches that the image stage keeps.

    A patch holds the film around its lesion at film resolution (or at `images.patch_spacing_mm`). A window that leaves
    its patch somewhere on the film is cut from the canonical image instead. That happens to windows of about
    `images.patch_mm` and more, in which the canonical image has about as many pixels as the networks take.

    Parameters
    ----------
    folder
        Folder of the shard's canonical images.
    image
        Row of CANONICAL_IMAGES.
    lesions
        Rows of CANONICAL_LESIONS by lesion.
    boxes
        Side of a window in longest sides of its prompt's box.
    least_mm
        Least side of a window in millimetres.
    """

    def __init__(self, folder: Path, image: Row, lesions: Mapping[str, Row], boxes: float, least_mm: float) -> None:
        self.folder, self.image, self.lesions = folder, image, lesions
        self.boxes, self.least_mm = boxes, least_mm
        self.canonical = (int(image["height"]), int(image["width"]))
        self.spacing = (float(image["row_spacing_mm"]), float(image["column_spacing_mm"]))
        self._patches: dict[str, Grey] = {}

    def windows(self, lesion_ids: Sequence[str], prompts: PromptArrays) -> list[Window]:
        """Return the windows of prompts; prompts whose windows are the same share one."""
        windows: dict[tuple[View, str], Window] = {}
        for position, (lesion_id, box) in enumerate(zip(lesion_ids, prompts.some_boxes(), strict=True)):
            has_box = bool(np.isfinite(prompts.boxes[position]).all())
            view, pixels = self._cut(self.lesions[lesion_id], box.astype(np.float64), has_box)
            window = windows.setdefault((view, array_digest(pixels)), Window(view, pixels, []))
            window.positions.append(position)
        return list(windows.values())

    def side_mm(self, box: npt.NDArray[np.float64]) -> float:
        """Return the side of the window of a box (4,) x0, y0, x1, y1 in canonical pixels."""
        longest = max((box[3] - box[1]) * self.spacing[0], (box[2] - box[0]) * self.spacing[1])
        return max(self.least_mm, self.boxes * float(longest))

    def _cut(self, lesion: Row, box: npt.NDArray[np.float64], has_box: bool) -> tuple[View, Grey]:
        centre = ((box[1] + box[3]) / 2, (box[0] + box[2]) / 2)
        side = self.side_mm(box) if has_box else self.least_mm
        spacing = float(lesion["patch_spacing_mm"])
        scale = (self.spacing[0] / spacing, self.spacing[1] / spacing)
        corner = (float(lesion["patch_y0"]), float(lesion["patch_x0"]))
        patch = self._patch(lesion)
        window = _place(centre, (side / spacing, side / spacing), corner, scale)
        if not self._holds(patch, window, corner, scale):
            patch, corner, scale, spacing = self._whole(), (0.0, 0.0), (1.0, 1.0), self.spacing[0]
            window = _place(centre, (side / self.spacing[0], side / self.spacing[1]), corner, scale)
        pixels = crop(patch, window)
        start = (corner[0] + window[0] / scale[0], corner[1] + window[1] / scale[1])
        size = (window[2] - window[0], window[3] - window[1])
        return View(start, scale, size, self.canonical, spacing), pixels.astype(np.uint16, copy=False)

    def _holds(
        self, patch: Grey, window: tuple[int, int, int, int], corner: tuple[float, float], scale: tuple[float, float]
    ) -> bool:
        """Tell whether the part of a window that lies on the film lies in the patch, up to half a pixel."""
        for axis in (0, 1):
            start, end = -corner[axis] * scale[axis], (self.canonical[axis] - corner[axis]) * scale[axis]
            low, high = max(window[axis], start), min(window[axis + 2], end)
            if low < -0.5 or high > patch.shape[axis] + 0.5:
                return False
        return True

    def _patch(self, lesion: Row) -> Grey:
        key = str(lesion["patch_file"])
        if key not in self._patches:
            self._patches[key] = np.asarray(read_image(self.folder / key), dtype=np.uint16)
        return self._patches[key]

    def _whole(self) -> Grey:
        if "" not in self._patches:
            self._patches[""] = read_canonical(self.folder / str(self.image["image_file"]), self.canonical)
        return self._patches[""]


def _place(
    centre: tuple[float, float], side: tuple[float, float], corner: tuple[float, float], scale: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Return the half-open window of whole pixels around a centre in canonical pixels, on a grid with this corner."""
    low = [round((centre[axis] - corner[axis]) * scale[axis] - side[axis] / 2) for axis in (0, 1)]
    sides = [max(1, round(length)) for length in side]
    return low[0], low[1], low[0] + sides[0], low[1] + sides[1]


def window_embeddings(
    model: PromptableModel, windows: Sequence[Window], store: ArrayStore, batches: Batches
) -> Iterator[tuple[Window, dict[str, Array]]]:
    """Give the embedding of each window, from the store where it is there, else encoded and stored.

    The key is the digest of the window's pixels: the same window is encoded once, whatever prompts and runs use it.

    Parameters
    ----------
    model
        The model that encodes.
    windows
        Windows of one image.
    store
        The store of embeddings.
    batches
        How many windows are encoded together.
    """
    keys = [embedding_key(array_digest(window.pixels), model.embedding_digest) for window in windows]
    in_store = [store.read(key) for key in keys]
    absent = {key: window.pixels for key, window, arrays in zip(keys, windows, in_store, strict=True) if arrays is None}
    encoded_batches = batches.run(list(absent.values()), model.encode)
    fresh: dict[str, dict[str, Array]] = {
        key: dict(arrays) for key, arrays in zip(absent, chain.from_iterable(encoded_batches), strict=True)
    }
    for key, arrays in fresh.items():
        store.write(key, arrays, {"kind": "window", "model": model.name, "image": array_digest(absent[key])})
    for key, window, stored in zip(keys, windows, in_store, strict=True):
        yield window, stored if stored is not None else fresh[key]
