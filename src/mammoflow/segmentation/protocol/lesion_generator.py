"""What a generative model of lesions offers: crops of grey levels for masks that are given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

SIDE = 64
"""Rows and columns of a crop."""

LESION_PX = 32
"""Longest side of the lesion's box in a crop: the surroundings are as wide as the lesion, half on each side."""

BENIGN, MALIGNANT, UNKNOWN = 0, 1, 2


class LesionGenerator(ABC):
    """A generative model of lesion crops.

    Attributes
    ----------
    name
        The architecture.
    digest
        SHA-256 over architecture and weights.
    network
        The module that holds all parameters.
    """

    name: str
    digest: str
    network: nn.Module

    @property
    def device(self) -> torch.device:
        """The device that holds the network."""
        return next(self.network.parameters()).device

    @abstractmethod
    def draw(
        self, masks: npt.NDArray[np.bool_], classes: npt.NDArray[np.integer[Any]], steps: int, seed: int
    ) -> npt.NDArray[np.float32]:
        """Draw crops for masks; the same arguments give the same crops on a CPU.

        Parameters
        ----------
        masks
            (N, SIDE, SIDE): a lesion each, as large and in the middle as in `lesion_crops`.
        classes
            (N,): BENIGN, MALIGNANT or UNKNOWN.
        steps
            Steps of the sampling.
        seed
            Of the noise.

        Returns
        -------
        ndarray
            (N, SIDE, SIDE): levels as in `lesion_crops`.
        """
