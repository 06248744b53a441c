"""Settings of the embedded phantom study."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.config.base import Settings


class PhantomSettings(Settings):
    """The synthetic study of the default configuration, in the layout of a CBIS-DDSM download."""

    patients: int = Field(120, ge=6, le=9999, description="Number of phantom patients.")
    normal_share: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="Share of patients without a lesion; each of them has a CC and an MLO film of one breast. At "
        "least six patients have lesions.",
    )
    seed: int = Field(2016, ge=0, description="Seed of the whole phantom study.")
    spacing_mm: float = Field(
        0.25,
        gt=0.04,
        le=1.0,
        description="Pixel spacing of the phantom films in millimetres. A quarter of the patients are scanned at "
        "0.870 of it, because DDSM had scanners of 50 and 43.5 micrometres.",
    )
    layout: Literal["tables", "download"] = Field(
        "tables",
        description="Where the files are: as the paths in the case tables say, or in the dated folders that the "
        "download tool makes.",
    )
