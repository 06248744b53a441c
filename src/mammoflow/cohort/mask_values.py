"""The column of a case table that says which values of a mask file are the lesion."""

from __future__ import annotations

from mammoflow.cohort.numbers import quoted
from mammoflow.config.images import MASK_VALUE


def parse_mask_value(text: str) -> str:
    """Read which values of a mask file are the lesion, see `MASK_VALUE`; "" for a blank.

    Raises
    ------
    ValueError
        If the text is none of its forms.
    """
    value = text.replace(" ", "").removesuffix(".0")  # whole numbers saved with blanks beside them
    if value and not MASK_VALUE.fullmatch(value):
        raise ValueError(
            f"found {quoted(text)}, expected numbers such as 1 or 1,2, a threshold >127 or a colour #ff0000"
        )
    return value
