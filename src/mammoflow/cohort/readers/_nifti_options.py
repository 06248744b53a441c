"""Options of the reader `nifti`, apart from the reader so that the configuration is read without pandas."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mammoflow.cohort.readers._folders_options import Options as FoldersOptions


class Options(FoldersOptions):
    """Where volumes and their masks lie, which of their slices are images, and what the mask's values mean."""

    near_copies: Literal[False] = Field(False, description="Volumes are not compared; only false is accepted.")
    frame: Literal["only"] = Field("only", description="A NIfTI file has slices and no frames; only is accepted.")
    plane: Literal["axial", "coronal", "sagittal"] = Field(
        "axial", description="Plane of the slices, in the patient's axes. Slices follow the voxel grid."
    )
    slices: Literal["largest", "lesion", "all"] = Field(
        "largest",
        description="Slices of each volume that are images: largest takes the one with the largest lesion area; "
        "lesion all that show the lesion; all every slice, where those without the lesion count as normal.",
    )
    every: int = Field(1, ge=1, description="With lesion and all: only every n-th of these slices, from the first.")
    mask_values: list[int] = Field(
        default_factory=list,
        description="Values of the mask volume that are the lesion, such as [1, 2]; an empty list takes all above 0.",
    )
