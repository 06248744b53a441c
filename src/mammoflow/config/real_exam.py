"""Settings of the page of the real exam."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from mammoflow.config.architectures import architecture, published_names
from mammoflow.config.base import StageSettings


class RealExamSettings(StageSettings):
    """Eight real films of two patients, segmented at their published boxes; a target of its own."""

    models: list[str] = Field(
        ["small", "lite_medsam"],
        min_length=1,
        max_length=4,
        description="Published promptable models whose outlines the page shows; packages bring the weights of small "
        "and lite_medsam, and those of others are fetched with the target prefetch.",
    )
    spacing_mm: float = Field(
        0.05,
        gt=0,
        le=1,
        description="Millimetres per pixel of the films, which their files do not say; 0.05 is the scanner LUMISYS.",
    )

    @model_validator(mode="after")
    def check_models(self) -> Self:
        """Refuse what is no published promptable model, and a model that is named twice."""
        known = [name for name in published_names() if architecture(name).prompted]
        unknown = [name for name in self.models if name not in known]
        if unknown:
            raise ValueError(f"models names {unknown[0]!r}; expected some of {', '.join(known)}")
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"models is {self.models}, expected each once")
        return self
