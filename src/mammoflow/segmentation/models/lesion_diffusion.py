"""A generative model of lesion crops, which makes no masks; see docs/few-labels.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import Architecture

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mammoflow.segmentation.protocol.lesion_generator import LesionGenerator

ARCHITECTURES = {
    "lesion_diffusion": Architecture(
        None, memory_mb=2000, precision="fp32", prompted=False, training_image_mb=60, channels=1, segments=False
    )
}

WIDTH = 32
"""Channels of the finest level without weights; weights say their own."""

ENTRY = "entry.weight"


def build(architecture: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> LesionGenerator:
    """Build the generator, in evaluation mode; its width is that of the weights.

    Raises
    ------
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    from mammoflow.segmentation.diffusion.generator import DiffusionGenerator
    from mammoflow.segmentation.diffusion.network import GROUPS, LesionUNet
    from mammoflow.weights.checkpoint import load_state

    width = WIDTH
    if state is not None and ENTRY in state and len(state[ENTRY]) % GROUPS == 0:
        width = len(state[ENTRY])
    network = LesionUNet(width)
    if state is not None:
        load_state(network, state, architecture, architecture)
    return DiffusionGenerator(architecture, network.to(device).eval(), digest)
