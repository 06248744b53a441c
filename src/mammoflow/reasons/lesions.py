"""The mask or box of a lesion cannot be used."""

from __future__ import annotations

from mammoflow.errors import Reason


class LesionReason(Reason):
    """The mask or box of a lesion cannot be used."""

    MASK_SHAPE = "mask has another shape than its image"
    MASK_EMPTY = "mask is empty"
    MASK_NOT_FOUND = "no mask found among the files of the lesion"
    MASK_LEVELS = "mask has more than two levels"
    MASK_COVERS = "lesion covers too much of its image"
    MASK_SCATTERED = "mask is scattered traces"
    BOX_INVALID = "box is empty, outside the image or not in pixels"
    NO_LESIONS = "no usable lesion on the image"
