"""SETR-PUP: a plain vision transformer and a decoder of progressive upsampling (Zheng et al., CVPR 2021).

Visual prompts are no architecture of their own: the recipe adds them, and weights that have them bring them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mammoflow.config.architectures import Architecture

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mammoflow.segmentation.protocol.automatic import AutomaticModel

LAYOUTS = {
    # As published: ViT-L/16 at 224 pixels and a decoder of 256 channels have 307,432,705 parameters.
    "setr_large": ((1024, 24, 16, 224), 256),
    # ViT-S/16 and ViT-Ti/16 for a small GPU and for a CPU.
    "setr_small": ((384, 12, 6, 256), 128),
    "setr_tiny": ((192, 12, 3, 256), 64),
}
"""Width, depth, heads and side of the pictures of the encoder; channels of the decoder."""

ARCHITECTURES = {
    "setr_large": Architecture(None, 6000, precision="fp32", prompted=False, image_mb=300, training_image_mb=1200),
    "setr_small": Architecture(None, 3000, precision="fp32", prompted=False, image_mb=150, training_image_mb=400),
    "setr_tiny": Architecture(None, 2500, precision="fp32", prompted=False, image_mb=80, training_image_mb=200),
}


def build(architecture: str, state: dict[str, Tensor] | None, digest: str, device: torch.device) -> AutomaticModel:
    """Build SETR, in evaluation mode, with as many visual prompts as its weights have.

    Raises
    ------
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    from mammoflow.segmentation.encoders.vision_transformer import PROMPTS, VisionTransformer, VitLayout
    from mammoflow.segmentation.layers.progressive_upsampling import ProgressiveUpsampling
    from mammoflow.segmentation.networks.encoder_decoder import EncoderDecoder, finish_model

    layout, width = LAYOUTS[architecture]
    encoder = VisionTransformer(VitLayout(*layout))
    prompts = (state or {}).get(f"encoder.{PROMPTS}")
    if prompts is not None and prompts.ndim > 1:
        encoder.add_prompts(int(prompts.shape[1]))
    network = EncoderDecoder(encoder, ProgressiveUpsampling(encoder.channels[0], width), published_frozen=False)
    return finish_model(architecture, network, state, digest, device)
