"""Square pictures in colours, standardised and augmented as grey pictures are."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mammoflow.classification.pictures import (
    PICTURES_AT_ONCE,
    SMALLEST_DEVIATION,
    WHITE,
    PictureSamples,
    augmented,
)
from mammoflow.classification.samples import Inputs
from mammoflow.training.batching import Rows

COLOURS = 3
LARGEST_SEED = 2**63 - 1


class ColourSamples(PictureSamples):
    """Samples that are one colour picture each; training changes the three colours of a picture alike.

    Its `pictures` are (pictures, 3, side, side) uint16: red, green and blue.
    """

    def __getitem__(self, row: int) -> Inputs:
        """Return `picture` (3, side, side), float32 in 0..1."""
        levels = self.pictures[self.picture_of[row]].astype(np.float32) / np.float32(WHITE)
        return {"picture": torch.from_numpy(levels)}

    def drawn(self, row: int, generator: np.random.Generator) -> Inputs:
        """Return `picture`, flipped, rotated and brightened."""
        seed, options = int(generator.integers(LARGEST_SEED)), self.options
        changed = [
            augmented(plane, options.rotation_degrees, options.brightness, np.random.default_rng(seed), options.flips)
            for plane in self[row]["picture"].numpy()
        ]
        return {"picture": torch.from_numpy(np.stack(changed))}

    def levels(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Return mean and deviation (3, 1, 1) of red, green and blue of the pictures that some samples show."""
        shown = np.unique(self.picture_of[rows])
        totals, squares = np.zeros(COLOURS), np.zeros(COLOURS)
        for start in range(0, len(shown), PICTURES_AT_ONCE):
            levels = self.pictures[shown[start : start + PICTURES_AT_ONCE]].astype(np.float64) / WHITE
            totals, squares = totals + levels.sum(axis=(0, 2, 3)), squares + (levels**2).sum(axis=(0, 2, 3))
        count = len(shown) * self.pictures[0, 0].size
        means = totals / count
        deviations = np.maximum(np.sqrt(np.maximum(squares / count - means**2, 0.0)), SMALLEST_DEVIATION)
        return torch.from_numpy(means)[:, None, None], torch.from_numpy(deviations)[:, None, None]
