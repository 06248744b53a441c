"""SAM 2.1 on single images (Ravi et al., SAM 2, 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import Architecture
from mammoflow.config.weights import WeightsSource

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mammoflow.segmentation.protocol.promptable import PromptableModel


def _published(file: str, sha256: str, title: str) -> WeightsSource:
    """Return the source of SAM 2.1's weights; the digests are those that users of the files record."""
    return WeightsSource(
        file,
        f"https://dl.fbaipublicfiles.com/segment_anything_2/092824/{file}",
        "https://github.com/facebookresearch/sam2",
        f"sha256:{sha256}",
        "Apache-2.0",
        title,
    )


ARCHITECTURES = {
    # Its masks in bf16 had a Dice below 0.995 with those in fp32.
    "sam2.1_hiera_tiny": Architecture(
        _published(
            "sam2.1_hiera_tiny.pt",
            "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
            "SAM 2.1 Hiera-T",
        ),
        memory_mb=8000,
        precision="fp32",
        attention=True,
        training_image_mb=2000,
    ),
    "sam2.1_hiera_small": Architecture(
        _published(
            "sam2.1_hiera_small.pt",
            "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
            "SAM 2.1 Hiera-S",
        ),
        memory_mb=8000,
        attention=True,
        training_image_mb=2000,
    ),
    "sam2.1_hiera_base_plus": Architecture(
        _published(
            "sam2.1_hiera_base_plus.pt",
            "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
            "SAM 2.1 Hiera-B+",
        ),
        memory_mb=10000,
        attention=True,
        training_image_mb=2500,
    ),
    "sam2.1_hiera_large": Architecture(
        _published(
            "sam2.1_hiera_large.pt",
            "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
            "SAM 2.1 Hiera-L",
        ),
        memory_mb=12000,
        attention=True,
        training_image_mb=3000,
    ),
}

CONFIGURATIONS = {
    "sam2.1_hiera_tiny": "configs/sam2.1/sam2.1_hiera_t.yaml",
    "sam2.1_hiera_small": "configs/sam2.1/sam2.1_hiera_s.yaml",
    "sam2.1_hiera_base_plus": "configs/sam2.1/sam2.1_hiera_b+.yaml",
    "sam2.1_hiera_large": "configs/sam2.1/sam2.1_hiera_l.yaml",
}
"""The network of each architecture, as a configuration that the package sam2 carries."""


def build(architecture: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> PromptableModel:
    """Build a SAM 2.1 model, in evaluation mode.

    Raises
    ------
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    from sam2.build_sam import build_sam2

    from mammoflow.segmentation.networks.sam2 import Sam2Model
    from mammoflow.weights.checkpoint import load_state

    network = build_sam2(CONFIGURATIONS[architecture], ckpt_path=None, device="cpu")
    if state is not None:
        load_state(network, state, architecture, CONFIGURATIONS[architecture])
    return Sam2Model(architecture, network.to(device).eval(), digest)
