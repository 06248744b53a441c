"""SAM (Kirillov et al., ICCV 2023) and MedSAM (Ma et al., Nature Communications 2024), which has SAM's ViT-B."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import Architecture
from mammoflow.config.weights import WeightsSource

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mammoflow.segmentation.protocol.promptable import PromptableModel


def _published(file: str, sha256: str, title: str) -> WeightsSource:
    """Return the source of SAM's weights; the digests are those that users of the files record.

    The six digits in the names of the files are the first of their MD5.
    """
    return WeightsSource(
        file,
        f"https://dl.fbaipublicfiles.com/segment_anything/{file}",
        "https://github.com/facebookresearch/segment-anything",
        f"sha256:{sha256}",
        "Apache-2.0",
        title,
    )


# Upstream publishes MedSAM on Google Drive and on Zenodo (record 10689643), which lists the MD5 of the file.
MEDSAM = WeightsSource(
    "medsam_vit_b.pth",
    "https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
    "https://github.com/bowang-lab/MedSAM",
    "md5:3bb6db55bd0c9ca30b61248bca72f8d6",
    "CC-BY-4.0 (code: Apache-2.0)",
    "MedSAM, the network of SAM ViT-B",
)

ARCHITECTURES = {
    "sam_vit_b": Architecture(
        _published(
            "sam_vit_b_01ec64.pth", "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912", "SAM ViT-B"
        ),
        memory_mb=8000,
        attention=True,
        training_image_mb=2000,
    ),
    "sam_vit_l": Architecture(
        _published(
            "sam_vit_l_0b3195.pth", "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622", "SAM ViT-L"
        ),
        memory_mb=12000,
        attention=True,
        training_image_mb=3000,
    ),
    "sam_vit_h": Architecture(
        _published(
            "sam_vit_h_4b8939.pth", "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e", "SAM ViT-H"
        ),
        memory_mb=16000,
        attention=True,
        training_image_mb=4000,
    ),
    "medsam_vit_b": Architecture(MEDSAM, memory_mb=8000, attention=True, points=False, training_image_mb=2000),
}

ENCODERS = {"sam_vit_b": "vit_b", "sam_vit_l": "vit_l", "sam_vit_h": "vit_h", "medsam_vit_b": "vit_b"}
"""The image encoder of each architecture, as the package segment-anything names it."""


def build(architecture: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> PromptableModel:
    """Build SAM or MedSAM, in evaluation mode.

    Raises
    ------
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    from mammoflow.segmentation.layers.attention import replace_attention
    from mammoflow.segmentation.layers.segment_anything_modules import sam_model_registry
    from mammoflow.segmentation.networks.sam import MedSamModel, SamModel
    from mammoflow.weights.checkpoint import load_state

    network = sam_model_registry[ENCODERS[architecture]]()
    if state is not None:
        load_state(network, state, architecture, ENCODERS[architecture])
    replace_attention(network.image_encoder)
    model = MedSamModel if architecture == "medsam_vit_b" else SamModel
    return model(architecture, network.to(device).eval(), digest)
