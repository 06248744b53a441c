"""The mask or box of a lesion cannot be used."""

from __future__ import annotations

from mammoflow.errors import Reason


class LesionReason(Reason):
    """The mask or box of a lesion cannot be used."""

    MASK_SHAPE = "mask has another shape than its image"
    MASK_EMPTY = "mask is empty"
    MASK_NOT_FOUND = "no mask found among the files of the lesion"
    BOX_INVALID = "box is empty or outside the image"
    NO_LESIONS = "no usable lesion on the image"
