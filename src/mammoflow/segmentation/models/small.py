"""The small promptable model whose weights the package ships; see docs/model-card-small.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mammoflow.config.architectures import Architecture
from mammoflow.config.weights import WeightsSource

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mammoflow.segmentation.protocol.promptable import PromptableModel

WEIGHTS = Path(__file__).parent.parent / "small" / "small.safetensors"
"""The shipped weights; `record.json` in their folder says what they were trained on."""

ARCHITECTURES = {
    "small": Architecture(
        WeightsSource(
            WEIGHTS.name,
            "",
            "docs/model-card-small.md",
            "",
            "Apache-2.0",
            "convolutional encoder at 256 x 256 and residual U-Net decoder on the region around the prompt",
            shipped=WEIGHTS,
        ),
        memory_mb=3000,
        image_mb=100,
        training_image_mb=120,
        channels=1,
    )
}


def build(architecture: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> PromptableModel:
    """Build the small model, in evaluation mode.

    Raises
    ------
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    from mammoflow.segmentation.small.architecture import build_small_network
    from mammoflow.segmentation.small.model import SmallModel
    from mammoflow.weights.checkpoint import load_state

    network = build_small_network()
    if state is not None:
        load_state(network, state, architecture, architecture)
    return SmallModel(architecture, network.to(device).eval(), digest)
