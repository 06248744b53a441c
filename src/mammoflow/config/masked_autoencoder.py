"""Options of the recipe that pretrains a vision transformer by masked autoencoding."""

from __future__ import annotations

from pydantic import Field

from mammoflow.config.automatic import AutomaticInputSettings


class MaskedAutoencoderSettings(AutomaticInputSettings):
    """How an encoder learns to fill in the hidden patches of images, without a label."""

    epochs: int = Field(60, ge=1, description="Passes over the training images.")
    batch_size: int = Field(16, ge=1, description="Images or patches in a batch; halved where memory runs out.")
    learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate of AdamW in a one-cycle schedule.")
    weight_decay: float = Field(0.05, ge=0, description="Weight decay of AdamW.")
    masked_share: float = Field(
        0.75, gt=0, lt=1, description="Share of the 16 x 16 patches that the encoder does not see."
    )
    decoder_width: int = Field(128, ge=16, multiple_of=16, description="Numbers of a token in the decoder.")
    decoder_depth: int = Field(2, ge=1, description="Layers of the decoder, which is discarded afterwards.")
