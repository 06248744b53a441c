"""The diffusion model as a generator of lesion crops."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mammoflow.run.runtime import progress
from mammoflow.segmentation.diffusion.network import LesionUNet
from mammoflow.segmentation.diffusion.process import sampled
from mammoflow.segmentation.protocol.lesion_generator import SIDE, LesionGenerator
from mammoflow.storage.files import text_digest

TOGETHER = 32
"""Crops that are drawn in one batch."""


class DiffusionGenerator(LesionGenerator):
    """Draws lesion crops with a trained network.

    Parameters
    ----------
    name
        The architecture.
    network
        Predicts v.
    digest
        Digest of the weights.
    """

    network: LesionUNet

    def __init__(self, name: str, network: LesionUNet, digest: str) -> None:
        self.name, self.network, self.digest = name, network, text_digest(name, digest)

    def draw(
        self, masks: npt.NDArray[np.bool_], classes: npt.NDArray[np.integer[Any]], steps: int, seed: int
    ) -> npt.NDArray[np.float32]:
        """Draw crops for masks, in fp32."""
        generator = torch.Generator().manual_seed(seed)
        self.network.eval()
        crops: list[npt.NDArray[np.float32]] = []
        for start in progress(range(0, len(masks), TOGETHER), "drawing lesions, batches"):
            some = slice(start, start + TOGETHER)
            known = torch.from_numpy(masks[some].astype(np.float32))[:, None].to(self.device)
            kinds = torch.from_numpy(classes[some].astype(np.int64)).to(self.device)

            def denoised(values: Tensor, times: Tensor, known: Tensor = known, kinds: Tensor = kinds) -> Tensor:
                predicted: Tensor = self.network(values, times, known, kinds)
                return predicted

            noise = torch.randn(len(known), 1, SIDE, SIDE, generator=generator).to(self.device)
            crops.append(sampled(denoised, noise, steps)[:, 0].cpu().numpy())
        return np.concatenate(crops) if crops else np.zeros((0, SIDE, SIDE), dtype=np.float32)
