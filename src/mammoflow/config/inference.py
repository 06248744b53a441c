"""How a segmentation model computes where it is used and not trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from mammoflow.config.base import StageSettings

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Colour = Literal["grey", "rgb"]


@dataclass(frozen=True)
class EncoderUse:
    """How the image encoder of a promptable model is used; stages that share embeddings use it alike.

    Attributes
    ----------
    precision
        Number format in which it computes.
    colour
        What it sees of a picture whose colours the image stage kept: the grey levels, or red, green and blue.
    """

    precision: Precision = "auto"
    colour: Colour = "grey"


class InferenceSettings(StageSettings):
    """Numbers and batches in which a segmentation model computes."""

    precision: Precision = Field(
        "auto",
        description="Number format in which the image encoder, the decoder of small and automatic models multiply. "
        "bf16 takes half the time or less, fp32 is exact, fp16 is for GPUs without bf16. auto uses bf16 "
        "if the device has it, otherwise fp32. Embeddings of each format are stored separately.",
    )
    batch_images: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="Images or windows that the network processes together: a number, or auto for as many as fit "
        "into the GPU's memory (one on a CPU). The number is halved if memory runs out.",
    )
