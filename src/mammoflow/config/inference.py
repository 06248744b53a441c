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
        description="Numbers in which the image encoder, the decoder of small and automatic models multiply: bf16 "
        "takes half the time or less, fp32 is exact, fp16 is for GPUs without bf16. auto takes bf16 where the device "
        "has it, else fp32. Embeddings of each are kept apart.",
    )
    batch_images: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto",
        description="Images or windows that the network sees together: a number, or auto for as many as the GPU's "
        "memory holds and for one on a CPU. Halved where memory runs out.",
    )
