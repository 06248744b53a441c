"""Automatic models of an encoder that may have published weights, and a decoder that is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mammoflow.segmentation.encoders.interface import Encoder
from mammoflow.segmentation.networks.grey_levels import GreyLevelModel, unit_levels


class EncoderDecoder(nn.Module):
    """Grey levels to an encoder's maps, and these to logits.

    Parameters
    ----------
    encoder
        Pictures to feature maps.
    decoder
        Feature maps to a list of logits (N, 1, rows, columns), of which the last is the model's.
    published_frozen
        Whether the publication freezes an encoder with pretrained weights.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, encoder: Encoder, decoder: nn.Module, published_frozen: bool) -> None:
        super().__init__()
        self.encoder, self.decoder, self.published_frozen = encoder, decoder, published_frozen
        for name, values in zip(("mean", "deviation"), encoder.levels, strict=True):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def pictures(self, levels: Tensor) -> Tensor:
        """Return pictures (N, 3, rows, columns), standardised as the encoder asks for, of levels of the same shape."""
        return (unit_levels(levels) - self.mean) / self.deviation

    def encode(self, levels: Tensor) -> list[Tensor]:
        """Return the encoder's maps of grey levels (N, 3, rows, columns)."""
        maps: list[Tensor] = self.encoder(self.pictures(levels).contiguous(memory_format=torch.channels_last))
        return maps

    def forward(self, levels: Tensor) -> list[Tensor]:
        """Return the logits of all outputs of the decoder for grey levels (N, 3, rows, columns)."""
        outputs: list[Tensor] = self.decoder(self.encode(levels))
        return outputs


class EncoderDecoderModel(GreyLevelModel):
    """An encoder and a decoder on the grid of its `NetworkInput`."""

    network: EncoderDecoder

    def logits(self, batch: Tensor) -> Tensor:
        """Return the logits (images, 1, rows, columns) of the last output."""
        return self.training_logits(batch)[-1]

    def training_logits(self, batch: Tensor) -> list[Tensor]:
        """Return the logits of all outputs; each is trained with the same loss (deep supervision)."""
        outputs: list[Tensor] = self.network(batch)
        return outputs


def finish_model(
    architecture: str, network: EncoderDecoder, state: dict[str, Tensor] | None, digest: str, device: torch.device
) -> EncoderDecoderModel:
    """Fill a network with its weights and make the model, in evaluation mode.

    Raises
    ------
    WeightsError
        If names or shapes of the weights do not fit the network.
    """
    from mammoflow.weights.checkpoint import load_state

    if state is not None:
        load_state(network, state, architecture, architecture)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return EncoderDecoderModel(architecture, network.eval(), digest)
