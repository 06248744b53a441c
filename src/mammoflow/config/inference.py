"""How a segmentation model computes where it is used and not trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mammoflow.config.base import StageSettings

Precision = Literal["auto", "fp32", "bf16", "fp16"]


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
