"""The decoder of SAM2-UNet on any encoder of maps at strides 4, 8, 16 and 32."""

from __future__ import annotations

import torch
from torch import Tensor

from mammoflow.segmentation.encoders.interface import Encoder
from mammoflow.segmentation.layers.receptive_fields import ReceptiveFieldDecoder
from mammoflow.segmentation.networks.encoder_decoder import EncoderDecoder, EncoderDecoderModel, finish_model


def sam2_unet(
    architecture: str,
    encoder: Encoder,
    state: dict[str, Tensor] | None,
    digest: str,
    device: torch.device,
    published_frozen: bool = False,
) -> EncoderDecoderModel:
    """Put the decoder on an encoder and make the model, in evaluation mode.

    Parameters
    ----------
    architecture, state, digest, device
        See `build` of a member.
    encoder
        The encoder.
    published_frozen
        Whether the publication freezes the encoder with pretrained weights.

    Raises
    ------
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    network = EncoderDecoder(encoder, ReceptiveFieldDecoder(encoder.channels), published_frozen=published_frozen)
    return finish_model(architecture, network, state, digest, device)
